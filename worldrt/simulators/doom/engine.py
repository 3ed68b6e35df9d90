"""The Doom engine as a camera: exact poses in, frames and analytic depth out."""

import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.errors import BackendUnavailable, ConfigError, SimulatorError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import check_pose
from worldrt.simulators.doom import collision, depth, maze, wad

NATIVE = (160, 200, 256, 320, 400, 512, 640, 800, 1024, 1280, 1400, 1600)
"""Widths of the 4:3 pictures that the engine can draw."""
SETTINGS = "+sv_cheats 1 +movebob 0 +vid_fps 0 +r_visibility 1000"
"""Cheats let the console call the script that sets the pose; at this visibility walls do not darken
with distance, so they look the same from everywhere."""
FIXED = 65536
"""Fixed-point ones in a map unit, and angle steps in a turn."""
LEVEL = 1e-6
"""Radians of tilt and metres of height that pass for level."""
BODY = 16 / 32
"""Metres that the engine's own body keeps from walls."""
REFUSED = 1e-3
"""Metres between wanted and reached from which on the engine has refused; its own grid is 5e-7."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What the camera saw."""

    rgb: NDArray[np.uint8]
    """[Y, X, 3]"""
    depth: NDArray[np.float32]
    """[Y, X] metres along z, exact."""
    world_from_camera: NDArray[np.float64]
    """[4, 4] the pose reached; yaw is a multiple of 1/65536 of a turn."""
    collided: bool
    """The engine refused the position and stayed where it was."""


def supersampling(camera: Camera) -> int:
    """How many times finer than `camera` the engine draws, a side.

    Raises:
        ConfigError: the engine has no such picture.
    """
    width, height = camera.width, camera.height
    wanted = np.array([width / 2, 0.6 * width])
    if 4 * height != 3 * width or not np.allclose((camera.fx, camera.fy), wanted, rtol=1e-6):
        raise ConfigError(
            f"Doom draws 4:3 pictures with fx = width / 2 and fy = 0.6 width, got {width}x{height} "
            f"with {camera.fx} and {camera.fy}; use 128x96 with 64 and 76.8."
        )
    if (camera.cx, camera.cy) != (width / 2, height / 2):
        raise ConfigError(
            f"Doom's principal point is the middle, {width / 2} and {height / 2}, got {camera.cx} "
            f"and {camera.cy}."
        )
    for factor in (2, 4, 1):
        if factor * width in NATIVE:
            return factor
    raise ConfigError(
        f"Doom draws pictures {', '.join(map(str, NATIVE))} pixels wide, and none is 1, 2 or 4 "
        f"times {width}; use 128x96."
    )


class Doom:
    """One engine with up to 99 mazes to stand in; close it, or use it in a `with`."""

    def __init__(self, camera: Camera, seeds: Sequence[int]) -> None:
        """Start the engine in the maze of the first seed.

        Args:
            camera: 4:3, fx = width / 2, fy = 0.6 width; 128x96 is drawn at 256x192 and averaged.
            seeds: 1 to 99 different seeds of mazes.

        Raises:
            ConfigError: the camera can't be drawn or the seeds can't be held.
            BackendUnavailable: ViZDoom is not installed.
        """
        try:
            import vizdoom
        except ImportError as error:
            raise BackendUnavailable(
                "ViZDoom", "install it with: pip install 'worldrt[simulator]'"
            ) from error
        if len(set(seeds)) != len(seeds):
            raise ConfigError(
                f"Of {len(seeds)} seeds only {len(set(seeds))} differ; name each once."
            )
        factor = supersampling(camera)
        self.camera = camera
        self._mazes = {seed: maze.generate(seed) for seed in seeds}
        self._numbers = {seed: number for number, seed in enumerate(seeds, start=1)}
        content = wad.write(list(self._mazes.values()))

        self._died = (
            vizdoom.ViZDoomErrorException,
            vizdoom.ViZDoomIsNotRunningException,
            vizdoom.ViZDoomUnexpectedExitException,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="worldrt-doom-")
        folder = Path(self._folder.name)
        (folder / "mazes.wad").write_bytes(content)
        game = vizdoom.DoomGame()
        game.set_doom_config_path(str(folder / "vizdoom.ini"))
        game.set_doom_game_path(str(Path(vizdoom.__file__).parent / "freedoom2.wad"))
        game.set_doom_scenario_path(str(folder / "mazes.wad"))
        game.set_doom_map(wad.map_name(1))
        game.set_screen_resolution(
            vizdoom.ScreenResolution.__members__[
                f"RES_{camera.width * factor}X{camera.height * factor}"
            ]
        )
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_render_hud(False)
        game.set_render_weapon(False)
        game.set_render_crosshair(False)
        game.set_render_decals(False)
        game.set_render_particles(False)
        game.set_render_messages(False)
        game.set_render_corpses(False)
        game.set_render_effects_sprites(False)
        game.set_render_screen_flashes(False)
        game.set_episode_timeout(0)
        game.set_seed(1)
        game.add_game_args(SETTINGS)
        game.set_available_buttons([])
        variable = vizdoom.GameVariable
        game.set_available_game_variables(
            [
                variable.CAMERA_POSITION_X,
                variable.CAMERA_POSITION_Y,
                variable.CAMERA_ANGLE,
            ]
        )
        try:
            with contextlib.chdir(folder):  # the engine leaves a folder of its own where it starts
                game.init()
        except self._died as error:
            self._folder.cleanup()
            raise SimulatorError(f"The Doom engine did not start ({error}).") from error
        self._game = game
        self.load(seeds[0])

    def load(self, seed: int) -> None:
        """Go to the maze of `seed`.

        Raises:
            SimulatorError: the engine was not started with this seed, or has died.
        """
        if seed not in self._mazes:
            raise SimulatorError(
                f"Maze {seed} is not among the {len(self._mazes)} that this engine started with."
            )
        self.maze = self._mazes[seed]
        self._heights = self.maze.heights
        self._place = maze.centre(self.maze.cells[0])
        with self._alive():
            self._game.set_doom_map(wad.map_name(self._numbers[seed]))
            self._game.new_episode()

    def observe(self, world_from_camera: NDArray[np.float64]) -> Observation:
        """Look from a pose.

        Args:
            world_from_camera: [4, 4] level pose at eye height, metres.

        Raises:
            ShapeError: the pose is not [4, 4].
            InputError: the pose is not a rigid one.
            SimulatorError: the pose is not level or not at eye height, or the engine has died.
        """
        x, z, yaw = _level(world_from_camera)
        # The engine tests a place for lines nearby; in the rock between rooms it finds none.
        free = collision.clear(self.maze.labels, x, z, BODY)
        wanted_x, wanted_z = (x, z) if free else self._place
        turn = round((0.25 - yaw / math.tau) * FIXED) % FIXED
        east, north = round(wanted_x * wad.UNITS * FIXED), round(wanted_z * wad.UNITS * FIXED)
        with self._alive():
            self._game.send_game_command(f"puke {wad.POSE_SCRIPT} {east} {north} {turn}")
            self._game.make_action([])
            state = self._game.get_state()
        assert state and state.screen_buffer is not None, "an episode never ends"
        assert state.game_variables is not None, "three were asked for"
        reached_east, reached_north, angle = (float(value) for value in state.game_variables)
        self._place = reached_east / wad.UNITS, reached_north / wad.UNITS
        reached_yaw = math.radians(90 - angle)
        reached = maze.pose(*self._place, reached_yaw)
        picture = cv2.resize(
            state.screen_buffer,
            (self.camera.width, self.camera.height),
            interpolation=cv2.INTER_AREA,
        )
        return Observation(
            rgb=picture.astype(np.uint8, copy=False),
            depth=depth.cast(self._heights, self.camera, reached[:3, 3], reached_yaw),
            world_from_camera=reached,
            collided=math.hypot(self._place[0] - x, self._place[1] - z) > REFUSED,
        )

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """Turn the end of the engine's process into an error of ours."""
        try:
            yield
        except self._died as error:
            raise SimulatorError(f"The Doom engine ended ({error}); start another one.") from error

    def close(self) -> None:
        """Stop the engine and remove its files."""
        self._game.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _level(world_from_camera: NDArray[np.float64]) -> tuple[float, float, float]:
    """World x and z, metres, and yaw, radians, of a level pose at eye height."""
    check_pose(world_from_camera)
    down = world_from_camera[:3, 1]
    tilt = math.atan2(math.hypot(down[0], down[2]), down[1])
    if tilt > LEVEL:
        raise SimulatorError(
            f"Doom's camera stays level, this pose is tilted by {math.degrees(tilt):.4f} degrees; "
            "keep pitch and roll at 0."
        )
    x, y, z = (float(value) for value in world_from_camera[:3, 3])
    if abs(y + maze.EYE) > LEVEL:
        raise SimulatorError(
            f"Doom's eye is at y = {-maze.EYE} m, this pose is at {y:.4f} m; "
            "start from Maze.start()."
        )
    return x, z, math.atan2(world_from_camera[0, 2], world_from_camera[2, 2])

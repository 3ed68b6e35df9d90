"""The Doom engine: exact poses, the same frames every time, depth that its own buffer confirms."""

import contextlib
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.errors import (
    BackendUnavailable,
    ConfigError,
    InputError,
    ShapeError,
    SimulatorError,
    WorldrtError,
)
from worldrt.geometry.camera import Camera
from worldrt.simulators.doom import depth, maze
from worldrt.simulators.doom.engine import Doom, supersampling

vizdoom = pytest.importorskip("vizdoom")
SEEDS = (3, 11)


def camera(width: int = 128) -> Camera:
    return Camera(
        width=width,
        height=width * 3 // 4,
        fx=width / 2,
        fy=0.6 * width,
        cx=width / 2,
        cy=width * 3 / 8,
    )


@pytest.fixture(scope="module")
def doom() -> Iterator[Doom]:
    """An engine that draws its own depth buffer too, which ours never asks for."""
    init = vizdoom.DoomGame.init

    def with_depth(game: Any) -> None:
        game.set_depth_buffer_enabled(True)
        init(game)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vizdoom.DoomGame, "init", with_depth)
        engine = Doom(camera(), SEEDS)
    with engine:
        yield engine


def poses(world: maze.Maze, count: int) -> list[NDArray[np.float64]]:
    """Random free poses."""
    random = np.random.default_rng(world.seed)
    found = []
    while len(found) < count:
        x, z = random.uniform(4, 44, 2)
        pose = maze.pose(x, z, random.uniform(-math.pi, math.pi))
        if world.free(pose[:3, 3]):
            found.append(pose)
    return found


def yaw(pose: NDArray[np.float64]) -> float:
    return math.atan2(pose[0, 2], pose[2, 2])


@pytest.mark.parametrize("seed", SEEDS)
def test_poses_are_reached(doom: Doom, seed: int) -> None:
    doom.load(seed)
    for pose in poses(doom.maze, 20):
        seen = doom.observe(pose)
        assert not seen.collided
        assert seen.rgb.shape == (96, 128, 3) and seen.rgb.dtype == np.uint8
        assert seen.depth.shape == (96, 128) and seen.depth.dtype == np.float32
        np.testing.assert_allclose(seen.world_from_camera[:3, 3], pose[:3, 3], atol=1e-6)
        np.testing.assert_allclose(seen.world_from_camera, pose, atol=1e-4)
        np.testing.assert_array_equal(
            doom.observe(seen.world_from_camera).world_from_camera, seen.world_from_camera
        )


def test_depth_agrees_with_the_engines_buffer(doom: Doom) -> None:
    """The buffer counts in steps of 7.1 units; it was fitted on rendered walls."""
    errors = []
    for seed in SEEDS:
        doom.load(seed)
        for pose in poses(doom.maze, 20):
            doom.observe(pose)
            view = doom.camera.scaled(2)
            exact = depth.cast(doom.maze.heights, view, pose[:3, 3], yaw(pose)) * 32
            state = doom._game.get_state()
            assert state is not None and state.depth_buffer is not None
            buffer = 7.136 * state.depth_buffer.astype(float) + 6.37
            errors.append(np.abs(exact - buffer)[exact < 1500])
    errors = np.concatenate(errors)
    assert np.median(errors) < 7.136
    assert np.mean(errors > 2 * 7.136) < 0.01, "silhouettes are elsewhere"


def test_pictures_are_averages(doom: Doom) -> None:
    seen = doom.observe(doom.maze.start())
    state = doom._game.get_state()
    assert state is not None and state.screen_buffer is not None
    mean = state.screen_buffer.reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(seen.rgb - mean).max() <= 0.5


def test_frames_are_the_same_from_any_engine(doom: Doom) -> None:
    doom.load(11)
    path = poses(doom.maze, 12)
    seen = [doom.observe(pose) for pose in path]
    doom.load(3)
    doom.load(11)
    again = [doom.observe(pose) for pose in path]
    with Doom(camera(), [11]) as other:
        alone = [other.observe(pose) for pose in reversed(path)][::-1]
    for a, b, c in zip(seen, again, alone, strict=True):
        assert np.array_equal(a.rgb, b.rgb) and np.array_equal(a.rgb, c.rgb)
        assert np.array_equal(a.depth, b.depth) and np.array_equal(a.depth, c.depth)
    assert len({a.rgb.tobytes() for a in seen}) == len(seen)


def test_what_one_view_shows_another_confirms(doom: Doom) -> None:
    """Points of one frame, by its pose and depth, have the same colour and depth in another."""
    doom.load(3)
    view = doom.camera
    pose = doom.maze.start()
    x, _, z = pose[:3, 3] + 1.0 * pose[:3, 2] + 0.4 * pose[:3, 0]
    near = maze.pose(x, z, yaw(pose) + 0.2)
    one, two = doom.observe(pose), doom.observe(near)
    points = view.unproject(one.depth, one.world_from_camera)
    pixels, distance = view.project(points, two.world_from_camera)
    column, row = np.floor(np.moveaxis(pixels, -1, 0)).astype(int)
    seen = (column >= 0) & (column < 128) & (row >= 0) & (row < 96) & (distance > 0)
    there = two.depth[row[seen], column[seen]]
    same = np.abs(there / distance[seen] - 1) < 0.03
    assert np.mean(same) > 0.85
    colours = (
        one.rgb[seen][same].astype(float),
        two.rgb[row[seen], column[seen]][same].astype(float),
    )
    # Doom's textures are sharp, so most of the difference is their aliasing.
    error = np.abs(colours[0] - colours[1]).mean()
    shuffled = np.abs(colours[0] - np.roll(colours[1], 7, axis=0)).mean()
    assert error < 0.6 * shuffled


def test_light_does_not_fall_with_distance(doom: Doom) -> None:
    """The mean colour of a patch of wall is the same from near and far."""
    for seed in SEEDS:
        doom.load(seed)
        pose = doom.maze.start()
        means = []
        for back in (0.0, 2.0):
            x, _, z = pose[:3, 3] - back * pose[:3, 2]
            seen = doom.observe(maze.pose(x, z, yaw(pose)))
            points = doom.camera.unproject(seen.depth, seen.world_from_camera)
            local = (points - pose[:3, 3]) @ pose[:3, :3]
            floor = (np.abs(points[..., 1]) < 0.01) & (local[..., 2] > 2.5) & (local[..., 2] < 6)
            means.append(seen.rgb[floor & (np.abs(local[..., 0]) < 1.5)].mean())
        assert means[1] == pytest.approx(means[0], rel=0.06)


@pytest.mark.parametrize("place", [(1.0, 1.0), (-5.0, 20.0), (1e7, 9.0)])
def test_rock_is_refused(doom: Doom, place: tuple[float, float]) -> None:
    doom.load(3)
    before = doom.observe(doom.maze.start())
    seen = doom.observe(maze.pose(*place, 1.0))
    assert seen.collided
    np.testing.assert_array_equal(seen.world_from_camera[:3, 3], before.world_from_camera[:3, 3])
    assert yaw(seen.world_from_camera) == pytest.approx(1.0, abs=1e-4), "it may still turn"


def test_a_fresh_maze_has_a_place_to_stand(doom: Doom) -> None:
    doom.load(11)
    seen = doom.observe(maze.pose(0.0, 0.0, 0.0))
    assert seen.collided and doom.maze.free(seen.world_from_camera[:3, 3])


def _tilted(axis: int) -> NDArray[np.float64]:
    """A start pose, pitched (0) or rolled (2) by a hundredth of a degree."""
    turn = math.radians(0.01)
    pose, rotation = maze.generate(3).start(), np.eye(3)
    a, b = [i for i in range(3) if i != axis]
    rotation[[a, b], [a, b]] = math.cos(turn)
    rotation[a, b], rotation[b, a] = -math.sin(turn), math.sin(turn)
    pose[:3, :3] = pose[:3, :3] @ rotation
    return pose


def _raised(metres: float) -> NDArray[np.float64]:
    pose = maze.generate(3).start()
    pose[1, 3] -= metres
    return pose


BAD_POSES: dict[str, tuple[NDArray[np.float64], type[WorldrtError], str]] = {
    "pitch": (_tilted(0), SimulatorError, "tilted by 0.0100 degrees; keep pitch and roll at 0"),
    "roll": (_tilted(2), SimulatorError, "tilted by 0.0100 degrees"),
    "head down": (np.diag([1.0, -1, -1, 1]), SimulatorError, "tilted by 180.0000 degrees"),
    "height": (_raised(0.5), SimulatorError, "y = -1.28125 m, this pose is at -1.7812 m"),
    "shape": (np.eye(3), ShapeError, "[3, 3], expected [4, 4]"),
    "nan": (np.full((4, 4), np.nan), InputError, "not finite"),
}


@pytest.mark.parametrize("name", BAD_POSES)
def test_bad_poses(doom: Doom, name: str) -> None:
    pose, error, sentence = BAD_POSES[name]
    with pytest.raises(error) as caught:
        doom.observe(pose)
    assert sentence in str(caught.value)


def test_unknown_maze(doom: Doom) -> None:
    with pytest.raises(SimulatorError, match="Maze 5 is not among the 2"):
        doom.load(5)


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [([], "got 0"), (range(100), "got 100"), ([4, 4], "Of 2 seeds only 1 differ")],
    ids=["none", "many", "twice"],
)
def test_bad_seeds(seeds: list[int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Doom(camera(), seeds)


@pytest.mark.parametrize(
    ("width", "factor"), [(128, 2), (160, 2), (80, 2), (640, 2), (64, 4), (40, 4), (1600, 1)]
)
def test_supersampling(width: int, factor: int) -> None:
    assert supersampling(camera(width)) == factor


BAD_CAMERAS = {
    "size": (camera(96), "times 96"),
    "aspect": (Camera(width=128, height=128, fx=64, fy=76.8, cx=64, cy=64), "got 128x128"),
    "focus": (Camera(width=128, height=96, fx=64, fy=64, cx=64, cy=48), "with 64 and 64"),
    "middle": (Camera(width=128, height=96, fx=64, fy=76.8, cx=60, cy=48), "64.0 and 48.0, got 60"),
}


@pytest.mark.parametrize("name", BAD_CAMERAS)
def test_bad_cameras(name: str) -> None:
    view, sentence = BAD_CAMERAS[name]
    with pytest.raises(ConfigError) as caught:
        Doom(view, [1])
    assert sentence in str(caught.value)


def test_without_vizdoom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'worldrt\[simulator\]'"):
        Doom(camera(), [1])


def test_an_engine_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise vizdoom.ViZDoomUnexpectedExitException("no memory")

    monkeypatch.setattr(vizdoom.DoomGame, "init", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SimulatorError, match="did not start .*no memory"):
        Doom(camera(), [1])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with Doom(camera(40), [2]) as small:
        assert small.observe(small.maze.start()).rgb.shape == (30, 40, 3)
        assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert list(temporary.iterdir()) == []
    assert Path.cwd() == tmp_path


def children() -> set[int]:
    """Processes that this one started."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found |= set(map(int, (task / "children").read_text().split()))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_dead_engine_says_so() -> None:
    before = children()
    with Doom(camera(40), [2]) as doomed:
        (process,) = children() - before
        os.kill(process, signal.SIGKILL)
        with pytest.raises(SimulatorError, match="ended.*start another one"):
            doomed.observe(doomed.maze.start())

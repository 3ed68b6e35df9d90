"""Where a walk begins: files that keep what was written, mazes, pictures, and every refusal."""

import builtins
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.tiny import room_start, tiny_config
from worldrt.config import CameraConfig
from worldrt.errors import BackendUnavailable, ConfigError, CorruptFile, InputError, ShapeError
from worldrt.estimate import ROOM, Estimate, Room
from worldrt.geometry.camera import Camera
from worldrt.starts import (
    DEPTH_LEVELS,
    MOST_CONTEXT,
    NEAREST,
    Start,
    from_image,
    open_start,
    read_start,
    write_start,
)
from worldrt.world import World

CAMERA = Camera.centred(tiny_config().camera)
MOTION = tiny_config().motion


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((image / 255.0 - truth / 255.0) ** 2)))


def inverse(depth: np.ndarray) -> np.ndarray:
    """Levels of inverse depth that a file counts in, unrounded."""
    return np.minimum(1, NEAREST / depth.astype(np.float64)) * DEPTH_LEVELS


# Files.


@pytest.mark.parametrize("frames, width, height", [(1, 64, 48), (7, 64, 48), (3, 37, 25)])
def test_what_is_written_is_read(tmp_path: Path, frames: int, width: int, height: int) -> None:
    camera = CameraConfig(width=width, height=height, fx=width / 2, fy=0.6 * width)
    wanted = room_start(frames, camera)
    write_start(tmp_path / "room.mkv", wanted)
    found = read_start(tmp_path / "room.mkv")
    assert (found.name, found.maze, found.assumed) == ("room", None, "")
    np.testing.assert_array_equal(found.poses, wanted.poses)
    assert found.rgb.dtype == np.uint8 and found.rgb.shape == wanted.rgb.shape
    assert psnr(found.rgb, wanted.rgb) > 38
    assert found.depth.dtype == np.float32 and found.depth.shape == wanted.depth.shape
    assert np.abs(inverse(found.depth) - inverse(wanted.depth)).max() < 0.501


def test_depth_far_near_and_unknown(tmp_path: Path) -> None:
    start = room_start(1)
    start.depth[0, 0, :7] = [NEAREST / 2, NEAREST, 30.0, 1e6, 0.0, np.nan, np.inf]
    write_start(tmp_path / "far.mkv", start)
    found = read_start(tmp_path / "far.mkv").depth[0, 0, :7]
    farthest = NEAREST * DEPTH_LEVELS
    np.testing.assert_allclose(found[[0, 1, 3]], [NEAREST, NEAREST, farthest], rtol=1e-6)
    assert abs(found[2] / 30 - 1) < 0.03
    np.testing.assert_array_equal(found[4:], 0)


def test_maze_is_kept(tmp_path: Path) -> None:
    start = room_start(1)
    write_start(tmp_path / "a.mkv", Start("seed:12", start.rgb, start.depth, start.poses, maze=12))
    assert read_start(tmp_path / "a.mkv").maze == 12


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A start's file."""
    path = tmp_path_factory.mktemp("starts") / "room.mkv"
    write_start(path, room_start(6))
    return path.read_bytes()


def test_truncated_file_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.mkv"
    for length in np.linspace(0, 0.98 * len(content), 40, dtype=int):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptFile, match="copy or download it again"):
            read_start(path)


def test_flipped_bits_give_a_start_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path, random, refused = tmp_path / "flipped.mkv", Random(4), 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(random.choice([1, 1, 5, 40])):
            end = random.choice([1500, len(damaged)])  # the headers and the note lie in front
            damaged[random.randrange(end)] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read_start(path)
        except CorruptFile:
            refused += 1
            continue
        frames = len(found.poses)
        assert frames > 0 and np.isfinite(found.poses).all()
        assert found.rgb.shape == (*found.depth.shape, 3) and len(found.depth) == frames
        assert np.isfinite(found.depth).all() and (found.depth >= 0).all()
    assert 30 < refused < 150


@pytest.mark.parametrize("text", [b"", b"no video", b"\x1aE\xdf\xa3" + bytes(100)])
def test_what_is_no_start_is_corrupt(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "not.mkv"
    path.write_bytes(text)
    with pytest.raises(CorruptFile, match="not.mkv can't be read"):
        read_start(path)


def test_pose_that_is_not_rigid_is_corrupt(tmp_path: Path) -> None:
    start = room_start(2)
    start.poses[1, 0, 0] = 7
    write_start(tmp_path / "bent.mkv", start)
    with pytest.raises(CorruptFile, match="rotation"):
        read_start(tmp_path / "bent.mkv")


def test_note_for_another_number_of_frames_is_corrupt(tmp_path: Path) -> None:
    start = room_start(3)
    write_start(tmp_path / "short.mkv", Start("a", start.rgb, start.depth, start.poses[:2]))
    with pytest.raises(CorruptFile, match="2 poses"):
        read_start(tmp_path / "short.mkv")


def test_last_keeps_the_latest_frames() -> None:
    start = room_start(5)
    for count in (1, 4):
        last = start.last(count)
        np.testing.assert_array_equal(last.poses, start.poses[-count:])
        np.testing.assert_array_equal(last.rgb, start.rgb[-count:])
        np.testing.assert_array_equal(last.depth, start.depth[-count:])
    assert len(start.last(9).poses) == 5


def test_camera_of_another_size_is_refused() -> None:
    room_start(1).check_camera(CAMERA)
    with pytest.raises(ShapeError, match=r"\[1, 48, 64, 3\], expected \[K, 24, 32, 3\]"):
        room_start(1).check_camera(CAMERA.scaled(0.5))


# By what a user says.


@pytest.mark.parametrize("context, frames", [(0, 1), (4, 5), (9, 10), (96, 10)])
def test_shipped_start_has_the_context_asked_for(
    world: World, start: Start, context: int, frames: int
) -> None:
    found = world.start("room", context)
    np.testing.assert_array_equal(found.poses, start.poses[-frames:])


@pytest.mark.parametrize(
    "text, words",
    [
        ("rom", "Unknown start 'rom': did you mean 'room'"),
        ("elsewhere", "choose one of an image file, room, seed:N"),
        ("", "Unknown start ''"),
        ("seed:", "whole number as its seed, got ''"),
        ("seed:x", "whole number as its seed, got 'x'"),
        ("seed:-1", "got '-1'"),
        ("seed:1.5", "got '1.5'"),
    ],
)
def test_unknown_start_is_refused(world_folder: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_start(text, world_folder, CAMERA, MOTION, 0)


@pytest.mark.parametrize("context", [-1, MOST_CONTEXT + 1])
@pytest.mark.parametrize("text", ["room", "seed:1", "missing.png"])
def test_context_out_of_range_is_refused(world_folder: Path, text: str, context: int) -> None:
    with pytest.raises(ConfigError, match=f"{context} context frames .* 0 to 96"):
        open_start(text, world_folder, CAMERA, MOTION, context)


# Pictures.


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1"])
@pytest.mark.parametrize("size", [(64, 48), (37, 111), (201, 3), (1, 1)])
def test_picture_becomes_one_frame(
    tmp_path: Path, world_folder: Path, mode: str, size: tuple[int, int]
) -> None:
    Image.new("RGB", size, (204, 204, 204)).convert(mode).save(tmp_path / "room.png")
    start = open_start(str(tmp_path / "room.png"), world_folder, CAMERA, MOTION, 5)
    start.check_camera(CAMERA)
    assert len(start.rgb) == len(start.depth) == len(start.poses) == 1
    np.testing.assert_array_equal(start.poses[0], np.eye(4))
    assert start.name == "room" and start.maze is None
    if mode != "1":  # dithered
        assert np.abs(start.rgb.astype(int) - 204).max() <= 3


def test_picture_is_cut_in_the_middle_and_not_stretched(tmp_path: Path) -> None:
    wide = np.zeros((48, 200, 3), np.uint8)
    wide[:, 68:132] = room_start(1).rgb[0]
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(
        from_image(tmp_path / "wide.png", CAMERA, Room()).rgb[0], wide[:, 68:132]
    )


def test_assumed_room_is_said_and_is_the_one_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "hall.png")
    start = from_image(tmp_path / "hall.png", CAMERA, Room())
    floor, ceiling, wall = ROOM
    assert start.assumed.startswith("hall.png has no depth: a level camera in a room is assumed")
    assert all(f"{metres:g} m" in start.assumed for metres in ROOM)
    points = CAMERA.unproject(start.depth[0], start.poses[0])
    assert points[..., 1].max() == pytest.approx(floor) and start.depth.max() == wall
    assert points[..., 1].min() == pytest.approx(-ceiling)
    on = [np.isclose(points[..., 1], floor), np.isclose(points[..., 1], -ceiling)]
    assert (on[0] | on[1] | (start.depth[0] == wall)).all()
    assert on[0][-1].all() and on[1][0].all()


@pytest.mark.parametrize("width, height", [(9, 7), (48, 125)])
def test_assumed_depth_is_positive_at_the_horizon(tmp_path: Path, width: int, height: int) -> None:
    """The middle row of an odd camera looks exactly level."""
    odd = Camera.centred(CameraConfig(width=width, height=height, fx=5, fy=5))
    Image.new("RGB", (1, 1)).save(tmp_path / "a.png")
    depth = from_image(tmp_path / "a.png", odd, Room()).depth
    assert depth.shape == (1, height, width)
    assert np.isfinite(depth).all() and (depth > 0).all()


def test_picture_on_a_plane(tmp_path: Path, world_folder: Path) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "sea.png")
    start = open_start(str(tmp_path / "sea.png"), world_folder, CAMERA, MOTION, 0, "plane:7.5")
    assert (start.depth == 7.5).all() and start.depth.dtype == np.float32
    assert start.assumed == "sea.png has no depth: a flat picture 7.5 m ahead is assumed."


def test_depth_provider_sees_the_whole_cut(tmp_path: Path) -> None:
    """At its own size, not at the camera's."""
    Image.new("RGB", (200, 96)).save(tmp_path / "wide.png")

    class Provider:
        shape: tuple[int, ...] = ()

        def estimate(self, rgb: NDArray[np.uint8], camera: Camera) -> Estimate:
            self.shape = rgb.shape
            return Estimate(np.full((camera.height, camera.width), 3.0, np.float32), "it is known")

    provider = Provider()
    start = from_image(tmp_path / "wide.png", CAMERA, provider)
    assert provider.shape == (96, 128, 3)
    assert (start.depth == 3).all() and start.assumed == "wide.png has no depth: it is known."


def test_depth_that_is_none_is_refused(tmp_path: Path, world_folder: Path) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="Depth can't come from 'cellar': say room, plane:METRES"):
        open_start(str(tmp_path / "a.png"), world_folder, CAMERA, MOTION, 0, "cellar")


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_unreadable_picture_is_refused(
    tmp_path: Path, world_folder: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="a.png can't be read as a picture"):
        open_start(str(path), world_folder, CAMERA, MOTION, 0)


# Mazes.


def test_maze_start_is_the_same_each_time(world: World) -> None:
    pytest.importorskip("vizdoom")
    one, other = (world.start("seed:5", 3) for _ in range(2))
    assert one.maze == 5 and one.name == "seed:5"
    assert len(one.poses) == 4
    one.check_camera(world.camera)
    np.testing.assert_array_equal(one.rgb, other.rgb)
    np.testing.assert_array_equal(one.depth, other.depth)
    np.testing.assert_array_equal(one.poses, other.poses)
    assert one.rgb.std() > 10 and one.depth.min() > 0.3
    assert len({pose.tobytes() for pose in one.poses}) == 4


def test_maze_without_vizdoom_says_how_to_get_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "vizdoom":
            raise ModuleNotFoundError("No module named 'vizdoom'")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "vizdoom", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match="ViZDoom is not available here; install it with"):
        world.start("seed:5")


def test_maze_that_the_camera_cannot_see_is_refused(world_folder: Path) -> None:
    pytest.importorskip("vizdoom")
    with pytest.raises(ConfigError, match="Doom draws 4:3 pictures"):
        open_start("seed:1", world_folder, room_camera(), MOTION, 0)


def room_camera() -> Camera:
    return Camera.centred(CameraConfig(width=64, height=64, fx=32, fy=38.4))

"""Other people's videos: what a folder is worth, and what is said of one that is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.bench.memory.folder import score_folder
from worldrt.errors import InputError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.video import VideoWriter, write_image

FRAMES = 120
CAMERA = Camera(width=24, height=16, fx=12.0, fy=12.0, cx=12.0, cy=8.0)
ROUND = np.linspace(0, 4 * np.pi, FRAMES, endpoint=False)
POSES = from_yaw_pitch(np.zeros((FRAMES, 3)), ROUND, 0.0)
"""Two turns on the spot."""


def panorama(yaw: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What one sees of a striped cylinder."""
    columns = yaw[:, None] + np.arctan2(np.arange(24) + 0.5 - CAMERA.cx, CAMERA.fx)
    row = 0.5 + 0.4 * np.sin(np.stack([columns, 2 * columns + 0.3, 3 * columns], axis=-1))
    return np.repeat((255 * row[:, None]).astype(np.uint8), 16, axis=1)


def cylinder() -> NDArray[np.float64]:
    """[Y, X] depth of a cylinder of 3 m about the camera."""
    x = (np.arange(24) + 0.5 - CAMERA.cx) / CAMERA.fx
    return np.tile(3 / np.hypot(1, x), (16, 1))


def write(folder: Path, name: str, frames: NDArray[np.uint8]) -> None:
    (folder / name).mkdir()
    for index, frame in enumerate(frames):
        write_image(folder / name / f"{index:05d}.png", frame)


def write_poses(folder: Path, poses: object, **more: object) -> None:
    (folder / "poses.json").write_text(json.dumps({"world_from_camera": poses, **more}))


def rows(poses: NDArray[np.float64]) -> list[list[float]]:
    return poses.reshape(-1, 16).tolist()


def make(folder: Path, frames: NDArray[np.uint8]) -> None:
    write(folder, "frames", frames)
    write_poses(folder, rows(POSES))


def test_a_perfect_memory_gains_and_a_static_one_does_not(tmp_path: Path) -> None:
    for name in ("perfect", "static"):
        (tmp_path / name).mkdir()
    make(tmp_path / "perfect", panorama(ROUND))
    make(tmp_path / "static", panorama(0 * ROUND))
    perfect, static = (score_folder(tmp_path / name) for name in ("perfect", "static"))
    assert perfect.frames == FRAMES and perfect.revisits == static.revisits == 60
    assert perfect.figures["psnr_revisit"] == 60 and perfect.figures["psnr_mg"] > 20
    assert perfect.figures["psnr_nmr"] > 0.5
    assert static.figures["psnr_mg"] == 0 and "psnr_nmr" not in static.figures
    assert msgspec.json.decode(msgspec.json.encode(perfect), type=type(perfect)) == perfect


def test_a_video_file_is_read_like_pictures(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "frames.mp4", 24, 16, 10, scale=2) as writer:
        writer.write(panorama(ROUND))
    write_poses(tmp_path, rows(POSES))
    told = score_folder(tmp_path)
    assert told.frames == FRAMES and 15 < told.figures["psnr_mg"] < 60


def test_against_a_truth_without_depth(tmp_path: Path) -> None:
    make(tmp_path, panorama(ROUND) // 2 + 50)
    write(tmp_path, "truth", panorama(ROUND) // 2 + 101)
    told = score_folder(tmp_path).figures
    assert told["truth_psnr_all"] == pytest.approx(-20 * np.log10(0.2))
    assert told["truth_sharpness_all"] == pytest.approx(1)
    assert "truth_psnr_seen" not in told


def test_depth_tells_what_was_seen_before(tmp_path: Path) -> None:
    truth = panorama(ROUND)
    frames = truth.copy()
    frames[FRAMES // 2 :] = 128
    make(tmp_path, frames)
    write_poses(tmp_path, rows(POSES), intrinsics=[12.0, 12.0, 12.0, 8.0])
    write(tmp_path, "truth", truth)
    (tmp_path / "depth").mkdir()
    for index in range(FRAMES):
        image = np.round(1000 * cylinder()).astype(np.uint16)
        image[:8] = 0 if index < FRAMES // 2 else image[:8]  # the upper half comes to light later
        cv2.imwrite(str(tmp_path / "depth" / f"{index:05d}.png"), image)
    told = score_folder(tmp_path).figures
    assert 5 < told["truth_psnr_seen"] < 20 and 5 < told["truth_psnr_novel"] < 20
    expected = told["truth_psnr_all"]
    assert told["truth_psnr_seen"] == pytest.approx(expected, abs=0.1)


def no_frames(folder: Path) -> None:
    write_poses(folder, rows(POSES))


def few_frames(folder: Path) -> None:
    make(folder, panorama(ROUND))
    (folder / "frames" / "00000.png").unlink()


def few_video_frames(folder: Path) -> None:
    with VideoWriter(folder / "frames.mkv", 24, 16, 10) as writer:
        writer.write(panorama(ROUND)[:30])
    write_poses(folder, rows(POSES))


def many_video_frames(folder: Path) -> None:
    with VideoWriter(folder / "frames.mkv", 24, 16, 10) as writer:
        writer.write(panorama(ROUND))
    write_poses(folder, rows(POSES[:40]))


def two_sizes(folder: Path) -> None:
    make(folder, panorama(ROUND))
    write_image(folder / "frames" / "00007.png", np.zeros((20, 24, 3), np.uint8))


def tiny(folder: Path) -> None:
    make(folder, panorama(ROUND)[:, :9])


def no_poses(folder: Path) -> None:
    write(folder, "frames", panorama(ROUND))


def few_poses(folder: Path) -> None:
    write_poses(folder, rows(POSES[:7]))


def short_pose(folder: Path) -> None:
    write_poses(folder, [*rows(POSES)[:-1], [1.0] * 12])


def mirrored_pose(folder: Path) -> None:
    write_poses(folder, rows(POSES * np.array([-1.0, 1, 1, 1])))


def unknown_key(folder: Path) -> None:
    write_poses(folder, rows(POSES), fov=90)


def no_focal_length(folder: Path) -> None:
    write_poses(folder, rows(POSES), intrinsics=[0.0, 12.0, 12.0, 8.0])


def other_truth(folder: Path) -> None:
    make(folder, panorama(ROUND))
    write(folder, "truth", panorama(ROUND)[:, :12])


def depth_alone(folder: Path) -> None:
    make(folder, panorama(ROUND))
    write(folder, "truth", panorama(ROUND))
    (folder / "depth").mkdir()


def depth_without_truth(folder: Path) -> None:
    make(folder, panorama(ROUND))
    (folder / "depth").mkdir()


def coloured_depth(folder: Path) -> None:
    make(folder, panorama(ROUND))
    write_poses(folder, rows(POSES), intrinsics=[12.0, 12.0, 12.0, 8.0])
    write(folder, "truth", panorama(ROUND))
    write(folder, "depth", panorama(ROUND))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_frames, "{0} has neither frames/ nor a video named frames; add one."),
        (few_frames, "{0}/frames holds 119 pictures, poses.json 120 poses; give one a frame."),
        (
            few_video_frames,
            "{0}/frames.mkv holds 30 frames, poses.json 120 poses; give one a frame.",
        ),
        (
            many_video_frames,
            "{0}/frames.mkv holds 120 frames, poses.json 40 poses; give one a frame.",
        ),
        (
            two_sizes,
            "Frame 7 of {0}/frames is 24x20 pixels, the first 24x16; make them one size.",
        ),
        (
            tiny,
            "{0}/frames has 120 frames of 24x9 pixels; each side takes at least 11, and all frames "
            "together at most 2 GB, scale them.",
        ),
        (no_poses, "{0}/poses.json can't be read (No such file or directory); write "),
        (
            few_poses,
            "{0}/poses.json has 7 poses, at least 20 are needed for a revisit; give a longer "
            "video.",
        ),
        (
            short_pose,
            "Pose 119 of {0}/poses.json has 12 numbers, expected 16; write rows of 4.",
        ),
        (
            mirrored_pose,
            "Pose 0 of {0}/poses.json: A pose's rotation is 0 from orthonormal (at most 1e-06) "
            "with determinant -1 (expected 1); pass one without scale, shear or mirror.",
        ),
        (unknown_key, "{0}/poses.json can't be read (Object contains unknown field `fov`); "),
        (
            no_focal_length,
            "The focal lengths in {0}/poses.json are 0 and 12 pixels, both are above 0; write "
            "[fx, fy, cx, cy].",
        ),
        (
            other_truth,
            "The truth in {0} is 24x12 pixels, the frames 24x16; scale one of them.",
        ),
        (
            depth_alone,
            "{0} has depth/, but its poses.json no intrinsics; add [fx, fy, cx, cy].",
        ),
        (
            depth_without_truth,
            "{0} has depth/, but neither truth/ nor a video named truth; add one.",
        ),
        (
            coloured_depth,
            "{0}/depth/00000.png is uint8 of shape [16, 24, 3], expected uint16 of shape "
            "[16, 24]; write millimetres as a 16-bit grey PNG of the frames' size.",
        ),
    ],
)
def test_what_is_wrong_is_said(
    spoil: Callable[[Path], None], sentence: str, tmp_path: Path
) -> None:
    spoil(tmp_path)
    with pytest.raises(InputError) as refused:
        score_folder(tmp_path)
    assert str(refused.value).startswith(sentence.format(tmp_path))

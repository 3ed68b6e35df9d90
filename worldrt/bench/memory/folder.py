"""Other people's videos: frames and poses in a folder, scored for whether places stay.

The folder holds

- `frames/`: pictures, one a frame in the order of their names (`00000.png`, ...), all of one size;
  or a video, `frames.mp4` or any other that FFmpeg reads;
- `poses.json`: `{"world_from_camera": [[16 numbers], ...], "intrinsics": [fx, fy, cx, cy]}`, a
  matrix a frame, row by row, camera to world in metres, axes x right, y down, z forward;
  `intrinsics`, in pixels with the first pixel's centre at (0.5, 0.5), is needed for depth alone;
- `truth/` or `truth.mp4`, if there is one: what should have been seen, frame by frame;
- `depth/`, if there is one: 16-bit PNG pictures of the true metres along z in millimetres, 0 is
  unknown; needs `truth` and `intrinsics`.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.pairs import least_gap, mine
from worldrt.bench.memory.scores import gains, picture
from worldrt.bench.memory.seen import Past
from worldrt.bench.memory.truth import Truth
from worldrt.bench.metrics import WINDOW
from worldrt.errors import InputError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import check_pose
from worldrt.video import read_frames, read_image

MOST_BYTES = 2 << 30
"""Of a video's decoded frames, which are held in memory."""
FEWEST = 20
"""Frames below which nothing can be a revisit of anything."""


class FolderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder's video is worth as a memory."""

    frames: int
    revisits: int
    """Pairs of frames of one place; 0: the camera never comes back, and nothing can be told."""
    baselines: int
    short: int
    margin: int
    """Frames between baselines and revisits, see `worldrt.bench.memory.pairs.Mined`."""
    figures: dict[str, float]
    """`psnr_mg`, `psnr_nmr` and the others of `scores.gains`; with a truth, `truth_psnr_PART`,
    `truth_ssim_PART` and `truth_sharpness_PART` of the revisits' later frames with PART `all`, and
    with depth `seen` (in frames long enough ago to be revisited) and `novel`."""


class _Poses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    world_from_camera: list[list[float]]
    intrinsics: tuple[float, float, float, float] | None = None


def score_folder(folder: Path) -> FolderReport:
    """Score a folder as the module's docstring tells it.

    Raises:
        InputError: a file is missing or can't be read, or counts, sizes or poses do not fit.
    """
    notes = _read_poses(folder / "poses.json")
    poses = np.array(notes.world_from_camera).reshape(-1, 4, 4)
    frames = _read_video(folder, "frames", len(poses))
    if frames is None:
        raise InputError(f"{folder} has neither frames/ nor a video named frames; add one.")
    truth = _read_video(folder, "truth", len(poses))
    if truth is not None and truth.shape != frames.shape:
        raise InputError(
            f"The truth in {folder} is {_size(truth)} pixels, the frames {_size(frames)}; scale "
            "one of them."
        )
    if truth is None and (folder / "depth").is_dir():
        raise InputError(
            f"{folder} has depth/, but neither truth/ nor a video named truth; add one."
        )
    mined = mine(poses)
    figures = gains(frames, mined)
    if truth is not None:
        past = _past(folder, notes, poses, truth)
        figures |= _against(frames, truth, past, np.unique(mined.revisits[:, 1]))
    return FolderReport(
        frames=len(frames),
        revisits=len(mined.revisits),
        baselines=len(mined.baselines),
        short=len(mined.short),
        margin=mined.margin,
        figures=figures,
    )


def _against(
    frames: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    past: Past | None,
    revisiting: NDArray[np.int64],
) -> dict[str, float]:
    """Means of the pictures' figures against the truth, over the frames that have them."""
    found: dict[str, list[float]] = {}
    everything = np.ones(frames.shape[1:3], np.bool_)
    for frame in revisiting.tolist():
        parts = {"all": everything}
        if past is not None:
            parts["seen"] = past.seen(frame, np.arange(frame - least_gap(len(frames)) + 1))
            parts["novel"] = ~parts["seen"]
        for name, value in picture(frames[frame], truth[frame], parts).items():
            found.setdefault(f"truth_{name}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _past(
    folder: Path, notes: _Poses, poses: NDArray[np.float64], truth: NDArray[np.uint8]
) -> Past | None:
    """What the true depths tell of each frame; None: there are none."""
    if not (folder / "depth").is_dir():
        return None
    if notes.intrinsics is None:
        raise InputError(
            f"{folder} has depth/, but its poses.json no intrinsics; add [fx, fy, cx, cy]."
        )
    fx, fy, cx, cy = notes.intrinsics
    height, width = truth.shape[1:3]
    paths = _pictures(folder / "depth", len(poses))
    depth = np.stack([_read_depth(path, (height, width)) for path in paths])
    return Past(
        Truth(
            rgb=truth,
            depth=depth,
            ids=np.full(depth.shape, -1, np.int8),
            poses=poses,
            camera=Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy),
        )
    )


def _read_poses(path: Path) -> _Poses:
    try:
        notes = msgspec.json.decode(path.read_bytes(), type=_Poses)
    except (OSError, ValueError) as error:  # ValueError: msgspec's own
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{path} can't be read ({reason}); write world_from_camera, 16 numbers a frame, and "
            "intrinsics."
        ) from error
    if len(notes.world_from_camera) < FEWEST:
        raise InputError(
            f"{path} has {len(notes.world_from_camera)} poses, at least {FEWEST} are needed for a "
            "revisit; give a longer video."
        )
    for index, numbers in enumerate(notes.world_from_camera):
        if len(numbers) != 16:
            raise InputError(
                f"Pose {index} of {path} has {len(numbers)} numbers, expected 16; write rows of 4."
            )
        try:
            check_pose(np.array(numbers).reshape(4, 4))
        except InputError as error:
            raise InputError(f"Pose {index} of {path}: {error}") from error
    if notes.intrinsics is not None and not min(notes.intrinsics[:2]) > 0:
        raise InputError(
            f"The focal lengths in {path} are {notes.intrinsics[0]:g} and {notes.intrinsics[1]:g} "
            "pixels, both are above 0; write [fx, fy, cx, cy]."
        )
    return notes


def _read_video(folder: Path, name: str, count: int) -> NDArray[np.uint8] | None:
    """[T, Y, X, 3] of a folder of pictures or a video file; None: there is neither."""
    if (folder / name).is_dir():
        paths = _pictures(folder / name, count)
        return _gather(folder / name, (read_image(path) for path in paths), count)
    videos = sorted(path for path in folder.glob(f"{name}.*") if path.is_file())
    if not videos:
        return None
    return _gather(videos[0], read_frames(videos[0]), count)


def _gather(path: Path, images: Iterator[NDArray[np.uint8]], count: int) -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] | None = None
    index = -1
    for index, image in enumerate(images):
        if frames is None:
            if min(image.shape[:2]) < WINDOW or count * image.nbytes > MOST_BYTES:
                raise InputError(
                    f"{path} has {count} frames of {_size(image[None])} pixels; each side takes at "
                    f"least {WINDOW}, and all frames together at most {MOST_BYTES >> 30} GB, scale "
                    "them."
                )
            frames = np.empty((count, *image.shape), np.uint8)
        if image.shape != frames.shape[1:]:
            raise InputError(
                f"Frame {index} of {path} is {_size(image[None])} pixels, the first "
                f"{_size(frames)}; make them one size."
            )
        if index < count:
            frames[index] = image
    if frames is None or index + 1 != count:
        raise InputError(
            f"{path} holds {index + 1} frames, poses.json {count} poses; give one a frame."
        )
    return frames


def _pictures(folder: Path, count: int) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg"))
    if len(paths) != count:
        raise InputError(
            f"{folder} holds {len(paths)} pictures, poses.json {count} poses; give one a frame."
        )
    return paths


def _read_depth(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """[Y, X] metres."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.shape != size:
        found = "no picture" if image is None else f"{image.dtype} of shape {list(image.shape)}"
        raise InputError(
            f"{path} is {found}, expected uint16 of shape {list(size)}; write millimetres as a "
            "16-bit grey PNG of the frames' size."
        )
    return np.divide(image, 1000, dtype=np.float32)


def _size(frames: NDArray[np.uint8]) -> str:
    """Width and height, `128x96`."""
    return f"{frames.shape[2]}x{frames.shape[1]}"

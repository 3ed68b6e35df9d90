"""Where a walk begins: real frames with depth and pose, from a file, a maze or a picture.

A shipped start is one `.mkv`: a colour stream, a stream of 16-bit inverse depth without loss, and
the poses in its metadata; any player shows it.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from worldrt.config import MotionConfig
from worldrt.errors import ConfigError, CorruptFile, InputError, ShapeError
from worldrt.estimate import DepthProvider, depth_provider
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import check_pose
from worldrt.video import read_image

NEAREST = 0.25
"""Metres at which a start's stored inverse depth saturates."""
DEFAULT_DEPTH = "room"
"""How the depth of a picture is found unless another way is said."""
DEPTH_LEVELS = 2**12 - 1
"""Steps of the stored inverse depth; 30 m is told to 3 %."""
MOST_CONTEXT = 96
"""Most real frames before the first generated one."""


@dataclass(frozen=True, slots=True)
class Start:
    """Real frames that a session begins from; the last is where the camera stands."""

    name: str
    rgb: NDArray[np.uint8]
    """[K, Y, X, 3]."""
    depth: NDArray[np.float32]
    """[K, Y, X] metres along z."""
    poses: NDArray[np.float64]
    """[K, 4, 4] world_from_camera."""
    maze: int | None = None
    """Seed of the maze that it was seen in; None: no simulator knows this place."""
    assumed: str = ""
    """What was assumed because it could not be known; empty: nothing."""

    def check_camera(self, camera: Camera) -> None:
        """Raise ShapeError unless the frames are of this camera's size."""
        expected = (camera.height, camera.width, 3)
        if self.rgb.shape[1:] != expected:
            raise ShapeError("start", self.rgb.shape, f"[K, {expected[0]}, {expected[1]}, 3]")

    def last(self, frames: int) -> "Start":
        """The same start with at most `frames` real frames, the latest ones."""
        return Start(
            self.name,
            self.rgb[-frames:],
            self.depth[-frames:],
            self.poses[-frames:],
            self.maze,
            self.assumed,
        )


class _Notes(msgspec.Struct):
    """What a start's file says besides its pictures."""

    poses: list[list[float]]  # 16 numbers each, row by row
    maze: int | None


def open_start(
    text: str,
    folder: Path,
    camera: Camera,
    motion: MotionConfig,
    context_frames: int,
    depth: str = DEFAULT_DEPTH,
) -> Start:
    """The start that a user named.

    Args:
        text: name of a start of the world, `seed:N` (a maze of the simulator), or an image file.
        folder: of the world; its starts lie in `starts/`.
        camera: of the world.
        motion: how the look around is walked.
        context_frames: 0 to MOST_CONTEXT real frames before the one that the camera stands at.
        depth: of an image, see `depth_provider`; of any other start it is DEFAULT_DEPTH.

    Raises:
        ConfigError: unknown name, a seed that is no number, context_frames out of range, or a depth
            that is none or is not needed.
        BackendUnavailable: a seed without ViZDoom installed, or a model without transformers.
        InputError: an image or a model that can't be read.
    """
    if not 0 <= context_frames <= MOST_CONTEXT:
        raise ConfigError(
            f"{context_frames} context frames were asked for; 0 to {MOST_CONTEXT} are possible."
        )
    known = {path.stem: path for path in sorted((folder / "starts").glob("*.mkv"))}
    if depth != DEFAULT_DEPTH and (text.startswith("seed:") or text in known):
        raise ConfigError(
            f"Start {text!r} has depths of its own, {depth!r} would not be used; leave --depth out."
        )
    if text.startswith("seed:"):
        return from_maze(text.removeprefix("seed:"), camera, motion, context_frames)
    if text in known:
        return read_start(known[text]).last(context_frames + 1)
    if Path(text).suffix:
        return from_image(Path(text), camera, depth_provider(depth))
    raise ConfigError.unknown("start", text, [*known, "seed:N", "an image file"])


def from_maze(seed: str, camera: Camera, motion: MotionConfig, context_frames: int) -> Start:
    """A look around a maze of the simulator, see `open_start`."""
    from worldrt.simulators.doom.engine import Doom
    from worldrt.simulators.walks import look_around

    if not seed.isdecimal():
        raise ConfigError(f"A maze has a whole number as its seed, got {seed!r}; say seed:3.")
    number = int(seed)
    with Doom(camera, [number]) as doom:
        path = look_around(doom.maze, doom.maze.start(), context_frames + 1, motion, number)
        seen = [doom.observe(pose) for pose in path]
    return Start(
        f"seed:{number}",
        np.stack([view.rgb for view in seen]),
        np.stack([view.depth for view in seen]),
        np.stack([view.world_from_camera for view in seen]),
        number,
    )


def from_image(path: Path, camera: Camera, provider: DepthProvider) -> Start:
    """A picture, cut to the camera's shape, with the depth that a provider tells.

    Raises:
        InputError: the file is no picture, or no depth can be told.
    """
    image = read_image(path)
    height, width = image.shape[:2]
    scale = max(camera.width / width, camera.height / height)
    wide, tall = max(1, round(camera.width / scale)), max(1, round(camera.height / scale))
    left, top = (width - wide) // 2, (height - tall) // 2
    cut = np.ascontiguousarray(image[top : top + tall, left : left + wide])
    size = (camera.width, camera.height)
    rgb = cv2.resize(cut, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    depth, note = provider.estimate(cut, camera)
    return Start(
        path.stem,
        rgb[None],
        depth[None],
        np.eye(4)[None],
        assumed=f"{path.name} has no depth: {note}.",
    )


def write_start(path: Path, start: Start, fps: int = 15) -> None:
    """Write a start as a `.mkv`; colours lose a little, depth is told to 1 in 4095, 0 is unknown.

    Args:
        path: the file; its folder exists.
        start: at least one frame.
        fps: of the video, for those who play it.
    """
    notes = _Notes([pose.reshape(-1).tolist() for pose in start.poses], start.maze)
    known = np.isfinite(start.depth) & (start.depth > 0)
    nearness = DEPTH_LEVELS * NEAREST / np.where(known, start.depth, np.inf)
    levels = np.where(known, nearness.round().clip(1, DEPTH_LEVELS), 0).astype(np.uint16)
    with av.open(str(path), "w", format="matroska") as container:
        container.metadata["comment"] = msgspec.json.encode(notes).decode()
        # Tuned for the numbers: 4 dB that the eye would not miss and the memory keeps for ever.
        quality = {"crf": "12", "preset": "veryslow", "tune": "psnr"}
        colour = container.add_stream("libx264", fps, options=quality)
        deep = container.add_stream(
            "ffv1", fps, options={"level": "3", "coder": "1", "context": "1"}
        )
        for stream, kind in ((colour, "yuv444p"), (deep, "gray16le")):
            stream.height, stream.width = start.rgb.shape[1:3]
            stream.pix_fmt = kind
        for index, (rgb, deepness) in enumerate(zip(start.rgb, levels, strict=True)):
            pictures = (
                (colour, av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv444p")),
                (deep, av.VideoFrame.from_ndarray(deepness, "gray16le")),
            )
            for stream, picture in pictures:
                picture.pts, picture.time_base = index, Fraction(1, fps)
                container.mux(stream.encode(picture))
        for stream in (colour, deep):
            container.mux(stream.encode(None))


def read_start(path: Path) -> Start:
    """Read what `write_start` wrote.

    Raises:
        CorruptFile: the file is damaged or no start.
    """
    try:
        with av.open(str(path)) as container:
            notes = msgspec.json.decode(_comment(container.metadata), type=_Notes)
            streams = {0: [], 1: []}
            for frame in container.decode(video=(0, 1)):
                assert isinstance(frame, av.VideoFrame)
                index = 0 if frame.format.name.startswith("yuv444") else 1
                kind = "rgb24" if index == 0 else "gray16le"
                streams[index].append(frame.to_ndarray(format=kind))
        rgb, levels = np.stack(streams[0]), np.stack(streams[1])
        poses = np.array(notes.poses, np.float64).reshape(-1, 4, 4)
        for pose in poses:
            check_pose(pose)
    # IndexError: fewer than two streams. ValueError: no frame, several sizes, or no note of ours.
    except (FFmpegError, OSError, ValueError, IndexError, InputError) as error:
        raise CorruptFile(path, str(error)) from error
    if rgb.shape[:3] != levels.shape or len(rgb) != len(poses):
        counts = f"pictures {rgb.shape}, depths {levels.shape}, {len(poses)} poses"
        raise CorruptFile(path, counts)
    with np.errstate(divide="ignore"):
        depth = np.where(levels > 0, np.float32(NEAREST * DEPTH_LEVELS) / levels, np.float32(0))
    return Start(path.stem, rgb, depth, poses, notes.maze)


def _comment(metadata: dict[str, str]) -> str:
    """The note of a Matroska file; the container writes the key in capitals."""
    return {key.lower(): value for key, value in metadata.items()}.get("comment", json.dumps(None))

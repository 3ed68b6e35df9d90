"""Pixels on disk: videos written as they are made, videos and pictures read back."""

import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageOps

from worldrt.config import check
from worldrt.errors import ConfigError, InputError, OutputError, ShapeError

# An MP4 grows fragment by fragment, each playable as soon as it is written, and becomes an ordinary
# MP4 on closing; Matroska's clusters are whole in themselves.
CONTAINERS = {
    ".mp4": {"movflags": "hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof"},
    ".mkv": {"cluster_time_limit": "1000"},
}
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
BT709 = 1
VIDEO_RANGE = 1


class VideoWriter:
    """An H.264 video that is written while it is made and playable whenever that ends.

    A fragment of about a second reaches the file as soon as it is encoded; a killed process or a
    full disk costs what came after the last one. Nothing is created before the first frame.
    """

    def __init__(self, path: Path, width: int, height: int, fps: float, scale: int = 1) -> None:
        """Check that a video can be written, without touching the file.

        Args:
            path: a .mp4 or .mkv file in a folder that exists; an older file gives way at the
                first frame.
            width: pixels of the frames to come.
            height: pixels of the frames to come.
            fps: frames a second, 0.01 to 1000.
            scale: how many pixels a side each pixel becomes, at least 1; an even scale keeps the
                colours sharp. A side that is odd even so gets its last pixel twice, since 4:2:0
                video has even sides only.

        Raises:
            ConfigError: unknown suffix, or a number out of range.
            OutputError: the folder is missing or can't be written to.
        """
        self._suffix = _suffix(path, CONTAINERS, "video suffix")
        check(
            min(width, height, scale) >= 1 and 0.01 <= fps <= 1000,
            f"A video needs a positive size and scale and 0.01 to 1000 frames a second, got "
            f"{width}x{height}, scale {scale} and {fps} frames a second.",
        )
        _check_writable(path)
        self.path, self.width, self.height, self.fps, self.scale = path, width, height, fps, scale
        self.frames = 0
        """Frames given to the encoder so far."""
        self._output: tuple[OutputContainer, VideoStream] | None = None
        self._closed = False
        # The file's length and frames when its last fragment was whole: a failure cuts it back.
        self._whole_bytes, self._whole_frames, self._packets = 0, 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, frames: NDArray[np.uint8]) -> None:
        """Encode frames and write what is ready.

        Args:
            frames: [F, height, width, 3] RGB, 0 to 255; F may be 0.

        Raises:
            ShapeError: frames of another size.
            InputError: frames that are not uint8.
            OutputError: the disk refused, or the video is closed.
        """
        if frames.ndim != 4 or frames.shape[1:] != (self.height, self.width, 3):
            raise ShapeError("frames", frames.shape, f"[F, {self.height}, {self.width}, 3]")
        if frames.dtype != np.uint8:
            raise InputError(f"Frames must be uint8 from 0 to 255, got {frames.dtype}.")
        if self._closed:
            raise OutputError(
                f"{self.path} was closed after {self.frames} frames; start another video."
            )
        for frame in frames:
            try:
                if self._output is None:
                    self._open()
                self._encode(self._picture(frame))
            except (OSError, FFmpegError) as error:
                raise self._give_up(error) from error
            self.frames += 1

    def close(self) -> None:
        """End the video; a second call does nothing.

        Raises:
            OutputError: the disk refused; the file keeps its whole fragments.
        """
        self._closed = True
        if self._output is None:
            return
        try:
            self._encode(None)
            self._output[0].close()
        except (OSError, FFmpegError) as error:
            raise self._give_up(error) from error
        self._output = None

    def _open(self) -> None:
        # flush_packets hands every fragment to the system at once instead of when a buffer is full.
        options = CONTAINERS[self._suffix] | {"flush_packets": "1"}
        container = av.open(str(self.path), "w", options=options)
        # One thread: the others belong to the model.
        stream = container.add_stream(
            "libx264",
            rate=Fraction(self.fps).limit_denominator(1001),
            options={"crf": "16", "preset": "veryfast", "threads": "1"},
        )
        self._output = container, stream
        stream.width = self.width * self.scale + self.width * self.scale % 2
        stream.height = self.height * self.scale + self.height * self.scale % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.gop_size = max(1, round(self.fps))
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = VIDEO_RANGE
        container.start_encoding()
        self._whole_bytes = self.path.stat().st_size

    def _picture(self, frame: NDArray[np.uint8]) -> av.VideoFrame:
        frame = enlarge(frame, self.scale)
        rows, columns = frame.shape[:2]
        frame = np.pad(frame, ((0, rows % 2), (0, columns % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        # AREA: a chroma sample is the mean of its own four pixels, so an even scale keeps colours.
        picture = picture.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation=Interpolation.AREA
        )
        picture.pts = self.frames
        return picture

    def _encode(self, picture: av.VideoFrame | None) -> None:
        """Write the packets that `picture`, or the end of the video, sets free."""
        assert self._output is not None, "a picture is encoded into an open video"
        container, stream = self._output
        for packet in stream.encode(picture):
            container.mux(packet)
            size = self.path.stat().st_size
            if size > self._whole_bytes:
                # This packet opened a fragment: all packets before it are in the file.
                self._whole_bytes, self._whole_frames = size, self._packets
            self._packets += 1

    def _give_up(self, error: OSError | FFmpegError) -> OutputError:
        """Leave the whole fragments, or nothing if there is none, and say so."""
        self._closed = True
        if self._output is not None:
            with suppress(OSError, FFmpegError):
                self._output[0].close()
            self._output = None
            if self._whole_frames:
                os.truncate(self.path, self._whole_bytes)
            else:
                self.path.unlink()
        kept = f", its first {self._whole_frames} frames are kept" if self._whole_frames else ""
        return _refusal(self.path, error, kept)


def read_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video, decoded one at a time.

    Args:
        path: any file that FFmpeg reads.

    Yields:
        [Y, X, 3] RGB, 0 to 255.

    Raises:
        InputError: at the first frame if the file can't be opened or holds no video, later if it
            breaks off.
    """
    count = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} holds no video.")
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                count += 1
    except (OSError, FFmpegError) as error:
        state = f"breaks off after {count} frames" if count else "can't be read as a video"
        raise InputError(f"{path} {state} ({_reason(error)}).") from error


def read_image(path: Path) -> NDArray[np.uint8]:
    """A picture, upright and without its alpha channel.

    Args:
        path: any file that Pillow reads.

    Returns:
        [Y, X, 3] RGB, 0 to 255.

    Raises:
        InputError: the file is missing, empty, damaged or no picture.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} can't be read as a picture ({_reason(error)}).") from error


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture, whole or not at all.

    Args:
        path: a .png, .jpg or .jpeg file in a folder that exists.
        image: [Y, X, 3] RGB, 0 to 255.

    Raises:
        ConfigError: unknown suffix.
        ShapeError: not [Y, X, 3].
        InputError: not uint8.
        OutputError: the folder is missing or the disk refused.
    """
    kind = PICTURES[_suffix(path, PICTURES, "picture suffix")]
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ShapeError("image", image.shape, "[Y, X, 3], none of them 0")
    if image.dtype != np.uint8:
        raise InputError(f"A picture must be uint8 from 0 to 255, got {image.dtype}.")
    _check_writable(path)
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format=kind, quality=95)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(encoded.getvalue())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _refusal(path, error) from error


def enlarge(images: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Images [..., Y, X, 3] with each pixel as a square of `scale` pixels a side."""
    return images.repeat(scale, axis=-3).repeat(scale, axis=-2)


def _suffix(path: Path, known: Iterable[str], what: str) -> str:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise ConfigError.unknown(what, suffix, known)
    return suffix


def _check_writable(path: Path) -> None:
    if not path.parent.is_dir():
        raise OutputError(f"{path} can't be written: there is no folder {path.parent}; make it.")
    if path.is_dir():
        raise OutputError(f"{path} can't be written: it is a folder; name a file.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"{path} can't be written: no permission; choose another place.")


def _refusal(path: Path, error: Exception, kept: str = "") -> OutputError:
    free = shutil.disk_usage(path.parent).free
    return OutputError(
        f"{path} can't be written ({_reason(error)}){kept}; {free:,} bytes are free there, "
        "make room or choose another place."
    )


def _reason(error: Exception) -> str:
    """What went wrong in the words of the system or the library, without the path."""
    if isinstance(error, OSError | FFmpegError) and error.strerror:
        return error.strerror
    return str(error)

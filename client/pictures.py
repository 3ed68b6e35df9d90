"""Packets of video as arrays: pictures decoded, poses as matrices, depth in metres."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import av
import numpy as np
from av.codec.context import Flags
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from worldrt.errors import ProtocolError
from worldrt.protocol.packets import DIOPTRE, Coding, Flag, Header, Packet, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame that has come and is decoded; times by the client's clock."""

    header: Header
    rgb: NDArray[np.uint8]
    """[Y, X, 3]"""
    pose: NDArray[np.float64]
    """[4, 4] world_from_camera."""
    depth: NDArray[np.float32] | None
    """[y, x] metres along z, coarser than the picture; 0: unknown or far."""
    arrived_us: int
    decoded_us: int


class Decoder:
    """Decodes the video of one connection, in the order in which it comes.

    Args:
        clock: microseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._h264: VideoCodecContext | None = None

    def __call__(self, packet: Packet, arrived_us: int) -> Frame | None:
        """The frame; None: those before it, which it builds on, never came.

        Raises:
            ProtocolError: no picture, not of the size that the header says, or no pose.
        """
        if packet.pose is None:
            raise ProtocolError(f"Frame {packet.header.frame} came without its pose.")
        rgb = self._picture(packet)
        if rgb is None:
            return None
        return Frame(
            header=packet.header,
            rgb=rgb,
            pose=matrix(packet.pose),
            depth=None if packet.depth is None else metres(packet.depth),
            arrived_us=arrived_us,
            decoded_us=self._clock(),
        )

    def _picture(self, packet: Packet) -> NDArray[np.uint8] | None:
        header = packet.header
        if header.coding is Coding.H264:
            rgb = self._next(packet)
            if rgb is None:
                return None
            rgb = rgb[: header.height, : header.width]  # an odd side was coded one longer
        else:
            rgb = _still(packet.picture)
        if rgb.shape != (header.height, header.width, 3):
            raise ProtocolError(
                f"Frame {header.frame} is {rgb.shape[1]}x{rgb.shape[0]}, its header says "
                f"{header.width}x{header.height}."
            )
        return rgb

    def _next(self, packet: Packet) -> NDArray[np.uint8] | None:
        if packet.header.flags & Flag.KEY:
            # Afresh: what was lost before a key frame is no concern of those after it.
            self._h264 = VideoCodecContext.create("h264", "r")
            self._h264.thread_count = 1
            self._h264.flags |= Flags.low_delay
        if self._h264 is None:
            return None
        try:
            frames = self._h264.decode(av.Packet(packet.picture))
        except FFmpegError as error:
            raise ProtocolError(
                f"Frame {packet.header.frame} is no H.264 picture ({error})."
            ) from error
        return np.asarray(frames[-1].to_ndarray(format="rgb24"), np.uint8) if frames else None


def _still(picture: bytes) -> NDArray[np.uint8]:
    try:
        with Image.open(BytesIO(picture), formats=("JPEG", "PNG")) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ProtocolError(f"A picture of {len(picture)} bytes can't be read.") from error


def matrix(view: View) -> NDArray[np.float64]:
    """[4, 4] world_from_camera of a pose block.

    Source: Shoemake, Animating Rotation with Quaternion Curves, 1985, section 3.
    """
    w, x, y, z = np.asarray(view.quaternion, dtype=np.float64) / np.linalg.norm(view.quaternion)
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = view.position
    return pose


def metres(block: NDArray[np.uint16]) -> NDArray[np.float32]:
    """[y, x] metres of a depth block; 0: unknown or far."""
    far = block == 0
    return np.where(far, 0, DIOPTRE / np.where(far, 1, block)).astype(np.float32)

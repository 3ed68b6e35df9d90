"""Chunks as packets: JPEG and H.264, pose and depth beside them; a pool does it off the loop."""

import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple, Protocol

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import Colorspace, Interpolation
from numpy.typing import NDArray

from worldrt.chunk import Sight
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import quaternion
from worldrt.protocol.packets import DIOPTRE, Coding, Flag, Header, Packet, View, write_packet
from worldrt.protocol.terms import Codec
from worldrt.video import BT709, VIDEO_RANGE

QUALITY = 90
"""Of a JPEG, 0 to 100: 7 KB a frame of 128x96, no block to be seen."""
CRF = "16"
"""Of H.264: what the eye takes for the JPEG above."""
KEY_FRAMES = 240
"""Frames between two key frames that nobody asked for."""
DEPTH_SCALE = 4
"""Pixels a side that share one entry of the depth block."""
FARTHEST = 2**16 - 1


class Coder(Protocol):
    """Codes the frames of one walk, one after the other."""

    coding: Coding

    def __call__(self, frame: NDArray[np.uint8], key: bool) -> tuple[bytes, bool]:
        """Code a frame.

        Args:
            frame: [Y, X, 3] RGB.
            key: it must show without those before it.

        Returns:
            The picture, and whether it shows without those before it.
        """
        ...


class Jpeg:
    """Every frame for itself, colours at full resolution."""

    coding = Coding.JPEG
    _OPTIONS = (
        cv2.IMWRITE_JPEG_QUALITY,
        QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    )

    def __call__(self, frame: NDArray[np.uint8], key: bool) -> tuple[bytes, bool]:
        written, coded = cv2.imencode(".jpg", frame[:, :, ::-1], self._OPTIONS)
        assert written, "a JPEG of three bytes a pixel can always be made"
        return coded.tobytes(), True


class H264:
    """Annex B, no frame held back; a side that is odd gets its last pixel twice.

    Args:
        width, height: pixels of the frames.
        fps: frames a second.
    """

    coding = Coding.H264

    def __init__(self, width: int, height: int, fps: float) -> None:
        self._odd = ((0, height % 2), (0, width % 2), (0, 0))
        rate = Fraction(fps).limit_denominator(1001)
        coder = av.CodecContext.create("libx264", "w")
        assert isinstance(coder, av.VideoCodecContext)
        coder.width, coder.height = width + width % 2, height + height % 2
        coder.pix_fmt, coder.time_base, coder.framerate = "yuv420p", 1 / rate, rate
        coder.gop_size, coder.thread_count = KEY_FRAMES, 1
        coder.colorspace = coder.color_primaries = coder.color_trc = BT709
        coder.color_range = VIDEO_RANGE
        coder.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": CRF,
            "forced-idr": "1",
            "x264-params": "annexb=1:repeat-headers=1",
        }
        self._coder, self._count = coder, 0

    def __call__(self, frame: NDArray[np.uint8], key: bool) -> tuple[bytes, bool]:
        picture = av.VideoFrame.from_ndarray(np.pad(frame, self._odd, mode="edge"), "rgb24")
        picture = picture.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation=Interpolation.AREA
        )
        picture.pts, self._count = self._count, self._count + 1
        picture.pict_type = PictureType.I if key else PictureType.NONE
        packets = self._coder.encode(picture)
        return b"".join(map(bytes, packets)), any(packet.is_keyframe for packet in packets)


def coder(codec: Codec, camera: Camera, fps: float) -> Coder:
    """A coder for the frames of a world."""
    return Jpeg() if codec is Codec.JPEG else H264(camera.width, camera.height, fps)


class Shot(NamedTuple):
    """A frame that is ready to be sent."""

    packet: bytes
    """With `sent_us` and `queue_ms` yet to be stamped."""
    key: bool
    since: float
    """Monotonic seconds when it could have been sent had it waited for nothing but its coding."""


class Coded(NamedTuple):
    """A frame for those who want its depth and for those who do not."""

    plain: Shot
    deep: Shot
    """The same object if nobody wants it."""


class Telling(NamedTuple):
    """What the headers of a chunk say besides the chunk."""

    epoch: int
    first: int
    """Frame that has the time 0."""
    fps: float
    chunk: int
    """Index of the block."""
    seq: int
    cutover: bool
    """The chunk obeys a newer input than the one before."""
    done: float
    """Monotonic seconds when the chunk was there."""


def shots(
    sight: Sight, camera: Camera, told: Telling, coder: Coder, key: bool, depth: bool
) -> Iterator[Coded]:
    """Code a chunk frame by frame.

    Args:
        sight: the frames.
        camera: that they were seen with.
        told: what their headers say.
        coder: of this walk.
        key: the first must show without those before it.
        depth: put the depth beside each as well.
    """
    count = len(sight.frames)
    spins, fov = quaternion(sight.poses), vertical_fov(camera)
    decode = sight.stage_ms.get("decode", 0.0)
    began = time.perf_counter()
    for index in range(count):
        picture, whole = coder(sight.frames[index], key and index == 0)
        coded = time.perf_counter() - began
        frame = sight.first + index
        flags = Flag.KEY if whole else Flag(0)
        flags |= Flag.LAST if index == count - 1 else Flag(0)
        flags |= Flag.CUTOVER if told.cutover and index == 0 else Flag(0)
        header = Header(
            coding=coder.coding,
            flags=flags,
            epoch=told.epoch,
            frame=frame,
            chunk=told.chunk,
            index=index,
            count=count,
            seq=told.seq,
            width=camera.width,
            height=camera.height,
            pts_us=round(1e6 * (frame - told.first) / told.fps),
            generate_ms=round(sight.block_ms - decode),
            decode_ms=round(decode),
            encode_ms=round(1000 * coded),
        )
        view = View(tuple(spins[index]), tuple(sight.poses[index, :3, 3]), fov)
        packet = Packet(header=header, picture=picture, pose=view)
        plain = deep = Shot(write_packet(packet), whole, told.done + coded)
        if depth:
            deeper = replace(packet, depth=nearness(sight.depth[index]))
            deep = plain._replace(packet=write_packet(deeper))
        yield Coded(plain, deep)


def nearness(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """[Y, X] metres as a depth block: every fourth pixel's inverse depth, 0 where unknown."""
    middle = DEPTH_SCALE // 2
    sparse = depth[middle::DEPTH_SCALE, middle::DEPTH_SCALE]
    known = np.isfinite(sparse) & (sparse > 0)
    steps = np.rint(DIOPTRE / np.where(known, sparse, np.inf))
    return np.minimum(steps, FARTHEST).astype(np.uint16)


def vertical_fov(camera: Camera) -> float:
    """Radians that a camera sees from top to bottom."""
    return float(2 * np.arctan(camera.height / (2 * camera.fy)))

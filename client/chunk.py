"""What a walk gives: the frames of one block, as they came."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldrt.client.pictures import Frame
from worldrt.errors import ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the server's stages took, in milliseconds, and when the frames came."""

    generate_ms: int
    decode_ms: int
    encode_ms: int
    queue_ms: int
    """From the frames being there to sending, coding aside."""
    arrived_us: tuple[int, ...]
    """[F] by our clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The frames of one block, those that came: a slow line loses some."""

    epoch: int
    """Rises with each walk and each resumption."""
    number: int
    """Of the block."""
    indices: tuple[int, ...]
    """[F] since the start of the walk."""
    frames: NDArray[np.uint8]
    """[F, Y, X, 3] RGB."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""
    depth: NDArray[np.float32] | None
    """[F, y, x] metres along z, coarser than the frames, 0 is unknown or far; None: not sent."""
    seq: int
    """Newest input that it obeys; see `Walk.seq`."""
    timing: Timing


def gather(frames: Sequence[Frame]) -> Chunk:
    """The chunk of `frames`, at least one.

    Raises:
        ProtocolError: they differ in size.
    """
    first = frames[0].header
    depths = [frame.depth for frame in frames if frame.depth is not None]
    try:
        rgb = np.stack([frame.rgb for frame in frames])
        depth = np.stack(depths) if len(depths) == len(frames) else None
    except ValueError as error:
        raise ProtocolError(f"The frames of chunk {first.chunk} differ in size.") from error
    return Chunk(
        epoch=first.epoch,
        number=first.chunk,
        indices=tuple(frame.header.frame for frame in frames),
        frames=rgb,
        poses=np.stack([frame.pose for frame in frames]),
        depth=depth,
        seq=first.seq,
        timing=Timing(
            generate_ms=first.generate_ms,
            decode_ms=first.decode_ms,
            encode_ms=first.encode_ms,
            queue_ms=first.queue_ms,
            arrived_us=tuple(frame.arrived_us for frame in frames),
        ),
    )

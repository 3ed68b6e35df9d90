"""Where the keys and values of frames lie, and what a pass over them is told.

A row is frame slots, then the tail of the mid partition; there is one a layer. `DenseRows` holds
tensors that are read where they lie, `CodedRows` codes that are read a few frames at a time.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from worldrt.kernels.attention import Part
from worldrt.memory.mid import Tail
from worldrt.memory.slots import Span

ALL = slice(None)
"""All layers."""


class Place(NamedTuple):
    """Where a pass writes and what it reads: fixed when its block is opened."""

    tokens: int
    """Tokens of the pass."""
    targets: list[tuple[int, int, int]]
    """(first token of the pass, slot, frames) of each stretch that is written."""
    table: Tensor
    """[tokens, 1, D / 2] rotary table."""
    context: list[tuple[int, float]]
    """(slot, position) of each frame read besides those written."""
    tail: int
    """Tokens of the tail that are read."""
    end: int
    """Tokens of the row's prefix that hold frames and tail."""
    bias: Tensor | None
    """[1, 1, 1, end]; hides what lies in the prefix and is no part of the context."""
    turns: Tensor | None
    """[frames of the context, pairs] of the temporal axis, where keys are turned as they are
    read."""


class Write(NamedTuple):
    """What one layer of a pass brings."""

    raw_key: Tensor
    """[B, L, H, D]"""
    key: Tensor
    """[B, L, H, D] rotated."""
    value: Tensor
    """[B, L, H, D]"""
    keep: bool
    """Whether the pass is the clean one."""
    planes: Tensor | None = None
    """[R, H, D, bits] planes by whose sides keys are hidden from a query; None: all are seen."""


class Rows(Protocol):
    """The rows of all layers."""

    tail: Tail

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        ...

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, all layers."""
        ...

    def place(self, written: Sequence[Span], read: Sequence[Span], tail: int) -> Place:
        """Lay out a pass over whole frames.

        Args:
            written: the pass's frames, each with its slot and position; a slot below 0 is a frame
                that asks and is not kept.
            read: the other frames of its context.
            tail: tokens of the mid partition.
        """
        ...

    def attend(
        self,
        layer: int,
        place: Place,
        query: Tensor,
        write: Write,
        parts: Iterator[Part] | None = None,
    ) -> Tensor:
        """Write a pass's keys and values and read its context.

        Args:
            layer: index.
            place: of the pass.
            query: [B, L, H, D] rotated.
            write: what the pass brings.
            parts: what is read besides rows and tail.
        """
        ...

    def turn(self, spans: Sequence[Span], positions: Sequence[float]) -> None:
        """Move frames to other positions, exactly."""
        ...

    def take(self, spans: Sequence[Span], raw: bool, layers: slice = ALL) -> tuple[Tensor, Tensor]:
        """A copy of frames: keys (raw, or rotated as they stand) and values [N, B, L, H, D]."""
        ...

    @property
    def token_bytes(self) -> int:
        """Bytes of one token of the tail, all layers."""
        ...

    def grow(self, slots: int) -> None:
        """Make room for more frames; places made before are void."""
        ...


def targets(written: Sequence[Span], tokens: int) -> list[tuple[int, int, int]]:
    """Stretches of frames that are written; see `Place`."""
    found: list[tuple[int, int, int]] = []
    for index, span in enumerate(written):
        start, slot, frames = found[-1] if found else (0, -1, 0)
        if span.slot < 0:
            continue
        if found and (start + frames, slot + frames) == (index, span.slot):
            found[-1] = (start, slot, frames + 1)
        else:
            found.append((index, span.slot, 1))
    return [(index * tokens, slot, frames) for index, slot, frames in found]

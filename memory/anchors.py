"""Anchors: the first block after a switch, attended to for as long as its prompt holds.

What anchors a new prompt is what the model first made of it. The block is an anchor once it has
left `recent`; until then the anchor before it stays. So nothing is captured and nothing copied in a
pass: frames come with the raw keys of their last clean pass, which is what the rows hold.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors(MidPart):
    """The newest anchor that has left `recent`.

    Args:
        first: frame from which on a rollout that never switched has an anchor.
        every: blocks after which it takes another one; 0: none before the first switch.

    Raises:
        ConfigError: a number below 0.

    Source: Anchor-Forcing, anchor cache.
    """

    first: int
    every: int
    raw = True

    def __post_init__(self) -> None:
        if min(self.first, self.every) < 0:
            raise ConfigError(
                f"Anchors are counted from 0 up, got first {self.first} and every {self.every}."
            )

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return shape.block_frames * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "Anchor":
        return Anchor(self, shape, bounds, tail)


class Anchor(Mid):
    """The anchor's raw keys, and which blocks of `recent` are anchors to come.

    Args:
        part: the policy's.
        shape: the model's numbers.
        bounds: frames of the sink, which never leave it and so are no anchor.
        tail: where the anchor is laid out.
    """

    def __init__(self, part: Anchors, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._part, self._tail, self._sink = part, tail, bounds.sink
        self._tokens = shape.tokens
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        self._keys = torch.zeros_like(tail.keys)
        self.nbytes = self._keys.nbytes
        self._coming: deque[range] = deque()
        """Frames of each anchor of which some have not left yet, oldest first."""
        self._due, self._switched = False, False
        self._age = part.every
        """Blocks since the last anchor."""
        self._start: float | None = None
        """Where the keys in the tail stand; None: they are not those of the anchor."""

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        for index, span in enumerate(spans):
            if self._coming and span.frame in self._coming[0]:
                there = self._here(index)
                self._take(span.frame, keys[:, :, there], values[:, :, there])

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del spans
        self.tokens = self.frames * self._tokens
        if start != self._start and self.frames:
            here = slice(self.tokens)
            places = [start + index for index in range(self.frames)]
            table = self._rope.table(places, self._keys.device)
            self._tail.keys[:, :, here] = rotate(self._keys[:, :, here], table)
            self._start = start

    def commit(self, spans: Sequence[Span]) -> None:
        first = spans[0].frame
        alone = not self._switched and first >= self._part.first
        self._age += 1
        if self._due or (alone and 0 < self._part.every <= self._age):
            leaving = range(max(first, self._sink), spans[-1].frame + 1)
            self._coming.extend([leaving] if leaving else [])
            self._due, self._age = False, 0

    def switched(self, cut: bool) -> None:
        del cut
        self._due = self._switched = True

    def _take(self, frame: int, keys: Tensor, values: Tensor) -> None:
        """The next frame of an anchor; its first one puts the anchor before it away."""
        coming = self._coming[0]
        rank = frame - coming.start
        here = self._here(rank)
        self._keys[:, :, here], self._tail.values[:, :, here] = keys, values
        self.frames, self._start = rank + 1, None
        self.width = float(self.frames)
        if frame == coming[-1]:
            self._coming.popleft()

    def _here(self, rank: int) -> slice:
        """Tokens of the frame of this rank."""
        return slice(rank * self._tokens, (rank + 1) * self._tokens)

"""A cache that is slow and obvious for policies with a middle of their own, in float64.

It keeps every frame's raw queries, keys and values; a subclass says, from the definition of its
method, which of all past tokens each head sees and where they stand.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from tests.list_cache import Array, Attended, turned
from worldrt.memory.cache import KVCache
from worldrt.memory.slots import CacheShape, Note


class Past(NamedTuple):
    """A frame of one layer and sequence, from its clean pass: raw, [F, H, D] each."""

    query: Array
    key: Array
    value: Array


class Piece(NamedTuple):
    """Some keys of a context."""

    key: Array
    """[S, H, D] raw."""
    value: Array
    """[S, H, D]"""
    where: Array
    """[S, 3] frame, row, column."""
    bias: Array
    """[H, S]"""

    def pick(self, tokens: Sequence[int]) -> Self:
        """Some of them."""
        return type(self)(
            self.key[tokens], self.value[tokens], self.where[tokens], self.bias[:, tokens]
        )


class SlowCache:
    """Sink, a middle that a subclass defines, recent frames and the block.

    Args:
        shape: the model's numbers.
        sink, recent: of the policy's partition.
    """

    def __init__(self, shape: CacheShape, sink: int, recent: int) -> None:
        self.shape, self._sink, self._kept = shape, sink, recent
        self.past: list[list[list[Past]]] = []
        """By frame, layer and sequence."""
        self.notes: list[Note] = []
        self.recent: list[int] = []
        self.size = 0
        """Frames of the open block."""
        self._clean = False
        self._pending: list[list[Past]] = []

    # What a subclass defines.

    def leave(self, frames: list[int]) -> None:
        """Frames leave the recent ones."""

    def judge(self, layer: int, batch: int, block: Past) -> None:
        """The clean pass of a block, its frames side by side."""

    def middle(self, layer: int, batch: int) -> list[Piece]:
        """What is seen between sink and recent frames."""
        return []

    def sink_first(self) -> float:
        """Where the sink stands."""
        return 0.0

    # What all do.

    @property
    def done(self) -> int:
        return len(self.past)

    @property
    def keys(self) -> Iterable[tuple[int, int]]:
        """All layers and sequences."""
        return product(range(self.shape.layers), range(self.shape.batch))

    def open_block(self, frames: int, notes: Sequence[Note] = ()) -> None:
        self.size = frames
        self.notes += notes or [Note()] * frames
        count = max(0, len(self.recent) - self._kept)
        if count:
            gone, self.recent = self.recent[:count], self.recent[count:]
            self.leave(gone)

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None:
        del first
        self._pending, self._clean = [], clean

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        found = [
            Past(*(x[index].double().numpy() for x in (query, key, value)))
            for index in range(self.shape.batch)
        ]
        self._pending.append(found)
        if self._clean:
            for batch, block in enumerate(found):
                self.judge(layer, batch, block)
        outs = [self._one(layer, batch, block) for batch, block in enumerate(found)]
        return torch.from_numpy(np.stack(outs))

    def commit(self) -> None:
        tokens = self.shape.tokens
        for index in range(self.size):
            here = slice(index * tokens, (index + 1) * tokens)
            self.past.append(
                [[Past(*(x[here] for x in one)) for one in layer] for layer in self._pending]
            )
            if self.done > self._sink:
                self.recent.append(self.done - 1)

    def grid(self, *times: float) -> Array:
        """Where the tokens of whole frames stand, [S, 3]."""
        shape = self.shape
        return np.array(list(product(times, range(shape.rows), range(shape.columns))), np.float64)

    @property
    def block(self) -> Array:
        """Where the block's tokens stand."""
        return self.grid(*range(self.done, self.done + self.size))

    def frame(self, layer: int, batch: int, frame: int, time: float | None = None) -> Piece:
        """A whole frame; by default where it was written."""
        _, key, value = self.past[frame][layer][batch]
        where = self.grid(frame if time is None else time)
        return Piece(key, value, where, np.zeros((self.shape.heads, len(key))))

    def _one(self, layer: int, batch: int, block: Past) -> Array:
        first = self.sink_first()
        sink = range(min(self._sink, self.done))
        pieces = [self.frame(layer, batch, one, first + one) for one in sink]
        pieces += self.middle(layer, batch)
        pieces += [self.frame(layer, batch, one) for one in self.recent]
        own = self.block
        nothing = np.zeros((self.shape.heads, len(own)))
        pieces.append(Piece(block.key, block.value, own, nothing))
        weights = softmax(
            np.concatenate([logits(block.query, own, piece) for piece in pieces], axis=-1)
        )
        return np.einsum("hls,shd->lhd", weights, np.concatenate([one.value for one in pieces]))


def logits(query: Array, own: Array, piece: Piece) -> Array:
    """[H, L, S] of queries that stand at `own`."""
    pairs = np.einsum("lhd,shd->hls", turned(query, own), turned(piece.key, piece.where).conj())
    return pairs.real / np.sqrt(query.shape[-1]) + piece.bias[:, None]


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


class Told:
    """A cache whose blocks are told the notes of their frames.

    Args:
        cache: a real or a slow one.
        notes: of all frames to come.
    """

    def __init__(self, cache: KVCache | SlowCache, notes: Iterable[Note]) -> None:
        self._cache, self._notes = cache, iter(notes)

    def open_block(self, frames: int) -> None:
        self._cache.open_block(frames, [next(self._notes) for _ in range(frames)])

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None:
        self._cache.begin_pass(first=first, clean=clean)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self._cache.attend(layer, query, key, value)

    def commit(self) -> None:
        self._cache.commit()


def close(got: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    """Assert that they agree."""
    torch.testing.assert_close(got.double(), expected.double(), atol=atol, rtol=0)


def soak(cache: Attended, shape: CacheShape, blocks: int) -> None:
    """Tiny blocks of random tokens, a step and a clean pass each."""
    generator = torch.Generator().manual_seed(0)
    size = (blocks, 2, 3, shape.batch, shape.block_frames * shape.tokens)
    draws = torch.randn(*size, shape.heads, shape.head_dim, generator=generator)
    for block in draws:
        cache.open_block(shape.block_frames)
        for index, (query, key, value) in enumerate(block):
            cache.begin_pass(first=index == 0, clean=index == 1)
            for layer in range(shape.layers):
                assert cache.attend(layer, query, key, value).isfinite().all()
        cache.commit()

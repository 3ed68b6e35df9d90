"""A cache with any mid partition, slow and obvious: subclasses say what the middle holds.

All raw keys stay in a list; each pass builds its context from the definition, in float64.
"""

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.list_cache import Array, turned
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import Policy
from worldrt.memory.positions import Window
from worldrt.memory.slots import CacheShape

Complex = NDArray[np.complex128]
Piece = tuple[Complex, Array, Array]
"""Rotated keys [S, H, D / 2], values [S, H, D], logit biases [S]."""


class ListMiddle:
    """Sink, middle, recent and block; positions are the frames' own or count from the window.

    Args:
        policy: read for its numbers only.
        shape: the model's numbers.
    """

    width = 0
    """Positions that the middle takes up in a window."""

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        self.policy, self.shape = policy, shape
        self.frames: list[list[tuple[Array, Array]]] = []  # [frame][layer]: k, v [B, F, H, D]
        self.sink: list[int] = []
        self.recent: list[int] = []
        self._size = 0
        self._pending: list[tuple[Array, Array]] = []

    # What a subclass says.

    def leave(self, frames: list[int]) -> None:
        """Frames leave `recent` together."""

    def middle(self, layer: int, batch: int) -> Piece:
        """What a sequence sees in the middle."""
        raise NotImplementedError

    # What a rollout needs.

    def open_block(self, frames: int) -> None:
        part = self.policy.partition
        kept = len(self.recent) if part.recent is None else part.recent
        inside = len(self.sink) + self.width + len(self.recent) + frames
        count = max(0, len(self.recent) - kept) if inside > part.limit else 0
        if count:
            self.leave(self.recent[:count])
        self.recent = self.recent[count:]
        self._size = frames

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None:
        del first, clean  # the last pass wins
        self._pending = []

    def commit(self) -> None:
        first, tokens = len(self.frames), self.shape.tokens
        for index in range(self._size):
            here = slice(index * tokens, (index + 1) * tokens)
            self.frames.append([(k[:, here], v[:, here]) for k, v in self._pending])
        new = list(range(first, len(self.frames)))
        young = max(0, self.policy.partition.sink - len(self.sink))
        self.sink += new[:young]
        self.recent += new[young:]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (x.double().numpy() for x in (query, key, value))
        self._pending.append((k, v))
        return torch.from_numpy(
            np.stack([self._one(layer, b, q[b], k[b], v[b]) for b in range(len(q))])
        )

    def _one(self, layer: int, batch: int, query: Array, key: Array, value: Array) -> Array:
        block = list(range(len(self.frames), len(self.frames) + self._size))
        sink, recent = [float(x) for x in self.sink], [float(x) for x in self.recent]
        times = [float(x) for x in block]
        if isinstance(self.policy.positions, Window):
            starts = np.cumsum([0, len(sink), self.width, len(recent)])
            sink, _, recent, times = (
                [float(start + index) for index in range(count)]
                for start, count in zip(
                    starts, (len(sink), 0, len(recent), len(block)), strict=True
                )
            )
        pieces = [self.middle(layer, batch)]
        for frame, time in zip(self.sink + self.recent, sink + recent, strict=True):
            k, v = (part[batch] for part in self.frames[frame][layer])
            pieces.append((turned(k, self.cells(time)), v, np.zeros(len(k))))
        own = np.concatenate([self.cells(time) for time in times])
        pieces.append((turned(key, own), value, np.zeros(len(key))))
        keys, values, biases = (np.concatenate(column) for column in zip(*pieces, strict=True))
        logits = np.einsum("lhd,shd->hls", turned(query, own), keys.conj()).real
        weights = np.exp(logits / np.sqrt(self.shape.head_dim) + biases)
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("hls,shd->lhd", weights, values)

    # For subclasses.

    def cells(self, time: float) -> Array:
        """(frame, row, column) of a frame's tokens."""
        return np.array(list(product([time], range(self.shape.rows), range(self.shape.columns))))

    def nothing(self) -> Piece:
        """An empty middle."""
        heads, width = self.shape.heads, self.shape.head_dim
        return np.zeros((0, heads, width // 2), complex), np.zeros((0, heads, width)), np.zeros(0)


def walk_blind(cache: KVCache, sizes: list[int], shape: CacheShape) -> None:
    """Play blocks of tensors that have shapes and no data.

    A policy that waits for the device, to see a number there, fails.

    Args:
        cache: on the device `meta`.
        sizes: frames of each block.
        shape: the model's numbers.
    """
    for frames in sizes:
        cache.open_block(frames)
        for clean in (False, True):
            cache.begin_pass(first=not clean, clean=clean)
            for layer in range(shape.layers):
                size = (shape.batch, frames * shape.tokens, shape.heads, shape.head_dim)
                cache.attend(layer, *torch.empty(3, *size, device="meta"))
        cache.commit()

"""A cache that is slow and obvious, and the random passes that it and the real one are played.

It keeps every frame's raw keys and rebuilds each context from the definition, in float64.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.memory.compress import PooledPacker
from worldrt.memory.packed import Packed
from worldrt.memory.policy import Policy
from worldrt.memory.positions import Contiguous
from worldrt.memory.slots import CacheShape

Array = NDArray[np.float64]
Piece = tuple[Array, Array, Array]
"""Raw keys [S, H, D], values [S, H, D], and where they stand: frame, row, column [S, 3]."""

ODD = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3, batch=2)
DOT = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=2, block_frames=3)


class Attended(Protocol):
    """What a rollout needs of the cache, and of the list that stands beside it."""

    def open_block(self, frames: int) -> None: ...

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None: ...

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor: ...

    def commit(self) -> None: ...


class ListCache:
    """Slow and obvious, in float64: all raw keys in a list, each pass concatenates what it may see.

    Args:
        policy: read for its numbers only.
        shape: the model's numbers.
    """

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        self._policy, self._shape = policy, shape
        self._frames: list[list[tuple[Array, Array]]] = []  # [frame][layer]: k, v [B, F, H, D]
        self._pending: list[tuple[Array, Array]] = []
        self._chosen: dict[tuple[int, int], list[int]] = {}
        self._size = 0
        self._packs: dict[tuple[int, int, int], Piece] = {}

    def open_block(self, frames: int) -> None:
        self._size = frames

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None:
        del clean  # the last pass wins
        self._pending = []
        if first:
            self._chosen = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (x.double().numpy() for x in (query, key, value))
        self._pending.append((k, v))
        return torch.from_numpy(
            np.stack([self._one(layer, b, q[b], k[b], v[b]) for b in range(len(q))])
        )

    def remember(self, key: Tensor, value: Tensor) -> None:
        """A committed block of a model with one layer, its passes skipped."""
        self._size, self._pending = self._shape.block_frames, [(key.numpy(), value.numpy())]
        self.commit()

    def commit(self) -> None:
        tokens = self._shape.tokens
        for index in range(self._size):
            here = slice(index * tokens, (index + 1) * tokens)
            self._frames.append([(k[:, here], v[:, here]) for k, v in self._pending])

    def _one(self, layer: int, batch: int, query: Array, key: Array, value: Array) -> Array:
        partition, done = self._policy.partition, len(self._frames)
        sink = list(range(min(partition.sink, done)))
        kept = done if partition.recent is None else partition.recent
        recent, middle = list(range(len(sink), done)), list[int]()
        packed = self._policy.mid
        assert packed is None or isinstance(packed, Packed)
        if packed is not None:
            whole = self._shape.block_frames
            leaving = -(-max(0, len(recent) - kept) // whole) * whole
            middle = recent[:leaving:whole][-packed.blocks :] if packed.blocks else []
            recent = recent[leaving:]
        else:
            recent = recent[max(0, len(recent) - kept) :]
        after = [*middle, *recent, done][0]
        moved = isinstance(self._policy.positions, Contiguous)
        places = [(float(after - len(sink) + frame if moved else frame), frame) for frame in sink]
        parts = [self._frame(at, layer, batch, frame) for at, frame in places]
        packs = [self._packed(layer, batch, first) for first in middle]
        if (layer, batch) not in self._chosen:
            scores = [float(np.einsum("lhd,phd->", query, raw)) for raw, _, _ in packs]
            count = (packed.top if packed else 0) or len(packs)
            best = sorted(range(len(packs)), key=lambda index: (-scores[index], index))[:count]
            self._chosen[layer, batch] = sorted(best)
        parts += [packs[index] for index in self._chosen[layer, batch]]
        parts += [self._frame(float(frame), layer, batch, frame) for frame in recent]
        own = np.concatenate([self._grid(float(done + index)) for index in range(self._size)])
        parts.append((key, value, own))
        keys, values, where = (np.concatenate(column) for column in zip(*parts, strict=True))
        logits = np.einsum("lhd,shd->hls", turned(query, own), turned(keys, where).conj()).real
        weights = np.exp(logits / np.sqrt(self._shape.head_dim))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("hls,shd->lhd", weights, values)

    def _grid(self, time: float) -> Array:
        return np.array(list(product([time], range(self._shape.rows), range(self._shape.columns))))

    def _frame(self, at: float, layer: int, batch: int, frame: int) -> Piece:
        key, value = self._frames[frame][layer]
        return key[batch], value[batch], self._grid(at)

    def _packed(self, layer: int, batch: int, first: int) -> Piece:
        if (layer, batch, first) not in self._packs:
            self._packs[layer, batch, first] = self._pack(layer, batch, first)
        return self._packs[layer, batch, first]

    def _pack(self, layer: int, batch: int, first: int) -> Piece:
        packed, shape = self._policy.mid, self._shape
        assert isinstance(packed, Packed) and isinstance(packed.packer, PooledPacker)
        packer = packed.packer
        block = self._frames[first : first + shape.block_frames]
        keys, values = (
            np.stack([frame[layer][which][batch] for frame in block]) for which in (0, 1)
        )
        places = np.stack([self._grid(float(first + index)) for index in range(len(block))])

        def cells(length: int, side: int) -> list[list[int]]:
            indices = list(range(length))
            return [indices[start : start + side] for start in range(0, length, side)]

        found = []
        for times, rows, columns in product(
            cells(len(block), packer.time),
            cells(shape.rows, packer.side),
            cells(shape.columns, packer.side),
        ):
            tokens = [row * shape.columns + column for row, column in product(rows, columns)]
            cell = np.ix_(times, tokens)
            found.append([part[cell].mean((0, 1)) for part in (keys, values, places)])
        packed_keys, packed_values, packed_places = (np.stack(x) for x in zip(*found, strict=True))
        return packed_keys, packed_values, packed_places


def turned(raw: Array, places: Array) -> NDArray[np.complex128]:
    """Rotary embedding of tokens [S, H, D] at (frame, row, column) [S, 3], as complex numbers."""
    half, side = raw.shape[-1] // 2, raw.shape[-1] // 6
    angles = [
        places[:, [axis]] * 10_000.0 ** (-np.arange(pairs) / pairs)
        for axis, pairs in enumerate((half - 2 * side, side, side))
    ]
    turns = np.exp(1j * np.concatenate(angles, axis=1))[:, None]
    return (raw[..., ::2] + 1j * raw[..., 1::2]) * turns


def passes(
    sizes: Sequence[int], shape: CacheShape, seed: int = 0
) -> Iterator[list[list[tuple[Tensor, Tensor, Tensor]]]]:
    """Random queries, keys and values: for each block, for each of two passes, for each layer."""
    generator = torch.Generator().manual_seed(seed)
    for frames in sizes:
        size = (2, shape.layers, 3, shape.batch, frames * shape.tokens, shape.heads, shape.head_dim)
        draws = torch.randn(size, generator=generator)
        yield [[(layer[0], layer[1], layer[2]) for layer in draw] for draw in draws]


def play(
    cache: Attended,
    sizes: Sequence[int],
    shape: CacheShape = ODD,
    *,
    rows: slice = slice(None),
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A step and a clean pass for each block; all outputs, by token.

    Args:
        rows: which sequences of the batch this cache holds.
    """
    out: list[Tensor] = []
    for frames, block in zip(sizes, passes(sizes, shape), strict=True):
        cache.open_block(frames)
        for index, layers in enumerate(block):
            cache.begin_pass(first=index == 0, clean=index == 1)
            for layer, tensors in enumerate(layers):
                query, key, value = (tensor[rows].to(dtype) for tensor in tensors)
                out.append(cache.attend(layer, query, key, value))
        cache.commit()
    return torch.cat(out, dim=1)

"""Published caches as their text describes them: buffers that shift, in float64, slow and obvious.

Each is a context that the transformer attends to. They know nothing of slots, rows or parts: a
layer holds a list of frames, each with raw keys and values, and every pass rotates what it reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.kernels.attention import attend


class Kept(NamedTuple):
    """One frame in one layer."""

    frame: int
    key: Tensor
    """[B, F, H, D] raw."""
    value: Tensor


def rope(key: Tensor, frames: Sequence[float], rows: int, columns: int) -> Tensor:
    """Rotate [B, T F, H, D] in float64: frame, row and column of each token."""
    half, side = key.shape[-1] // 2, key.shape[-1] // 6
    places = torch.tensor(list(product(frames, range(rows), range(columns))), dtype=torch.float64)
    angles = [
        places[:, axis, None] * 10_000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
        for axis, pairs in enumerate((half - 2 * side, side, side))
    ]
    turns = torch.polar(torch.ones(1, dtype=torch.float64), torch.cat(angles, dim=1))[:, None]
    pairs = torch.view_as_complex(key.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2)


@dataclass
class Released:
    """What all of them share: a list of frames a layer, the block at its end.

    Args:
        rows, columns: token grid.
        window: most frames, the block counted.
        sink: first frames that stay.
    """

    rows: int
    columns: int
    window: int
    sink: int

    def __post_init__(self) -> None:
        self.layers: dict[int, list[Kept]] = {}
        self.done = 0
        self.frames = 0
        self.first = self.clean = False

    def open(self, frames: int) -> None:
        self.frames = frames

    def begin(self, first: bool, clean: bool) -> None:
        self.first, self.clean = first, clean

    def commit(self) -> None:
        self.done += self.frames

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        block = [
            Kept(self.done + i, k, v)
            for i, (k, v) in enumerate(
                zip(key.chunk(self.frames, 1), value.chunk(self.frames, 1), strict=True)
            )
        ]
        buffer = self.layers.setdefault(layer, [])
        if self.first:
            self.make_room(layer, buffer)
        else:
            del buffer[-self.frames :]
        buffer += block
        if self.clean:
            self.before_clean(layer, query)
        buffer = self.layers[layer]
        where = self.positions(buffer)
        keys = rope(torch.cat([one.key for one in buffer], 1), where, self.rows, self.columns)
        queries = rope(query, where[-self.frames :], self.rows, self.columns)
        return attend(queries, keys, torch.cat([one.value for one in buffer], 1))

    def make_room(self, layer: int, buffer: list[Kept]) -> None:
        del layer
        over = len(buffer) + self.frames - self.window
        if over > 0:
            del buffer[self.sink : self.sink + over]

    def before_clean(self, layer: int, query: Tensor) -> None:
        del layer, query

    def positions(self, buffer: list[Kept]) -> list[float]:
        return [float(one.frame) for one in buffer]


class LongLive(Released):
    """Sink and local frames at absolute positions; recache at a switch."""

    again = 0
    keep_sink = False

    def recache(self, frames: int, global_sink: bool) -> None:
        """The next pass holds the last `frames` frames; `attend_again` is its attention."""
        self.again, self.keep_sink = frames, global_sink and self.done > self.window

    def attend_again(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        first = self.done - self.again
        fresh = [
            Kept(first + i, k, v)
            for i, (k, v) in enumerate(
                zip(key.chunk(self.again, 1), value.chunk(self.again, 1), strict=True)
            )
        ]
        buffer = self.layers[layer]
        if self.keep_sink:
            buffer[:] = buffer[: self.sink] + fresh[-(self.window - self.sink) :]
        else:
            buffer[:] = fresh
        where = [float(one.frame) for one in buffer]
        keys = rope(torch.cat([one.key for one in buffer], 1), where, self.rows, self.columns)
        own = [float(one.frame) for one in fresh]
        queries = rope(query, own, self.rows, self.columns)
        return attend(queries, keys, torch.cat([one.value for one in buffer], 1))


class Infinity(Released):
    """Window positions; flush and cut."""

    cut = False

    def flush(self) -> None:
        for buffer in self.layers.values():
            buffer[:] = buffer[:1] + buffer[-2:]

    def positions(self, buffer: list[Kept]) -> list[float]:
        where = [float(index) for index in range(len(buffer))]
        if self.cut:
            where[-3:] = [45.0, 46.0, 47.0]
        return where


class Tether(Released):
    """Sink, memory and recent frames in one buffer; GRAB and TAME in the clean pass."""

    memory = 0
    alpha = 0.35
    tau = 0.35

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pending: dict[int, list[Kept]] = {}

    def make_room(self, layer: int, buffer: list[Kept]) -> None:
        if len(buffer) + self.frames > self.window:
            start = self.sink + self.memory
            self.pending[layer] = buffer[start : start + self.frames]
            del buffer[start : start + self.frames]

    def before_clean(self, layer: int, query: Tensor) -> None:
        pending = self.pending.pop(layer, [])
        if not pending:
            return
        buffer = self.layers[layer]
        sink, old = buffer[: self.sink], buffer[self.sink : self.sink + self.memory]
        candidates = old + pending
        logits = [
            torch.einsum("BLHD,BSHD->BHLS", query.double(), one.key.double()).mean()
            / query.shape[-1] ** 0.5
            for one in candidates
        ]
        mass = torch.softmax(torch.stack(logits), 0).tolist()
        ids = [one.frame for one in candidates]
        reach = max(1.0, 0.5 * (max(ids) - min(ids) + 1))
        scores: list[float] = []
        for i, own in enumerate(mass):
            similar = [
                0.0 if j == i else float(torch.exp(torch.tensor(-abs(a - ids[i]) / reach)))
                for j, a in enumerate(ids)
            ]
            redundancy = max(s * m for s, m in zip(similar, mass, strict=True))
            scores.append(own + self.alpha * max(0.0, 1 - redundancy))
        order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
        chosen = sorted(order[: self.memory])
        trusted = sink + old
        kept = [
            candidates[index]
            if index < self.memory
            else Kept(
                candidates[index].frame,
                self.aligned(candidates[index].key, [one.key for one in trusted]),
                self.aligned(candidates[index].value, [one.value for one in trusted]),
            )
            for index in chosen
        ]
        self.layers[layer] = sink + kept + buffer[self.sink + self.memory :]

    def aligned(self, frame: Tensor, trusted: list[Tensor]) -> Tensor:
        goal = torch.cat(trusted, 1).double()
        own = frame.double()
        mean, deviation = own.mean(1, keepdim=True), own.std(1, correction=0, keepdim=True)
        to = goal.std(1, correction=0, keepdim=True).clamp_min(1e-6)
        moved = to * (own - mean) / deviation.clamp_min(1e-6) + goal.mean(1, keepdim=True)
        return (1 - self.tau) * own + self.tau * moved

    def positions(self, buffer: list[Kept]) -> list[float]:
        return [float(index) for index in range(len(buffer))]

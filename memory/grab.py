"""Frames remembered for how much is asked of them and how little they repeat each other.

Source: TetherCache, GRAB (gated recall) and TAME (trusted alignment).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, turn_cells, turn_frames
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.moments import Moments
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Grab(MidPart):
    """A bank of frames, chosen in the clean pass of the block that pushed frames out.

    Args:
        frames: capacity.
        temperature: of the softmax over candidates, > 0.
        diversity: weight of not repeating a frame that is asked for more, >= 0.
        alignment: share by which a frame newly admitted is moved to the trusted moments, 0 to 1.
    """

    frames: int
    temperature: float = 1.0
    diversity: float = 0.35
    alignment: float = 0.35
    raw = True

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.diversity < 0 or not 0 <= self.alignment <= 1:
            raise ConfigError(
                f"Recall needs temperature above 0, diversity from 0 and alignment from 0 to 1, "
                f"got {self.temperature}, {self.diversity} and {self.alignment}."
            )

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        return (self.frames + bounds.most) * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "GrabBank":
        return GrabBank(self, shape, bounds, tail)


class GrabBank(Mid):
    """The state of `Grab`: frames that are kept, in any order, and behind them those that wait.

    What a block costs is a few frames, not the bank: a frame that is admitted takes the place of
    one that is dropped; the mean logit of a frame is the product of the mean query with its mean
    key, which is noted once; and when ranks change, only temporal channels turn.

    Args:
        part: the policy's.
        shape: the model's numbers.
        bounds: how many frames may wait, and the sink.
        tail: of the rows.
    """

    def __init__(self, part: Grab, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._part, self._shape, self._sink_frames = part, shape, bounds.sink
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        frames = (part.frames + bounds.most, shape.tokens)
        self._keys, self._values = (row.unflatten(2, frames) for row in (tail.keys, tail.values))
        self._raw = torch.zeros_like(self._keys)  # [N, B, K, F, H, D]
        device, lead = tail.keys.device, (shape.layers, shape.batch)
        self._ids = torch.zeros(*lead, frames[0], device=device)
        # Mean and variance of keys and values: [2, N, B, K, 2, H, D].
        size = (2, *lead, frames[0], 2, shape.heads, shape.head_dim)
        self._moments = torch.zeros(size, device=device)
        self._sink_moments: dict[int, Moments] = {}
        self._known = self._young = self._waiting = 0
        self._start, self._stale = 0.0, False
        self._times = self._rope.times([], device)
        self.nbytes = sum(t.nbytes for t in (self._raw, self._ids, self._moments))

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        first, count = self.frames + self._waiting, len(spans)
        here = slice(first, first + count)
        split = (count, self._shape.tokens)
        keys, values = keys.unflatten(2, split), values.unflatten(2, split)
        self._raw[:, :, here], self._values[:, :, here] = keys, values
        turn_cells(keys, self._rope.cells(keys.device), self._keys[:, :, here])
        self._moments[:, :, :, here] = torch.stack(Moments.of_both(keys, values))
        ids = torch.tensor([float(span.frame) for span in spans])
        self._ids[:, :, here] = ids.to(keys.device)
        fitting = min(self._part.frames - self.frames, count)
        self._waiting += count - fitting
        self.frames += fitting
        self.width = float(self.frames)
        self._stale = self._stale or fitting > 0

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        self.tokens = self.frames * self._shape.tokens
        self._known = spans[0].frame
        self._young = sum(span.frame < self._sink_frames for span in spans)
        if self._stale or start != self._start:
            self._start, self._stale = start, False
            ranks = [start + rank for rank in range(self.frames)]
            self._times = self._rope.times(ranks, self._raw.device)
            self._turn(slice(None))

    def read(self, look: Look) -> None:
        if not look.clean:
            return
        if self._young:
            self._trust(look)
        if self._waiting:
            scores = self._scores(look)
            if self._part.alignment:
                self._align(look.layer)
            self._keep(look.layer, scores)
            self._turn(look.layer)

    def commit(self, spans: Sequence[Span]) -> None:
        self._waiting = 0

    def _scores(self, look: Look) -> Tensor:
        """[B, K + P] score of each candidate frame, in float32: differences are hundredths."""
        count = self.frames + self._waiting
        means, ids = self._moments[0, look.layer, :, :count, 0], self._ids[look.layer, :, :count]
        asked = torch.einsum("BHD,BKHD->BK", look.raw_query.float().mean(1), means)
        heads, width = means.shape[-2:]
        mass = torch.softmax(asked / (heads * width**0.5 * self._part.temperature), dim=1)
        reach = ((ids.amax(1) - ids.amin(1) + 1) / 2).clamp_min(1)[:, None, None]
        likeness = torch.exp(-(ids[:, :, None] - ids[:, None]).abs() / reach)
        likeness.diagonal(dim1=1, dim2=2).zero_()
        repeated = (likeness * mass[:, None]).amax(2)
        return mass + self._part.diversity * (1 - repeated).clamp_min(0)

    def _keep(self, layer: int, scores: Tensor) -> None:
        """Those of highest score stay, ties going to the earlier frame; who waits takes a hole."""
        ids = self._ids[layer]
        in_time = ids[:, : scores.shape[1]].argsort(dim=1)
        ranked = scores.gather(1, in_time).argsort(dim=1, descending=True, stable=True)
        chosen = in_time.gather(1, ranked[:, : self.frames])
        kept = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, chosen, True)
        coming = kept[:, self.frames :]
        movers = coming.byte().argsort(dim=1, descending=True, stable=True)
        holes = kept[:, : self.frames].byte().argsort(dim=1, stable=True)[:, : self._waiting]
        # As many move as there are holes; the rest of `holes` are frames that stay as they are.
        moving = torch.arange(holes.shape[1], device=ids.device) < coming.sum(1, keepdim=True)
        source = torch.where(moving, self.frames + movers[:, : holes.shape[1]], holes)
        batch = torch.arange(len(ids), device=ids.device)[:, None]
        for store in (self._raw, self._keys, self._values, self._ids):
            store[layer][batch, holes] = store[layer][batch, source]
        moments = self._moments[:, layer]
        moments[:, batch, holes] = moments[:, batch, source]

    def _turn(self, layers: int | slice) -> None:
        """Turn what is kept to the place of its rank in time."""
        here = slice(0, self.frames)
        ranks = self._ids[layers, :, here].argsort(dim=-1).argsort(dim=-1)
        times = self._times[ranks]  # [..., B, K, pairs]
        turn_frames(self._raw[layers, :, here], times, self._keys[layers, :, here])

    def _trust(self, look: Look) -> None:
        """Note the moments of the sink as its keys are written."""
        tokens = self._young * self._shape.tokens
        new = Moments.of_both(look.raw_key[:, :tokens], look.value[:, :tokens])
        old = self._sink_moments.get(look.layer)
        self._sink_moments[look.layer] = old.joined(new, self._known, self._young) if old else new

    def _align(self, layer: int) -> None:
        """Move the moments of the frames that wait towards those of sink and bank."""
        waiting = slice(self.frames, self.frames + self._waiting)
        goal = Moments(*self._moments[:, layer, :, : self.frames]).pooled()
        sink = self._sink_moments.get(layer)
        if sink:
            goal = sink.joined(goal, self._sink_frames, self.frames)
        own = Moments(*self._moments[:, layer, :, waiting])
        scale, shift = own.towards(goal, self._part.alignment)
        for index, store in enumerate((self._raw, self._values)):
            frames = store[layer, :, waiting]
            frames.mul_(scale[:, :, None, index]).add_(shift[:, :, None, index])
        self._moments[:, layer, :, waiting] = torch.stack(own.moved(scale, shift))
        cells = self._rope.cells(self._raw.device)
        turn_cells(self._raw[layer, :, waiting], cells, self._keys[layer, :, waiting])

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
    key, which is noted once; and when ranks change, only temporal channels turn. What needs no
    query is done for all layers together when the block is laid out.

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
        # [N, B, K, F, H, 2 pairs] raw, the channels that turn again when a frame's rank changes.
        self._raw = torch.zeros_like(self._keys[..., : 2 * self._rope.pairs])
        device, lead = tail.keys.device, (shape.layers, shape.batch)
        self._ids = torch.zeros(*lead, frames[0], device=device)
        # Mean and variance of keys and values: [N, B, K, 2, 2, H, D].
        size = (*lead, frames[0], 2, 2, shape.heads, shape.head_dim)
        self._moments = torch.zeros(size, device=device)
        self._sink_moments = Moments(*torch.zeros(2, *lead, *size[4:], device=device))
        # Mean keys as they are asked for: of frames that wait, before they are aligned.
        self._means = torch.zeros(*size[:3], shape.heads * shape.head_dim, device=device)
        self._numbers = torch.arange(frames[0], device=device)
        self._in_time, self._likeness = self._ids.long(), self._ids
        self._known = self._young = self._waiting = 0
        self._start, self._stale = 0.0, False
        self._times = self._rope.times([], device)
        held = (self._raw, self._ids, self._moments, self._means, *self._sink_moments)
        self.nbytes = sum(tensor.nbytes for tensor in held)

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        frames = [row.unflatten(2, (len(spans), -1)) for row in (keys, values)]
        fitting = min(self._part.frames - self.frames, len(spans))
        if fitting:
            self._store(spans[:fitting], [row[:, :, :fitting] for row in frames], trusted=True)
            self.frames += fitting
            self.width, self._stale = float(self.frames), True
        if fitting < len(spans):
            late = [row[:, :, fitting:] for row in frames]
            self._store(spans[fitting:], late, trusted=False)
            self._waiting += len(spans) - fitting

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        self.tokens = self.frames * self._shape.tokens
        self._known = spans[0].frame
        self._young = sum(span.frame < self._sink_frames for span in spans)
        if self._stale or start != self._start:
            self._start, self._stale = start, False
            ranks = [start + rank for rank in range(self.frames)]
            self._times = self._rope.times(ranks, self._raw.device)
            self._turn(slice(None))
        if self._waiting:
            self._prepare()

    def read(self, look: Look) -> None:
        if look.clean and self._young:
            self._trust(look)
        if look.clean and self._waiting:
            self._keep(look.layer, self._scores(look))
            self._turn(look.layer)

    def commit(self, spans: Sequence[Span]) -> None:
        self._waiting = 0

    def _store(self, spans: Sequence[Span], frames: Sequence[Tensor], trusted: bool) -> None:
        """Put frames behind those that are there; `trusted`: as they are, else aligned."""
        first = self.frames + self._waiting
        here = slice(first, first + len(spans))
        moments = Moments.of_both(*frames)
        self._means[:, :, here] = moments.mean[..., 0, :, :].flatten(-2)
        if self._part.alignment and not trusted:
            moments = self._align(frames, moments)
        keys, self._values[:, :, here] = frames
        self._raw[:, :, here] = keys[..., : 2 * self._rope.pairs]
        turn_cells(keys, self._rope.cells(keys.device), self._keys[:, :, here])
        self._moments[:, :, here] = torch.stack(moments, dim=3)
        ids = torch.tensor([float(span.frame) for span in spans])
        self._ids[:, :, here] = ids.to(keys.device)

    def _prepare(self) -> None:
        """Of what is to be chosen, all that needs no query: once, for all layers."""
        here = slice(0, self.frames + self._waiting)
        ids = self._ids[:, :, here]
        self._in_time = ids.argsort(dim=-1)
        reach = ((ids.amax(-1) - ids.amin(-1) + 1) / 2).clamp_min(1)[..., None, None]
        self._likeness = torch.exp(-(ids[..., :, None] - ids[..., None, :]).abs() / reach)
        self._likeness.diagonal(dim1=-2, dim2=-1).zero_()
        # What was aligned when it waited is asked for as it is now.
        bank = self._moments[:, :, : self.frames, 0, 0]
        self._means[:, :, : self.frames] = bank.flatten(-2)

    def _scores(self, look: Look) -> Tensor:
        """[B, K + P] score of each candidate frame, in float32: differences are hundredths."""
        heads, width = look.raw_query.shape[-2:]
        asked = look.raw_query.float().mean(1).flatten(1)
        means = self._means[look.layer, :, : self.frames + self._waiting]
        logits = (means @ asked[..., None]).squeeze(-1)
        mass = torch.softmax(logits / (heads * width**0.5 * self._part.temperature), dim=1)
        repeated = (self._likeness[look.layer] * mass[:, None]).amax(2)
        return mass + self._part.diversity * (1 - repeated).clamp_min_(0)

    def _keep(self, layer: int, scores: Tensor) -> None:
        """Those of highest score stay, ties going to the earlier frame; who waits takes a hole."""
        in_time = self._in_time[layer]
        ranked = scores.gather(1, in_time).argsort(dim=1, descending=True, stable=True)
        chosen = in_time.gather(1, ranked[:, : self.frames])
        kept = torch.zeros_like(scores).scatter_(1, chosen, 1)
        coming = kept[:, self.frames :]
        movers = coming.argsort(dim=1, descending=True, stable=True)
        holes = kept[:, : self.frames].argsort(dim=1, stable=True)[:, : self._waiting]
        movers = movers[:, : holes.shape[1]] + self.frames
        # As many move as there are holes; the rest of `holes` are frames that stay as they are.
        moving = self._numbers[: holes.shape[1]] < coming.sum(1, keepdim=True)
        source = torch.where(moving, movers, holes)
        for store in (self._raw, self._keys, self._values, self._ids, self._moments):
            # Each sequence by itself takes half the time of indexing two axes at once.
            for row, into, of in zip(store[layer], holes, source, strict=True):
                row.index_copy_(0, into, row.index_select(0, of))

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
        old = Moments(*(moment[look.layer] for moment in self._sink_moments))
        for moment, value in zip(old, old.joined(new, self._known, self._young), strict=True):
            moment.copy_(value)

    def _align(self, frames: Sequence[Tensor], own: Moments) -> Moments:
        """Move frames a share of the way to the moments of sink and bank, where they lie.

        Args:
            frames: keys and values [N, B, P, F, H, D], changed.
            own: their moments.

        Returns:
            Their new moments.
        """
        goal = Moments(*self._moments[:, :, : self.frames].unbind(3)).pooled()
        goal = self._sink_moments.joined(goal, self._sink_frames, self.frames)
        scale, shift = own.towards(goal, self._part.alignment)
        for index, tokens in enumerate(frames):
            tokens.mul_(scale[:, :, :, None, index]).add_(shift[:, :, :, None, index])
        return own.moved(scale, shift)

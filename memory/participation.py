"""Tokens kept for how much the newest queries ask of them.

Source: Deep Forcing, participative compression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, rotate, turn_cells, turn_frames
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation(MidPart):
    """A bank of tokens, chosen in the first pass of the block that pushed frames out.

    Args:
        frames: capacity, in tokens of so many frames.
        recent: last frames whose clean queries count beside the block's own noisy ones.
    """

    frames: int
    recent: int
    raw = True

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        return (self.frames + bounds.most) * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "TokenBank":
        return TokenBank(self, shape, bounds, tail)


class TokenBank(Mid):
    """The state of `Participation`: tokens in time order, and behind them frames that wait.

    A token's score is the sum over queries and heads of q . k, both rotated; it is linear in the
    queries, so only their sum is formed. All tokens of a frame share their temporal turn, so a
    frame's sum is kept turned by row and column alone and follows the frame wherever it stands; and
    so does a token's key: its row and column channels are turned once, and go where it goes.

    Args:
        part: the policy's.
        shape: the model's numbers.
        bounds: how many frames may wait.
        tail: of the rows.
    """

    def __init__(self, part: Participation, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._part, self._shape = part, shape
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        split = (part.frames + bounds.most, shape.tokens)
        self._keys, self._values = (row.unflatten(2, split) for row in (tail.keys, tail.values))
        # [N, B, K, F, H, 2 pairs] raw, the channels that turn again when a token stands elsewhere.
        self._raw = torch.zeros_like(self._keys[..., : 2 * self._rope.pairs])
        device = tail.keys.device
        self._rope.cells(device)  # made now, not in a pass
        self._ring = part.recent + shape.block_frames
        size = (shape.layers, shape.batch, self._ring, shape.heads, shape.head_dim)
        self._sums = torch.zeros(size, device=device)
        self._asked = self._sums.sum(2)
        self.nbytes = self._raw.nbytes + self._sums.nbytes + self._asked.nbytes
        self._waiting = 0
        self._start, self._stale = 0.0, False
        self._times = self._rope.times([], device)
        self._own = torch.zeros(0, dtype=torch.long, device=device)

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        first, count = self.frames + self._waiting, len(spans)
        here, split = slice(first, first + count), (count, self._shape.tokens)
        raw = keys.unflatten(2, split)
        self._raw[:, :, here] = raw[..., : 2 * self._rope.pairs]
        self._values[:, :, here] = values.unflatten(2, split)
        turn_cells(raw, self._rope.cells(keys.device), self._keys[:, :, here])
        fitting = min(self._part.frames - self.frames, count)
        self._waiting += count - fitting
        self.frames += fitting
        self.width = float(self.frames)
        self._stale = self._stale or fitting > 0

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        self.tokens = self.frames * self._shape.tokens
        self._own = self._places([span.frame for span in spans])
        if self._waiting:
            self._gather_queries(spans[0])
        if self._stale or start != self._start or self._waiting:
            self._start, self._stale = start, False
            ranks = [start + rank for rank in range(self.frames)]
            self._times = self._rope.times(ranks, self._raw.device)
        if not self._waiting:
            self._turn(slice(None))

    def read(self, look: Look) -> None:
        if look.first and self._waiting:
            self._keep_asked(look)
        if look.clean:
            self._note_queries(look)

    def commit(self, spans: Sequence[Span]) -> None:
        self._waiting = 0

    def _gather_queries(self, first: Span) -> None:
        """What needs no query of the block: keys where they stood, and what was asked before."""
        device, count = self._raw.device, self.frames + self._waiting
        asking = range(max(0, first.frame - self._part.recent), first.frame)
        shift = first.position - first.frame
        times = self._rope.times([frame + shift for frame in asking], device)
        still = times.new_ones(len(asking), self._shape.head_dim // 2 - times.shape[1])
        sums = self._sums.index_select(2, self._places(asking))
        self._asked = rotate(sums, torch.cat([times, still], dim=1).unsqueeze(1)).sum(2)
        # Those that wait stood directly before the recent frames, those kept before them.
        stood = first.position - len(asking) - count
        times = self._rope.times([stood + rank for rank in range(count)], device)
        here = slice(0, count)
        turn_frames(self._raw[:, :, here], times, self._keys[:, :, here])

    def _keep_asked(self, look: Look) -> None:
        """Keep the tokens of highest score in time order; ties go to the earlier one."""
        layer, kept = look.layer, self.frames * self._shape.tokens
        here = slice(0, self.frames + self._waiting)
        asked = (look.query.float().sum(1) + self._asked[layer]).flatten(1)
        keys = self._keys[layer, :, here].flatten(-2).flatten(1, 2).float()
        scores = (keys @ asked[..., None]).squeeze(-1)  # [B, S]
        ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :kept]
        chosen = ranked.sort(dim=1).values
        batch = torch.arange(len(chosen), device=chosen.device)[:, None]
        split = (self.frames, self._shape.tokens)
        for store in (self._raw, self._keys, self._values):
            tokens = store[layer, :, here].flatten(1, 2)
            store[layer, :, : self.frames] = tokens[batch, chosen].unflatten(1, split)
        self._turn(layer)

    def _note_queries(self, look: Look) -> None:
        cells = self._rope.cells(self._raw.device)
        still = cells.new_ones(len(cells), self._shape.head_dim // 2 - cells.shape[1])
        frames = look.raw_query.unflatten(1, (len(self._own), -1)).float()
        turned = rotate(frames, torch.cat([still, cells], dim=1).unsqueeze(1))
        self._sums[look.layer].index_copy_(1, self._own, turned.sum(2))

    def _turn(self, layers: int | slice) -> None:
        """Turn what is kept to where its rank stands."""
        here = slice(0, self.frames)
        turn_frames(self._raw[layers, :, here], self._times, self._keys[layers, :, here])

    def _places(self, frames: Sequence[int]) -> Tensor:
        """Where the summed queries of frames lie in their ring."""
        places = [frame % self._ring for frame in frames]
        return torch.tensor(places, dtype=torch.long, device=self._raw.device)

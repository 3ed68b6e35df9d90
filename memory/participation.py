"""Tokens kept for how much the newest queries ask of them.

Source: Deep Forcing, participative compression.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.kernels.rope import rotate
from worldrt.memory.bank import Bank
from worldrt.memory.mid import Bounds, Look, MidPart, Tail
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

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "ParticipationBank":
        return ParticipationBank(self, shape, bounds, tail)


class ParticipationBank(Bank):
    """The state of `Participation`.

    A token's score is the sum over queries and heads of q . k, both rotated; it is linear in the
    queries, so only their sum is formed. All tokens of a frame share their temporal turn, so a
    frame's sum is kept turned by row and column alone and follows the frame wherever it stands.
    """

    def __init__(self, part: Participation, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        super().__init__(part.frames, shape, bounds, tail)
        device = tail.keys.device
        cells = torch.arange(shape.tokens, device=device).repeat(part.frames + bounds.most)
        self._cells = cells.expand(shape.layers, shape.batch, -1).clone()
        self._recent = part.recent
        self._ring = part.recent + shape.block_frames
        size = (shape.layers, shape.batch, self._ring, shape.heads, shape.head_dim)
        self._sums = torch.zeros(size, device=device)
        self.nbytes += self._cells.nbytes + self._sums.nbytes
        none = torch.zeros(0, dtype=torch.long, device=device)
        self._own = self._asking = none
        self._stood = self._turns = none.to(torch.complex64)

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        here = self._tokens(first := self.frames + self._waiting, first + len(spans))
        self._cells[:, :, here] = torch.arange(keys.shape[2], device=keys.device) % (
            self._shape.tokens
        )
        super().admit(spans, keys, values)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        super().lay_out(start, spans)
        first, device = spans[0], self._raw.device
        self._own = self._places_of([span.frame for span in spans])
        if self._waiting:
            asking = range(max(0, first.frame - self._recent), first.frame)
            shift, count = first.position - first.frame, self.frames + self._waiting
            self._asking = self._places_of(asking)
            times = self._rope.times([frame + shift for frame in asking], device)
            still = times.new_ones(len(asking), self._shape.head_dim // 2 - times.shape[1])
            self._turns = torch.cat([times, still], dim=1).unsqueeze(1)
            # Those that wait stood directly before the recent frames, those kept before them.
            stood = first.position - len(asking) - count
            self._stood = self._rope.times([stood + rank for rank in range(count)], device)

    def read(self, look: Look) -> None:
        if look.first and self._waiting:
            self._keep_asked(look)
        if look.clean:
            self._note_queries(look)

    def _keep_asked(self, look: Look) -> None:
        layer, count = look.layer, self.frames + self._waiting
        table = self._places(self._stood, layer, count)
        keys = rotate(self._raw[layer, :, self._tokens(0, count)], table)
        past = rotate(self._sums[layer].index_select(1, self._asking), self._turns)
        asked = look.query.float().sum(1) + past.sum(1)
        scores = torch.einsum("BHD,BSHD->BS", asked, keys.float())
        chosen = self._keep(layer, scores)
        cells = self._cells[layer]
        cells[:, : chosen.shape[1]] = cells.gather(1, chosen)
        self._turn(layer)

    def _note_queries(self, look: Look) -> None:
        cells = self._rope.cells(self._raw.device)
        still = cells.new_ones(len(cells), self._shape.head_dim // 2 - cells.shape[1])
        frames = look.raw_query.unflatten(1, (len(self._own), -1)).float()
        turned = rotate(frames, torch.cat([still, cells], dim=1).unsqueeze(1))
        self._sums[look.layer].index_copy_(1, self._own, turned.sum(2))

    def _places_of(self, frames: Iterable[int]) -> Tensor:
        """Where the summed queries of frames lie in their ring."""
        places = [frame % self._ring for frame in frames]
        return torch.tensor(places, dtype=torch.long, device=self._raw.device)

    def _table(self, layers: int | slice) -> Tensor:
        return self._places(self._times, layers, self.frames)

    def _places(self, times: Tensor, layers: int | slice, count: int) -> Tensor:
        """Rotary table of the first `count` frames' worth of tokens, [..., L, 1, D / 2].

        Args:
            times: [count, pairs] temporal turns by rank.
            layers: which.
            count: frames.
        """
        tokens = self._shape.tokens
        cells = self._rope.cells(self._raw.device)[self._cells[layers, :, : count * tokens]]
        spread = times.repeat_interleave(tokens, 0).expand(*cells.shape[:-1], -1)
        return torch.cat([spread, cells], dim=-1).unsqueeze(-2)

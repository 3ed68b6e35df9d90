"""Tokens kept for how much the newest queries ask of them.

Source: Deep Forcing, participative compression.
"""

from collections.abc import Sequence
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
        self._block: Sequence[Span] = ()

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        here = self._tokens(first := self.frames + self._waiting, first + len(spans))
        self._cells[:, :, here] = torch.arange(keys.shape[2], device=keys.device) % (
            self._shape.tokens
        )
        super().admit(spans, keys, values)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        super().lay_out(start, spans)
        self._block = spans

    def read(self, look: Look) -> None:
        if look.first and self._waiting:
            self._keep_asked(look)
        if look.clean:
            self._note_queries(look)

    def _keep_asked(self, look: Look) -> None:
        layer, tokens = look.layer, self._shape.tokens
        count, first = self.frames + self._waiting, self._block[0]
        # Those that wait stood directly before the recent frames, those kept before them.
        last = first.position - min(self._recent, first.frame)
        held = slice(0, count * tokens)
        times = self._rope.times([last - count + rank for rank in range(count)], self._raw.device)
        keys = rotate(self._raw[layer, :, held], self._places(times, layer, count))
        asked = look.query.float().sum(1) + self._recent_queries(layer)
        scores = torch.einsum("BHD,BSHD->BS", asked, keys.float())
        chosen = self._keep(layer, scores)
        cells = self._cells[layer]
        cells[:, : chosen.shape[1]] = cells.gather(1, chosen)
        self._turn(layer)

    def _recent_queries(self, layer: int) -> Tensor:
        """[B, H, D] summed clean queries of the last frames, turned to where those stand now."""
        first = self._block[0]
        frames = range(max(0, first.frame - self._recent), first.frame)
        times = self._rope.times(
            [first.position - first.frame + frame for frame in frames], self._raw.device
        )
        still = times.new_ones(len(frames), self._shape.head_dim // 2 - times.shape[1])
        sums = self._sums[layer, :, [frame % self._ring for frame in frames]]
        return rotate(sums, torch.cat([times, still], dim=1).unsqueeze(1)).sum(1)

    def _note_queries(self, look: Look) -> None:
        count = len(self._block)
        cells = self._rope.cells(self._raw.device)
        still = cells.new_ones(len(cells), self._shape.head_dim // 2 - cells.shape[1])
        frames = look.raw_query.unflatten(1, (count, -1)).float()
        turned = rotate(frames, torch.cat([still, cells], dim=1).unsqueeze(1))
        places = [span.frame % self._ring for span in self._block]
        self._sums[look.layer, :, places] = turned.sum(2)

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

"""Tokens that continue one of the frame before are merged with it; the rest are new groups.

Source: TempCache (arXiv 2602.01801), temporal correspondence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(MidPart):
    """Frames that leave `recent` are merged token by token into groups, of a bounded number.

    Args:
        frames: capacity in frames' worth of groups, at least 1.
        same: cosine of raw keys, over all heads, from which two tokens are the same, above 0 to 1.
        bits: a token's nearest neighbour is the one whose signs at so many random planes agree most
            with its own, which costs `bits` products a pair instead of E; 0: the true one.
    """

    frames: int
    same: float
    bits: int = 0
    raw = True
    weights = "keys"

    def __post_init__(self) -> None:
        if self.frames < 1 or self.bits < 0 or not 0 < self.same <= 1:
            raise ConfigError(
                f"Merging needs at least 1 frame, bits from 0 and a likeness above 0 up to 1, got "
                f"{self.frames}, {self.bits} and {self.same}."
            )

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        return self.frames * shape.tokens + 1  # one that nothing reads; see `Groups`

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "Groups":
        del bounds
        return Groups(self, shape, tail)


class Groups(Mid):
    """A place for each group: its newest key where that stands, its mean value, its size.

    The logit of a group has the logarithm of its size added, so that it weighs what its tokens
    would: exactly, where their rotated keys are equal. Each layer and sequence has groups of its
    own. Values are summed in float32: a thousandth of a difference is less than bfloat16 can add.

    All is done with static shapes: what has nothing to write writes to one place more, behind those
    that are read.

    Args:
        part: the policy's.
        shape: the model's numbers.
        tail: where the groups lie, each at its newest token's position.
    """

    def __init__(self, part: Merged, shape: CacheShape, tail: Tail) -> None:
        assert tail.bias is not None
        self._part, self._tail, self._tokens = part, tail, shape.tokens
        self._bias = tail.bias[:, :, 0]
        self._places = part.frames * shape.tokens
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        device, lead = tail.keys.device, (shape.layers, shape.batch)
        width = shape.heads * shape.head_dim
        here = (*lead, self._places + 1)
        self._sums = torch.zeros(*here, width, device=device)
        self._sizes = torch.zeros(here, device=device)
        self._stamps = torch.zeros(here, dtype=torch.long, device=device)
        """When a group was last continued and by which token; the highest is the newest."""
        self._before = torch.zeros(*lead, shape.tokens, width, device=device)
        """Directions of the keys of the frame before."""
        self._homes = torch.zeros(*lead, shape.tokens, dtype=torch.long, device=device)
        """Where the tokens of the frame before lie."""
        self._layer = torch.arange(shape.layers, device=device)[:, None, None]
        self._batch = torch.arange(shape.batch, device=device)[:, None]
        self._order = torch.arange(shape.tokens, device=device)
        self._planes = torch.zeros(0)
        if part.bits:
            generator = torch.Generator().manual_seed(0)
            self._planes = torch.randn(width, part.bits, generator=generator).to(device)
        own = (self._sums, self._sizes, self._stamps, self._before, self._homes, self._planes)
        self.nbytes = sum(tensor.nbytes for tensor in own)
        self.flush()

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        frames = (part.unflatten(2, (len(spans), -1)).unbind(2) for part in (keys, values))
        for span, key, value in zip(spans, *frames, strict=True):
            self._add(span, key, value)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del start, spans  # groups stand where their newest token does
        self.tokens = self._places if self.frames else 0

    def flush(self) -> None:
        self.frames = 0
        self._before.zero_()  # which nothing is like
        self._stamps.fill_(-1)
        self._bias.fill_(-torch.inf)

    def _add(self, span: Span, key: Tensor, value: Tensor) -> None:
        """Link a frame's tokens [N, B, F, H, D] to those of the frame before."""
        directions = normalize(key.flatten(3).float(), dim=-1)
        likeness, match = self._nearest(directions)
        now = span.frame * self._tokens
        homes = self._house(likeness >= self._part.same, self._homes.gather(2, match), now)
        self._before.copy_(directions)
        self._homes.copy_(homes)
        heirs = self._heirs(likeness, homes)
        self._stamps.scatter_(2, heirs, now + self._order.expand_as(heirs))
        table = self._rope.table([span.position], key.device)
        self._tail.keys[self._layer, self._batch, heirs] = rotate(key, table)
        every = homes[..., None].expand_as(directions)
        self._sums.scatter_add_(2, every, value.flatten(3).float())
        self._sizes.scatter_add_(2, homes, torch.ones_like(likeness))
        here, sizes = (self._layer, self._batch, homes), self._sizes.gather(2, homes)
        means = self._sums[here] / sizes[..., None]
        self._tail.values[here] = means.view_as(value).type_as(value)
        self._bias.scatter_(2, homes, sizes.log().type_as(self._bias))
        self.frames += 1

    def _nearest(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and index of each token's match in the frame before, [N, B, F] each."""
        match = (self._marks(directions) @ self._marks(self._before).mT).argmax(-1)
        matched = self._before[self._layer, self._batch, match]
        return (directions * matched).sum(-1), match

    def _marks(self, directions: Tensor) -> Tensor:
        """What neighbours are found by: directions, or on which sides of the planes they lie."""
        if not self._part.bits:
            return directions
        return torch.where(directions @ self._planes >= 0, 1.0, -1.0)

    def _house(self, joins: Tensor, groups: Tensor, now: int) -> Tensor:
        """A place for each token [N, B, F]: that of the group it joins, else an emptied one."""
        self._stamps.scatter_(2, torch.where(joins, groups, self._places), now)
        # Empty places go first, then the oldest groups. Those just continued are the last in that
        # order, and one frame of places is enough for them and all that is new.
        oldest = self._stamps[..., : self._places].argsort(dim=-1, stable=True)
        turn = (~joins).cumsum(-1).sub_(1).clamp_min_(0)
        homes = torch.where(joins, groups, oldest.gather(2, turn))
        begun = torch.where(joins, self._places, homes)
        self._sums[self._layer, self._batch, begun] = 0
        self._sizes.scatter_(2, begun, 0)
        return homes

    def _heirs(self, likeness: Tensor, homes: Tensor) -> Tensor:
        """Where each token's key is written: of those of a group, the one most like before."""
        order = likeness.argsort(dim=-1, descending=True, stable=True)
        ranks = torch.empty_like(order).scatter_(2, order, self._order.expand_as(order))
        best = torch.full_like(self._stamps, self._tokens).scatter_reduce_(2, homes, ranks, "amin")
        return torch.where(best.gather(2, homes) == ranks, homes, self._places)

"""A region of the patches that changed most lately, seen by those heads that look back.

Source: Forcing-KV (arXiv 2605.09681), dynamic region and classes of heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from worldrt.errors import ConfigError
from worldrt.memory.mass import key_mass, thinned
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span

SAMPLE = 64
"""While heads are told apart, so many of a block's queries are looked at, and so many keys of each
frame that is held whole."""
WHOLE = 2
"""Frames held whole besides the block: the sink's and the recent one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches(MidPart):
    """What a frame that leaves `recent` shows otherwise than the next frame does.

    Args:
        patches: bands of rows that a frame is cut into.
        share: of the patches of a block's frames that are kept, 0 to 1.
        threshold: share of its attention that a static head gives to the frames next to it.
        warm: blocks by which heads are told apart; until then all are dynamic.
        window: frames of the context that the threshold was made for.
    """

    patches: int
    share: float
    threshold: float
    warm: int
    window: int
    weights = "heads"

    def __post_init__(self) -> None:
        if min(self.patches, self.warm) < 1 or not 0 <= self.share <= 1 or self.threshold < 0:
            raise ConfigError(
                f"Patches and warm blocks are counted from 1, their share is 0 to 1, the threshold "
                f"0 or more; got {self.patches}, {self.warm}, {self.share} and {self.threshold}."
            )

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        return self.kept(shape, bounds) * Bands.of(self.patches, shape).most

    def kept(self, shape: CacheShape, bounds: Bounds) -> int:
        """Patches of the region."""
        return round(bounds.most * Bands.of(self.patches, shape).count * self.share)

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "PatchRegion":
        return PatchRegion(self, shape, bounds, tail)


@dataclass(frozen=True, slots=True)
class Bands:
    """How a frame's rows fall into patches, as even as they go."""

    edges: tuple[int, ...]
    """Tokens at which patches begin, and the end of the last."""

    @classmethod
    def of(cls, patches: int, shape: CacheShape) -> "Bands":
        """At most one patch a row."""
        count = min(patches, shape.rows)
        rows = (shape.rows * index // count for index in range(count + 1))
        return cls(tuple(row * shape.columns for row in rows))

    @property
    def count(self) -> int:
        return len(self.edges) - 1

    @property
    def most(self) -> int:
        """Tokens of the largest patch."""
        return max(end - first for first, end in pairwise(self.edges))

    def table(self) -> Tensor:
        """[patches, most] tokens of each; -1 where a smaller one has no more."""
        rows = [
            [*range(first, end), *[-1] * (self.most - end + first)]
            for first, end in pairwise(self.edges)
        ]
        return torch.tensor(rows)


class PatchRegion(Mid):
    """The state of `Patches`.

    Frames leave `recent` by the block, each with a frame after it. In the clean pass of the second
    layer each is compared with the next one, patch by patch: the mean cosine over a patch's tokens
    of the dynamic heads' keys, as they stand. The patches least alike become the region of all
    layers when the frames leave.

    Heads are told apart on the way: of the attention that a head gives to all but the sink, how
    much falls on the recent frame and the block. The threshold was made for a long context, so each
    token of the region counts as often as there would be frames behind the recent one.
    """

    def __init__(self, part: Patches, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._part, self._shape, self._tail = part, shape, tail
        device, lead = tail.keys.device, (shape.layers, shape.batch)
        self._bands = Bands.of(part.patches, shape)
        self._most = part.kept(shape, bounds)
        self._table = self._bands.table().to(device)
        """[patches, most]"""
        self._chooser = min(1, shape.layers - 1)
        self._frame = tail.keys.new_zeros(shape.batch, shape.tokens, *tail.keys.shape[3:])
        """The chooser's keys of the last frame."""
        self._likeness = torch.zeros(
            shape.batch, shape.block_frames, self._bands.count, device=device
        )
        self._empty = torch.ones(shape.batch, tail.keys.shape[2], dtype=torch.bool, device=device)
        """[B, R] places of the region that hold no token."""
        self._some = torch.tensor(thinned(shape.tokens, SAMPLE), device=device)
        marks = (*lead, 2, len(self._some), *tail.keys.shape[3:])
        self._marks = tail.keys.new_zeros(marks)
        """Some keys of the first frame and of the last one."""
        self._mass = torch.zeros(*lead, shape.heads, 2, device=device)
        """Attention to what is near, and to the region."""
        self.static = torch.zeros(*lead, shape.heads, dtype=torch.bool, device=device)
        """[N, B, H] heads that do not see the region; none before they are told apart."""
        self._judged = 0
        self._since = self._scored = 0
        self._judges = self._worth = self._some
        tensors = (self._table, self._frame, self._likeness, self._empty, self._some)
        more = (self._marks, self._mass, self.static)
        self.nbytes = sum(tensor.nbytes for tensor in (*tensors, *more))

    @property
    def _judging(self) -> bool:
        return self._judged < self._part.warm

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        """Replace the region by the patches of these frames that changed most."""
        ranks = [span.frame - self._scored for span in spans]
        likeness = self._likeness[:, ranks].flatten(1)  # [B, frames * patches]
        order = likeness.argsort(dim=1, stable=True)[:, : self._most]
        chosen = order.sort(dim=1).values
        places = self._table[chosen % self._bands.count]  # [B, K, most]
        first = chosen // self._bands.count * self._shape.tokens
        tokens = (places.clamp(min=0) + first.unsqueeze(-1)).flatten(1)
        self.tokens, self.frames = tokens.shape[1], len(spans)
        batch = torch.arange(len(tokens), device=tokens.device)[:, None]
        for stored, new in ((self._tail.keys, keys), (self._tail.values, values)):
            stored[:, :, : self.tokens] = new[:, batch, tokens]
        self._empty[:, : self.tokens] = (places < 0).flatten(1)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del start  # keys stand where they were written
        self._since = spans[0].frame
        assert self._tail.bias is not None
        hidden = self.static.unsqueeze(-1) | self._empty[:, None]  # [N, B, H, R]
        self._tail.bias.zero_().masked_fill_(hidden, -torch.inf)
        if self._judging:
            length, device = len(spans) * self._shape.tokens, self._tail.keys.device
            self._judges = torch.tensor(thinned(length, SAMPLE), device=device)
            self._worth = self._weights(length)

    def read(self, look: Look) -> None:
        if not look.clean:
            return
        if self._judging:
            self._judge(look)
        if look.layer == self._chooser:
            self._compare(look.key)

    def commit(self, spans: Sequence[Span]) -> None:
        """Settle the classes of heads after the last block by which they are told apart."""
        del spans
        if self._judging and self.tokens:
            self._judged += 1
            if not self._judging:
                self.static.copy_(static_heads(self._mass, self._part.threshold))

    def switched(self, cut: bool) -> None:
        """The region is dropped; the next one is ranked by what was noted before the switch."""
        self.tokens = self.frames = 0
        self._empty.fill_(True)

    # The two statistics.

    def _compare(self, key: Tensor) -> None:
        """Note how alike each frame is to the next one, [B, frames, patches]."""
        tokens = self._shape.tokens
        stream = torch.cat([self._frame, key], dim=1) if self._since else key
        self._scored = max(0, self._since - 1)
        self._frame.copy_(key[:, -tokens:])
        seen = stream.float() * ~self.static[self._chooser][:, None, :, None]
        alike = cosine_similarity(seen[:, :-tokens].flatten(2), seen[:, tokens:].flatten(2), dim=-1)
        frames = alike.unflatten(1, (-1, tokens)) if alike.shape[1] else alike.unsqueeze(-1)
        for patch, (first, end) in enumerate(pairwise(self._bands.edges)):
            self._likeness[:, : frames.shape[1], patch] = frames[..., first:end].mean(-1)

    def _weights(self, length: int) -> Tensor:
        """[B, 1, 1, S] log of how many keys each of those in `_judge` stands for."""
        whole, kept = len(self._some), self.tokens // self._bands.most
        behind = self._part.window - WHOLE - self._shape.block_frames
        times = [self._shape.tokens / whole] * (WHOLE * whole) + [1.0] * (self.tokens + length)
        region = slice(WHOLE * whole, WHOLE * whole + self.tokens)
        times[region] = [behind * self._bands.count / max(1, kept)] * self.tokens
        worth = torch.tensor(times, device=self._tail.keys.device).log()
        worth = worth.repeat(self._shape.batch, 1)
        worth[:, region].masked_fill_(self._empty[:, : self.tokens], -torch.inf)
        return worth[:, None, None]

    def _judge(self, look: Look) -> None:
        """Note how much attention falls near, and on the region."""
        marks = self._marks[look.layer]
        if self.tokens:
            region = self._tail.keys[look.layer, :, : self.tokens]
            parts = [marks[:, 0], marks[:, 1], region, look.key]
            mass = key_mass(look.query[:, self._judges], parts, self._worth)
            _, recent, far, block = mass.split([part.shape[1] for part in parts], dim=-1)
            near = recent.sum(-1) + block.sum(-1)
            self._mass[look.layer] += torch.stack([near, far.sum(-1)], dim=-1)
        if not self._since:
            marks[:, 0] = look.key[:, self._some]
        marks[:, 1] = look.key[:, -self._shape.tokens :][:, self._some]


def static_heads(mass: Tensor, threshold: float) -> Tensor:
    """Which heads look at what is near alone.

    Args:
        mass: [N, B, H, 2] attention to what is near and to what lies further back, the first frame
            left out.
        threshold: least share of what is near.

    Returns:
        [N, B, H] bool; never in the first layer, whose heads are not told apart.

    Source: Forcing-KV (arXiv 2605.09681), offline profile of heads.
    """
    static = mass[..., 0] >= threshold * mass.sum(-1)
    static[0] = False
    return static

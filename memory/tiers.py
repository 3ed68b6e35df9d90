"""Older frames in two tiers: those that tell most are kept in codes, the rest as one mean each.

Source: kv-quant-longhorizon, soft-prune INT4.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.attention import Part
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Mid, MidPart, Tail
from worldrt.memory.quantize import Codec, Codes
from worldrt.memory.slots import CacheShape, Span

FIRST_LAYER, LAST_LAYER = 0.70, 1.30
"""Share of the budget that a layer has; linear between them."""
IMPORTANT = 0.10
"""Share of frames that the budget counts first; of the others it counts `Tiers.retained`."""
CHANGE, YOUTH = 0.7, 0.3
"""Weights of how much a frame changed and of how young it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers(MidPart):
    """The last frames that left `recent`, some whole and some as their means, in each layer.

    Args:
        frames: capacity, at least 1.
        codec: of the whole ones.
        retained: share of frames that stay whole besides the first tenth, before the layer's own
            share is applied, 0 to 1.
    """

    frames: int
    codec: Codec
    retained: float = 0.30
    raw = True
    by_layer = True

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 <= self.retained <= 1:
            raise ConfigError(
                f"Tiers need at least 1 frame and retain a share from 0 to 1, got {self.frames} "
                f"and {self.retained}."
            )

    def whole(self, layer: int, layers: int) -> int:
        """Frames that a layer keeps whole: tiers of important and of retained ones together."""
        share = float(np.linspace(FIRST_LAYER, LAST_LAYER, layers)[layer])
        important = max(1, round(IMPORTANT * share * self.frames))
        retained = max(1, round(self.retained * share * (self.frames - important)))
        return min(self.frames, important + retained)

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del shape, bounds
        return 0  # what is stored in codes is read in parts

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "TierStore":
        assert bounds.most <= self.frames
        return TierStore(self, shape, tail)


class TierStore(Mid):
    """The tiers of all layers.

    Args:
        part: the policy's.
        shape: the model's numbers.
        tail: of no room.
    """

    def __init__(self, part: Tiers, shape: CacheShape, tail: Tail) -> None:
        device = tail.keys.device
        self._rope = Rope.of_grid(shape.head_dim, shape.rows, shape.columns)
        cells = self._rope.cells(device)
        still = cells.new_ones(len(cells), shape.head_dim // 2 - cells.shape[1])
        table = torch.cat([still, cells], dim=1).unsqueeze(1)
        self._layers = [
            LayerTiers(part, part.whole(layer, shape.layers), shape, tail.keys, table)
            for layer in range(shape.layers)
        ]
        self._weight = torch.full((1, 1, 1, 1), math.log(shape.tokens), device=device)
        self._times = cells.new_zeros(0)
        self.nbytes = sum(tiers.nbytes for tiers in self._layers)

    def admit_layer(self, layer: int, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        tiers = self._layers[layer]
        tiers.admit(spans, keys, values)
        self.frames, self.width = tiers.frames, float(tiers.frames)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del spans
        tokens = [tiers.tokens for tiers in self._layers]
        self.apart = round(sum(tokens) / len(tokens))
        places = [start + age for age in range(self.frames)]
        self._times = self._rope.times(places, self._weight.device)

    def parts(self, layer: int) -> Iterator[Part] | None:
        return self._draw(self._layers[layer]) if self.frames else None

    def flush(self) -> None:
        self.frames, self.apart, self.width = 0, 0, 0.0
        for tiers in self._layers:
            tiers.frames = tiers.held = 0

    def _draw(self, tiers: "LayerTiers") -> Iterator[Part]:
        """The means, then the whole frames one by one; no name is bound to what is drawn."""
        if tiers.held < tiers.frames:
            yield self._means(*tiers.means(), tiers.first)
        for place in range(tiers.held):
            yield self._whole(tiers, place)

    def _means(self, keys: Tensor, values: Tensor, frames: Tensor, first: int) -> Part:
        times = self._times[frames - first]
        still = times.new_ones(*frames.shape, keys.shape[-1] // 2 - times.shape[-1])
        table = torch.cat([times, still], dim=-1).unsqueeze(-2)
        return Part(rotate(keys, table), values, self._weight)

    def _whole(self, tiers: "LayerTiers", place: int) -> Part:
        times = self._times[tiers.frame(place) - tiers.first]
        table = self._rope.spread(times).unflatten(0, (len(times), -1))
        return Part(rotate(tiers.read(0, place), table), tiers.read(1, place))


class LayerTiers:
    """One layer's frames: whole ones in codes of raw keys, the others as means; each by age.

    A mean key is that of keys turned by row and column, so its logit is the mean of the frame's
    logits, wherever the frame stands; its turn in time is that of all its tokens. Means are taken
    from the codes, since a frame is in codes when it falls behind. How many frames are in a tier is
    known on the host; which, to the device.

    Args:
        part: the policy's.
        whole: capacity of the upper tier.
        shape: the model's numbers.
        like: of the dtype and on the device of keys and values.
        table: [F, 1, D / 2] that turns keys by row and column alone.
    """

    def __init__(
        self, part: Tiers, whole: int, shape: CacheShape, like: Tensor, table: Tensor
    ) -> None:
        self._part, self._whole, self._tokens, self._table = part, whole, shape.tokens, table
        rows, groups = part.codec.room(shape.tokens)
        batch, width = shape.batch, (shape.heads, shape.head_dim)
        self._codes = [
            Codes(
                like.new_zeros(batch, whole, rows, *width, dtype=torch.uint8),
                like.new_zeros(batch, whole, groups, *width, dtype=torch.float16),
            )
            for _ in range(2)
        ]
        self._means = [like.new_zeros(batch, part.frames - whole, *width) for _ in range(2)]
        self._frames = like.new_zeros(batch, whole, dtype=torch.long)
        self._averaged = like.new_zeros(batch, part.frames - whole, dtype=torch.long)
        self._sketches = like.new_zeros(batch, part.frames, shape.heads, dtype=torch.float32)
        self._batch = torch.arange(batch, device=like.device)[:, None]
        self.first = self.frames = self.held = 0
        """Index of the oldest frame; frames in both tiers; frames in the upper one."""

    @property
    def nbytes(self) -> int:
        codes = [row for codes in self._codes for row in codes]
        own = (*codes, *self._means, self._frames, self._averaged, self._sketches)
        return sum(tensor.nbytes for tensor in own)

    @property
    def tokens(self) -> int:
        """Tokens that are read: all of a whole frame, one of another."""
        return self.held * self._tokens + self.frames - self.held

    def frame(self, place: int) -> Tensor:
        """[B] index of a whole frame."""
        return self._frames[:, place]

    def read(self, which: int, place: int) -> Tensor:
        """Raw keys (0) or values (1) of a whole frame, [B, F, H, D] float32."""
        packed, scales = (row[:, place] for row in self._codes[which])
        return self._part.codec.decode(Codes(packed, scales), self._tokens, torch.float32)

    def means(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean keys turned by row and column [B, M, H, D], mean values, and their frames [B, M]."""
        keys, values = (row[:, : self.frames - self.held] for row in self._means)
        return keys, values, self._averaged[:, : self.frames - self.held]

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        """Take the frames that follow those it has; the oldest go where there is no more room.

        Args:
            spans: frames, no more than the capacity.
            keys, values: [B, L, H, D] of them, keys raw.
        """
        count = len(spans)
        fresh = (keys.unflatten(1, (count, -1)), values.unflatten(1, (count, -1)))
        frames = min(self.frames + count, self._part.frames)
        held = min(self.held + count, self._whole)
        self.first = spans[-1].frame - frames + 1
        scores = self._scores(*fresh, frames)
        new = torch.arange(spans[0].frame, spans[-1].frame + 1, device=keys.device)
        known = torch.cat([self._frames[:, : self.held], new.expand(len(keys), -1)], dim=1)
        score = scores.gather(1, (known - self.first).clamp_min(0))
        # No more frames are too old than are new, so those too old are never chosen.
        score = score.masked_fill(known < self.first, -torch.inf)
        ranked = score.argsort(dim=1, descending=True, stable=True)
        chosen, fallen = ranked[:, :held].sort(dim=1).values, ranked[:, held:]
        averaged = torch.cat([self.means()[2], known.gather(1, fallen)], dim=1)
        # The same frames are gone from both tiers: of those averaged, the first in time.
        kept = averaged.argsort(dim=1)[:, averaged.shape[1] - (frames - held) :]
        for which, tokens in enumerate(fresh):
            mean = self._fall(which, self._part.codec.encode(tokens), chosen, fallen)
            pool = torch.cat([self.means()[which], mean], dim=1)
            self._means[which][:, : frames - held] = pool[self._batch, kept]
        self._frames[:, :held] = known.gather(1, chosen)
        self._averaged[:, : frames - held] = averaged.gather(1, kept)
        self.frames, self.held = frames, held

    def _scores(self, keys: Tensor, values: Tensor, frames: int) -> Tensor:
        """Score of each frame by age, the new ones last: how much it changed, and its youth.

        Change is measured on a sketch, the mean |K| + |V| of each head, against the sketch that
        was as old when frames last came; what has none to be compared with is all new.

        Args:
            keys, values: [B, T, F, H, D] of new frames.
            frames: in all.

        Returns:
            [B, frames] float32.
        """
        sketch = _extent(keys) + _extent(values)
        before = self._sketches[:, : self.frames]
        now = torch.cat([before, sketch], dim=1)[:, -frames:]
        change = now.new_ones(now.shape[:2])
        common = self.frames  # never more than `frames`
        moved = (now[:, frames - common :] - before).abs().sum(-1)
        change[:, frames - common :] = moved / before.sum(-1).clamp_min(torch.finfo().tiny)
        self._sketches[:, :frames] = now
        return CHANGE * change + YOUTH * torch.linspace(0, 1, frames, device=keys.device)

    def _fall(self, which: int, fresh: Codes, chosen: Tensor, fallen: Tensor) -> Tensor:
        """Keep the codes of the chosen frames; the means of those that fell, [B, M, H, D]."""
        lost = list[Tensor]()
        for row, new in zip(self._codes[which], fresh, strict=True):
            pool = torch.cat([row[:, : self.held], new], dim=1)
            lost.append(pool[self._batch, fallen])
            row[:, : chosen.shape[1]] = pool[self._batch, chosen]
        tokens = self._part.codec.decode(Codes(*lost), self._tokens, torch.float32)
        turned = rotate(tokens, self._table) if which == 0 else tokens
        return turned.mean(2).type_as(self._means[which])


def _extent(tokens: Tensor) -> Tensor:
    """Mean absolute number of each frame and head, [B, T, F, H, D] to [B, T, H] float32."""
    return tokens.abs().mean((2, 4), dtype=torch.float32)

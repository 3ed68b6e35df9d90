"""Frames remembered for how much is asked of them and how little they repeat each other.

Source: TetherCache, GRAB (gated recall) and TAME (trusted alignment).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.memory.bank import Bank
from worldrt.memory.mid import Bounds, Look, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span

LEAST_DEVIATION = 1e-6
"""Floor of a standard deviation that is divided by or aligned to."""


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


@dataclass(slots=True)
class Moments:
    """Mean and variance over tokens of keys, or values, by head and channel."""

    count: int
    mean: Tensor
    """[..., H, D]"""
    variance: Tensor
    """[..., H, D], not corrected for bias."""

    @classmethod
    def of(cls, tokens: Tensor) -> "Moments":
        """Of [..., L, H, D] over its tokens."""
        variance, mean = torch.var_mean(tokens.float(), dim=-3, correction=0)
        return cls(tokens.shape[-3], mean, variance)

    def joined(self, other: "Moments") -> "Moments":
        """Moments of both together, without the cancellation of sums of squares."""
        count = self.count + other.count
        share = other.count / count
        gap = other.mean - self.mean
        variance = self.variance + (other.variance - self.variance) * share
        return Moments(
            count, self.mean + gap * share, variance + gap.square() * (share * (1 - share))
        )

    @property
    def deviation(self) -> Tensor:
        return self.variance.sqrt().clamp_min(LEAST_DEVIATION)


class GrabBank(Bank):
    """The state of `Grab`.

    The mean logit of a frame is the product of the mean query with the mean key: two vectors a
    head, where the released code forms all scores.
    """

    def __init__(self, part: Grab, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        super().__init__(part.frames, shape, bounds, tail)
        self._part, self._sink_frames = part, bounds.sink
        self._young = 0
        self._trusted: dict[int, tuple[Moments, Moments]] = {}

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        super().lay_out(start, spans)
        self._young = sum(span.frame < self._sink_frames for span in spans)

    def read(self, look: Look) -> None:
        if not look.clean:
            return
        if self._young:
            self._trust(look)
        if self._waiting:
            scores = self._scores(look)
            if self._part.alignment:
                self._align(look.layer)
            chosen = self._keep(look.layer, scores)
            ids = self._ids[look.layer]
            ids[:, : self.frames] = ids.gather(1, chosen)
            self._turn(look.layer)

    def _scores(self, look: Look) -> Tensor:
        """[B, K + P] score of each candidate frame, in float32: differences are hundredths."""
        count = self.frames + self._waiting
        keys = self._raw[look.layer, :, self._tokens(0, count)].unflatten(1, (count, -1))
        ids = self._ids[look.layer, :, :count]
        asked = torch.einsum("BHD,BKHD->BK", look.raw_query.float().mean(1), keys.float().mean(2))
        heads, width = keys.shape[-2:]
        mass = torch.softmax(asked / (heads * width**0.5 * self._part.temperature), dim=1)
        reach = ((ids.amax(1) - ids.amin(1) + 1) / 2).clamp_min(1)[:, None, None]
        likeness = torch.exp(-(ids[:, :, None] - ids[:, None]).abs() / reach)
        likeness.diagonal(dim1=1, dim2=2).zero_()
        repeated = (likeness * mass[:, None]).amax(2)
        return mass + self._part.diversity * (1 - repeated).clamp_min(0)

    def _trust(self, look: Look) -> None:
        """Note the moments of the sink as its keys are written."""
        tokens = self._young * self._shape.tokens
        new = (Moments.of(look.raw_key[:, :tokens]), Moments.of(look.value[:, :tokens]))
        old = self._trusted.get(look.layer)
        self._trusted[look.layer] = (old[0].joined(new[0]), old[1].joined(new[1])) if old else new

    def _align(self, layer: int) -> None:
        """Move the moments of the frames that wait towards those of sink and bank."""
        held, count = self._tokens(0, self.frames), self.frames + self._waiting
        waiting, share = self._tokens(self.frames, count), self._part.alignment
        stores = (self._raw[layer], self._tail.values[layer])
        trusted = self._trusted.get(layer)
        for index, store in enumerate(stores):
            goal = Moments.of(store[:, held])
            if trusted:
                goal = goal.joined(trusted[index])
            frames = store[:, waiting].unflatten(1, (self._waiting, -1))
            own = Moments.of(frames)
            even = (frames - own.mean.unsqueeze(-3)) / own.deviation.unsqueeze(-3)
            aligned = even * goal.deviation[:, None, None] + goal.mean[:, None, None]
            store[:, waiting] = (
                torch.lerp(frames.float(), aligned, share).flatten(1, 2).type_as(store)
            )

"""Mean and variance over tokens, and how to join and move them without looking at tokens again."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

LEAST_DEVIATION = 1e-6
"""Floor of a standard deviation that is divided by or aligned to."""


class Moments(NamedTuple):
    """Moments by head and channel, in float32; X is any axes, here keys and values."""

    mean: Tensor
    """[..., X, H, D]"""
    variance: Tensor
    """[..., X, H, D], not corrected for bias."""

    @classmethod
    def of(cls, tokens: Tensor) -> Self:
        """Of [..., L, H, D] over its tokens."""
        # Two plain passes: torch.var_mean takes sixteen times as long here.
        tokens = tokens.float()
        mean = tokens.mean(-3, keepdim=True)
        return cls(mean.squeeze(-3), (tokens - mean).square_().mean(-3))

    @classmethod
    def of_both(cls, keys: Tensor, values: Tensor) -> Self:
        """Of keys and values side by side, [..., 2, H, D]."""
        pairs = zip(cls.of(keys), cls.of(values), strict=True)
        return cls(*(torch.stack(pair, dim=-3) for pair in pairs))

    @property
    def deviation(self) -> Tensor:
        """[..., H, D], at least LEAST_DEVIATION."""
        return self.variance.sqrt().clamp_min(LEAST_DEVIATION)

    def pooled(self) -> "Moments":
        """Of all frames together, [..., X, H, D] of [..., K, X, H, D], each of as many tokens."""
        mean = self.mean.mean(-4, keepdim=True)
        spread = (self.mean - mean).square_().mean(-4)
        return Moments(mean.squeeze(-4), self.variance.mean(-4) + spread)

    def joined(self, other: "Moments", mine: int, its: int) -> "Moments":
        """Of both together, weighed by frames; without the cancellation of sums of squares."""
        share = its / (mine + its)
        gap = other.mean - self.mean
        variance = torch.lerp(self.variance, other.variance, share)
        return Moments(self.mean + gap * share, variance + gap.square() * (share * (1 - share)))

    def towards(self, goal: "Moments", share: float) -> tuple[Tensor, Tensor]:
        """Scale and shift that move these a share of the way to others.

        Args:
            goal: [..., X, H, D].
            share: 0 to 1.

        Returns:
            [..., K, X, H, D] each, for these [..., K, X, H, D].
        """
        ratio = goal.deviation.unsqueeze(-4) / self.deviation
        return 1 - share + share * ratio, share * (goal.mean.unsqueeze(-4) - ratio * self.mean)

    def moved(self, scale: Tensor, shift: Tensor) -> "Moments":
        """After every token x has become scale x + shift."""
        return Moments(self.mean * scale + shift, self.variance * scale.square())

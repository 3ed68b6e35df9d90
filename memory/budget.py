"""How a budget of tokens is shared out among layers and heads.

Source: kv-quant-longhorizon (budgets that rise from the first layer to the last); Ada-KV (arXiv
2407.11550) for heads that share one budget.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Shares of a mean budget.

    Args:
        slope: the first layer has 1 - slope of the mean, the last 1 + slope, linear between; -1 to
            1, excluded.
        spread: how far one head's share may rise above its layer's mean because its tokens score
            higher than those of others; 0: all heads have the same.
    """

    slope: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not -1 < self.slope < 1 or self.spread < 0:
            raise ConfigError(
                f"A budget slopes by more than -1 and less than 1 and spreads by 0 or more, got "
                f"{self.slope} and {self.spread}."
            )

    @property
    def even(self) -> bool:
        """Whether every layer and head has the same."""
        return self.slope == 0 and self.spread == 0

    def of_layer(self, mean: int, layer: int, layers: int) -> int:
        """Tokens of one layer, at least 1."""
        along = 2 * layer / (layers - 1) - 1 if layers > 1 else 0.0
        return max(1, round(mean * (1 + self.slope * along)))

    def most(self, mean: int) -> int:
        """Most tokens that any head of any layer keeps."""
        largest = max(self.of_layer(mean, 0, 2), self.of_layer(mean, 1, 2))
        return int(largest * (1 + self.spread))

    def keep(self, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The tokens that each head keeps, in time order, and which of them count.

        Heads of a layer put their tokens in one ranking; each takes part in it with its best
        `count` (1 + spread). Ties go to the earlier token, then to the earlier head.

        Args:
            scores: [B, H, S], minus infinity for what can't be kept.
            count: mean tokens a head; the layer's total is H count.

        Returns:
            [B, H, K] token indices, rising among those that count, and [B, H, K] bool.
        """
        batch, heads, length = scores.shape
        if not self.spread:
            best = scores.argsort(dim=-1, descending=True, stable=True)[..., :count]
            kept = best.sort(dim=-1).values
            return kept, scores.gather(-1, kept).isfinite()
        most = min(length, int(count * (1 + self.spread)))
        order = scores.argsort(dim=-1, descending=True, stable=True)[..., :most]
        ranked = scores.gather(-1, order)
        # Rank by rank and head by head, so that a stable sort gives ties to the better rank.
        pooled = ranked.transpose(1, 2).flatten(1).argsort(dim=-1, descending=True, stable=True)
        counts = torch.zeros_like(ranked, dtype=torch.bool).transpose(1, 2).flatten(1)
        counts.scatter_(1, pooled[:, : heads * count], True)
        counts = counts.view(batch, most, heads).transpose(1, 2) & ranked.isfinite()
        # Those that do not count go behind; the others into time order.
        place = torch.where(counts, order, order + length).argsort(dim=-1, stable=True)
        return order.gather(-1, place), counts.gather(-1, place)

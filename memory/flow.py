"""All clean history in one budget of tokens, chosen by each head for itself.

Source: FlowCache (arXiv 2602.10825), joint importance and redundancy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, normalize, pad

from worldrt.errors import ConfigError
from worldrt.memory.budget import Budget
from worldrt.memory.mass import check_sample, key_mass, thinned
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.slots import CacheShape, Span

Asking = Literal["block", "frame", "tokens"]
"""Whose queries judge: all of the block, its last frame, or its last tokens."""

POOL = 7
"""Tokens over which importance is spread: a token counts as much as its best neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(MidPart):
    """Tokens of past blocks, some kept by each head.

    Args:
        blocks: how many blocks' worth of tokens are held, the current one counted.
        importance: weight of importance, 0 to 1; redundancy has the rest.
        queries: whose queries judge.
        last: how many tokens, where the last ones judge.
        sample: how many of these queries judge, spread evenly; 0: all.
        budget: how the tokens are shared out among layers and heads.
    """

    blocks: int
    importance: float = 0.07
    queries: Asking = "block"
    last: int = 50
    sample: int = 64
    budget: Budget = Budget()

    def __post_init__(self) -> None:
        if self.blocks < 2:
            raise ConfigError(
                f"A budget holds a past block and the current one at least, got {self.blocks} "
                "blocks; give it 2 or more."
            )
        if not 0 <= self.importance <= 1 or self.last < 1:
            raise ConfigError(
                f"Importance weighs from 0 to 1 and 1 token or more judges, got "
                f"{self.importance} and {self.last}."
            )
        check_sample(self.sample)

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del bounds
        mean = self.mean(shape)
        return mean if self.budget.even else self.budget.most(mean)

    def mean(self, shape: CacheShape) -> int:
        """Tokens that a head keeps on the whole."""
        return (self.blocks - 1) * shape.block_frames * shape.tokens

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> "FlowTokens":
        return FlowTokens(self, shape, bounds, tail)


class UnevenFlow(Flow):
    """The same where layers or heads keep unequal numbers: places beyond them are hidden."""

    weights = "heads"


class FlowTokens(Mid):
    """The state of `Flow`.

    A finished block joins the tail whole while there is room. Where there is not, tail and block
    compete: scores are noted in the block's clean pass, whose queries are the newest there are and
    whose keys lie at hand, and who stays is settled layer by layer when the block leaves. Kept keys
    stay in time order, so that a token's neighbours are those it had in its frame, as far as those
    are kept.
    """

    def __init__(self, part: Flow, shape: CacheShape, bounds: Bounds, tail: Tail) -> None:
        self._part, self._shape, self._tail = part, shape, tail
        mean = part.mean(shape)
        layers = range(shape.layers)
        self._rooms = [part.budget.of_layer(mean, layer, shape.layers) for layer in layers]
        self._held = [0] * shape.layers
        most = tail.keys.shape[2] + bounds.most * shape.tokens
        size = (shape.layers, shape.batch, shape.heads, most)
        self._scores = torch.zeros(size, device=tail.keys.device)
        self._judges = torch.zeros(0, dtype=torch.long)
        self.nbytes = self._scores.nbytes

    def admit(self, spans: Sequence[Span], keys: Tensor, values: Tensor) -> None:
        for layer, room in enumerate(self._rooms):
            held, total = self._held[layer], self._held[layer] + keys.shape[2]
            hidden = self._hidden(layer, total)
            rows = (
                (self._tail.keys[layer], keys[layer]),
                (self._tail.values[layer], values[layer]),
            )
            if total <= room:
                for stored, new in rows:
                    stored[:, held:total] = new
                self._held[layer] = total
                self._hide(layer, hidden)
                continue
            kept, counts = self._part.budget.keep(self._scores[layer, ..., :total], room)
            for stored, new in rows:
                both = torch.cat([stored[:, :held], new], dim=1)
                stored[:, : kept.shape[2]] = _by_head(both, kept.transpose(1, 2))
            self._held[layer] = kept.shape[2]
            self._hide(layer, ~counts)
        self.tokens = max(self._held)
        self.frames = -(-self.tokens // self._shape.tokens)

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        del start  # keys stand where they were written
        length = len(spans) * self._shape.tokens
        asking = {"block": length, "frame": self._shape.tokens, "tokens": self._part.last}
        count = min(length, asking[self._part.queries])
        judges = [length - count + index for index in thinned(count, self._part.sample)]
        self._judges = torch.tensor(judges, device=self._tail.keys.device)

    def read(self, look: Look) -> None:
        """Score what is held and what the block brings, if not all of it can stay."""
        layer, held = look.layer, self._held[look.layer]
        total = held + look.key.shape[1]
        if not look.clean or total <= self._rooms[layer]:
            return
        parts = [self._tail.keys[layer, :, :held], look.key]
        hidden = self._hidden(layer, total)
        bias = None if hidden is None else hidden.float().mul(-1e9).unsqueeze(2)
        asked = key_mass(look.query[:, self._judges], parts, bias)
        asked = max_pool1d(asked, POOL, stride=1, padding=POOL // 2)
        weight = self._part.importance
        scores = weight * asked - (1 - weight) * redundancy(parts, hidden)
        if hidden is not None:
            scores = scores.masked_fill(hidden, -torch.inf)
        self._scores[layer, ..., :total] = scores

    def _hidden(self, layer: int, total: int) -> Tensor | None:
        """[B, H, total] which places of the tail, and of what comes behind it, hold no token."""
        if self._tail.bias is None:
            return None
        held = self._tail.bias[layer, ..., : self._held[layer]].isinf()
        return pad(held, (0, total - held.shape[-1]))

    def _hide(self, layer: int, hidden: Tensor | None) -> None:
        """Hide places of the tail [B, H, K], and all behind them."""
        if hidden is not None and self._tail.bias is not None:
            bias = self._tail.bias[layer].fill_(-torch.inf)
            bias[..., : hidden.shape[-1]].masked_fill_(~hidden, 0)


def redundancy(keys: Sequence[Tensor], hidden: Tensor | None = None) -> Tensor:
    """How much each key says that the others say too.

    The softmax over keys of the mean cosine with the others. Cosines add up to a product with the
    sum of the unit keys, so that no pair is formed.

    Args:
        keys: parts [B, S_i, H, D] of the keys; their S_i add up to S.
        hidden: [B, H, S] those that are no keys; they say nothing.

    Returns:
        [B, H, S] float32, rows add up to 1.

    Source: FlowCache (arXiv 2602.10825), after R-KV.
    """
    units = [normalize(part.float(), dim=-1, eps=1e-8) for part in keys]
    if hidden is not None:
        shown = (~hidden).transpose(1, 2).unsqueeze(-1).split([len(u[0]) for u in units], dim=1)
        units = [unit * seen for unit, seen in zip(units, shown, strict=True)]
    total = torch.stack([unit.sum(1) for unit in units]).sum(0)
    alike = torch.cat([torch.einsum("BSHD,BHD->BHS", unit, total) for unit in units], dim=-1)
    alike = (alike - 1) / alike.shape[-1]
    return (alike if hidden is None else alike.masked_fill(hidden, -torch.inf)).softmax(-1)


def _by_head(tokens: Tensor, kept: Tensor) -> Tensor:
    """Tokens [B, S, H, D] that each head keeps, [B, R, H] of S: [B, R, H, D], copied by rows."""
    batch, length, heads, width = tokens.shape
    first = torch.arange(batch, device=kept.device)[:, None, None] * length
    rows = (first + kept) * heads + torch.arange(heads, device=kept.device)
    return tokens.reshape(-1, width).index_select(0, rows.flatten()).view(*kept.shape, width)

"""Attention of a block's queries over its context: softmax(q k^T / sqrt(D) + bias) v.

Bound: 4 L S H D FLOPs for L queries on S keys; with thousands of queries sharing each key it is
compute-bound, so a shorter context buys speed and smaller keys buy capacity only.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice, product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attend without a copy of keys or values.

    Args:
        query: [B, L, H, D], rotated.
        key: [B, S, H, D], rotated; any strides.
        value: [B, S, H, D].
        bias: broadcast to [B, H, L, S]; added to the logits (minus infinity hides a key), or bool,
            True where a query sees a key.

    Returns:
        [B, L, H, D].
    """
    if query.device.type == "cpu" and query.dtype is torch.bfloat16 and not query.requires_grad:
        return _attend_tiles(query, key, value, bias)
    out = scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=bias
    )
    return out.transpose(1, 2)


LOGITS = 2**21
"""Most logits that live at once where attention is done product by product."""


def _attend_tiles(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """As `attend`, product by product.

    torch's fused kernel for CPUs multiplies bfloat16 at the speed of float32; its matrix product
    uses the core's bfloat16 instructions where there are some. Logits are rounded to bfloat16.
    """
    batch, length, heads, channels = query.shape
    out, scaled = torch.empty_like(query), query * channels**-0.5
    if bias is not None:
        if bias.dtype is torch.bool:
            bias = query.new_zeros(()).masked_fill(~bias, -torch.inf)
        bias = bias.type_as(query).broadcast_to(batch, heads, length, key.shape[1])
    rows = max(LOGITS // key.shape[1], 1)
    for row, head in product(range(batch), range(heads)):
        keys, values = key[row, :, head].mT, value[row, :, head]
        for first in range(0, length, rows):
            tile = slice(first, first + rows)
            logits = scaled[row, tile, head] @ keys
            if bias is not None:
                logits += bias[row, head, tile]
            out[row, tile, head] = logits.softmax(-1) @ values
    return out


KEYS = 256
"""Most keys whose logits live at once where a context comes in parts."""


class Part(NamedTuple):
    """Some of the keys of a context, with their values.

    Args:
        key: [B, S, H, D], rotated, S at least 1.
        value: [B, S, H, D].
        bias: broadcast to [B, H, L, S]; added to the logits, never bool. Minus infinity hides a
            key, log n makes it count as n equal ones.
    """

    key: Tensor
    value: Tensor
    bias: Tensor | None = None


def attend_parts(query: Tensor, parts: Iterable[Part]) -> Tensor:
    """Attend to the concatenation of parts without ever holding it.

    Parts are drawn one after the other, two before the first is used, and each is let go once its
    weights are summed in float32, relative to the largest logit so far. A single part goes to
    `attend`.

    Bound: the FLOPs of `attend`; 4 B H L (S + 2 D) bytes for logits, sums and queries, where
    `attend` writes the result alone. S is that of the largest part and at most `KEYS`: a larger
    part is used up piece by piece. Parts of some hundred keys keep both the workspace and the
    passes over the sums small.

    Args:
        query: [B, L, H, D], rotated.
        parts: of any sizes, in any order; a generator may decode each when it is drawn. The first
            two live at once, so what is held anyway comes first.

    Returns:
        [B, L, H, D] in the query's dtype; zero where every key is hidden. Without gradients.

    Source: FlashAttention (arXiv 2205.14135), section 3.1.
    """
    drawn = iter(parts)
    ahead = deque(islice(drawn, 2))
    if len(ahead) == 1:
        return attend(query, *ahead.pop())
    sums = _Sums(query)
    while ahead:
        sums.add(ahead.popleft())
        if not ahead:
            ahead.extend(islice(drawn, 1))
    return sums.mean().type_as(query)


class _Sums:
    """Values weighted by exp(logit - top) and their total weight, for the parts seen so far."""

    def __init__(self, query: Tensor) -> None:
        self._size = query.shape
        self._query = _folded(query)
        self._values = torch.zeros_like(self._query)
        self._total = torch.zeros_like(self._query[..., :1])
        # Finite, so that what is minus infinity is so relative to it too, and never NaN.
        self._top = torch.full_like(self._total, torch.finfo(torch.float32).min)

    def add(self, part: Part) -> None:
        for start in range(0, part.key.shape[1], KEYS):
            here, bias = slice(start, start + KEYS), part.bias
            if bias is not None and bias.shape[-1] > 1:
                bias = bias[..., here]
            self._add(Part(part.key[:, here], part.value[:, here], bias))

    def _add(self, part: Part) -> None:
        batch, length, heads, channels = self._size
        bias = self._query.new_zeros(1)
        if part.bias is not None:
            size = (batch, heads, length, part.key.shape[1])
            bias = part.bias.float().broadcast_to(size).flatten(0, 1)
        key = _folded(part.key).mT
        logits = torch.baddbmm(bias, self._query, key, alpha=channels**-0.5)  # [B H, L, S]
        top = torch.maximum(self._top, logits.amax(-1, keepdim=True))
        weights = logits.sub_(top).exp_()
        fade = self._top.sub_(top).exp_()
        self._total.mul_(fade).add_(weights.sum(-1, keepdim=True))
        self._values.mul_(fade).baddbmm_(weights, _folded(part.value))
        self._top = top

    def mean(self) -> Tensor:
        """In place of the sums."""
        # The largest weight is 1, so a total below it means that no key was seen.
        mean = self._values.div_(self._total.clamp_(min=1))
        return mean.unflatten(0, (self._size[0], -1)).transpose(1, 2)


def _folded(heads: Tensor) -> Tensor:
    """[B, S, H, D] as [B H, S, D] in float32; no copy where B is 1."""
    return heads.transpose(1, 2).flatten(0, 1).float()

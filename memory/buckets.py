"""Buckets of directions: which keys lie near a query, by the sides of random planes.

A query and a key share a bucket of a table if they lie on the same side of each of its planes; two
directions at an angle a do so with probability (1 - a / pi)^bits a table. More bits hide more keys,
more tables lose fewer of the near ones.

As biases these save no time: a hidden key costs what a seen one does, and its code besides. They
say what a block-sparse attention would see, so that its loss can be measured.

Source: Charikar, "Similarity estimation techniques from rounding algorithms", 2002; AnnCA and AnnSA
(arXiv 2602.01801).
"""

import torch
from torch import Tensor

from worldrt.errors import ConfigError

MOST_BITS = 16
"""A table of presence has 2**bits entries a head."""


def sign_planes(
    heads: int,
    head_dim: int,
    bits: int,
    tables: int = 1,
    *,
    seed: int = 0,
    device: torch.device | None = None,
) -> Tensor:
    """Normals of random planes through the origin; the same numbers on every device.

    Args:
        heads, head_dim: of the model.
        bits: planes of a table, 1 to `MOST_BITS`.
        tables: independent tables; sharing a bucket of any of them counts.
        seed: of the normals.
        device: where they are put.

    Returns:
        [R, H, D, bits], R tables.

    Raises:
        ConfigError: bits or tables out of range.
    """
    if not 1 <= bits <= MOST_BITS or tables < 1:
        raise ConfigError(
            f"Buckets need 1 to {MOST_BITS} bits and at least 1 table, got {bits} and {tables}."
        )
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tables, heads, head_dim, bits, generator=generator).to(device)


def bucket_bias(query: Tensor, key: Tensor, planes: Tensor, bias: Tensor | None = None) -> Tensor:
    """Hide from each query the keys that share no bucket with it (AnnSA).

    A query that shares a bucket with no key that it may see, sees all that it may.

    Args:
        query: [B, L, H, D], rotated as the keys are, or both raw.
        key: [B, S, H, D].
        planes: [R, H, D, bits] from `sign_planes`.
        bias: broadcast to [B, H, L, S], what is added to the logits anyway; where it is minus
            infinity a key can't be seen, whatever lies there.

    Returns:
        [B, H, L, S] in the query's dtype: the bias, or 0 where there is none, where a query sees a
        key, else minus infinity.
    """
    asked, held = _codes(query, planes), _codes(key, planes)  # [R, B, H, L], [R, B, H, S]
    shared = (asked[..., None] == held[..., None, :]).any(0)
    if bias is None:
        return _hiding(shared, query)
    return _hiding(shared & (bias > -torch.inf), query) + bias


def prompt_bias(query: Tensor, key: Tensor, planes: Tensor) -> Tensor:
    """Hide keys that share no bucket with any query (AnnCA: the words that matter to no token).

    A head none of whose keys is shared sees all. No matrix of pairs is formed.

    Args:
        query: [B, L, H, D].
        key: [B, S, H, D].
        planes: [R, H, D, bits] from `sign_planes`.

    Returns:
        [B, H, 1, S] in the query's dtype: 0 where a key is seen, else minus infinity.
    """
    asked, held = _codes(query, planes), _codes(key, planes)
    present = torch.zeros(
        *asked.shape[:3], 2 ** planes.shape[-1], dtype=torch.bool, device=query.device
    )
    present.scatter_(3, asked, True)
    shared = present.gather(3, held).any(0)
    return _hiding(shared[:, :, None], query)


def _codes(vectors: Tensor, planes: Tensor) -> Tensor:
    """Bucket of each vector [B, L, H, D] in each table, [R, B, H, L]."""
    sides = torch.einsum("BLHD,RHDb->RBHLb", vectors.float(), planes) >= 0
    return (sides << torch.arange(planes.shape[-1], device=sides.device)).sum(-1)


def _hiding(shared: Tensor, like: Tensor) -> Tensor:
    """Biases from [..., S] booleans; a row of False becomes one of True."""
    seen = shared | ~shared.any(-1, keepdim=True)
    bias = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
    return bias.masked_fill_(~seen, -torch.inf)

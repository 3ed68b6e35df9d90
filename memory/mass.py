"""Attention mass: how much of their attention queries give to each key.

The mean of logits is linear in the queries and needs two vectors a head; the mean of their softmax
is not, and every pair must be looked at. So it is looked at for some of the queries, spread evenly,
and for few of these at a time.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor

from worldrt.errors import ConfigError

LOGITS = 2**24
"""Most logits that exist at once: 64 MiB."""

_STEP = (sqrt(5) - 1) / 2
"""Turns on a unit circle that never come close to a place they were at before."""


def thinned(count: int, most: int) -> list[int]:
    """At most so many indices, one of each stretch of neighbours, each time another one of them.

    A fixed stride would meet a grid whose columns it divides in one column only.

    Args:
        count: indices to choose from.
        most: how many; 0: all of them.

    Returns:
        Rising indices from 0 to count - 1.
    """
    if not 0 < most < count:
        return list(range(count))
    edges = [rank * count // most for rank in range(most + 1)]
    return [
        first + int(rank * _STEP % 1 * (end - first))
        for rank, (first, end) in enumerate(pairwise(edges))
    ]


def check_sample(most: int) -> None:
    """Raise ConfigError unless it is a number of queries."""
    if most < 0:
        raise ConfigError(f"Queries are looked at from 1 up, or 0 for all, got {most}.")


def key_mass(query: Tensor, keys: Sequence[Tensor], bias: Tensor | None = None) -> Tensor:
    """Mean over queries of softmax(q k^T / sqrt(D) + bias), over all keys together.

    Bound: 2 B H L S D FLOPs, and some four times the bytes of B H L S logits, which is more unless
    heads are wide; `LOGITS` numbers twice over at its peak.

    Args:
        query: [B, L, H, D].
        keys: parts [B, S_i, H, D] of the keys; their S_i add up to S.
        bias: broadcast to [B, H, L, S]; minus infinity hides a key.

    Returns:
        [B, H, S] float32, rows add up to 1.
    """
    batch, length, heads, channels = query.shape
    width = sum(part.shape[1] for part in keys)
    columns = [part.permute(0, 2, 3, 1) for part in keys]  # [B, H, D, S_i]
    at_once = max(1, LOGITS // (batch * heads * width))
    mass = torch.zeros(batch, heads, width, device=query.device)
    for rows in (query.transpose(1, 2) * channels**-0.5).split(at_once, dim=2):
        logits = torch.cat([rows @ column for column in columns], dim=-1)
        logits = logits if bias is None else logits + bias
        mass += logits.softmax(-1, dtype=torch.float32).sum(2)
    return mass / length

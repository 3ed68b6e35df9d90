"""Attention mass: how much of their attention queries give to each key.

The mean of logits is linear in the queries and needs two vectors a head; the mean of their softmax
is not, and every pair must be looked at. So it is looked at for few queries at a time, and for one
query in some where the caller allows it: 2 L S H D FLOPs, half of an attention's, over that number.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from worldrt.errors import ConfigError

LOGITS = 2**24
"""Most logits that exist at once: 64 MiB."""

_STEP = (sqrt(5) - 1) / 2
"""Turns on a unit circle that never come close to a place they were at before."""


def thinned(count: int, one_in: int) -> list[int]:
    """One index of each `one_in` neighbours, each time another one of them.

    A fixed stride would meet a grid whose columns it divides in one column only.

    Args:
        count: indices to choose from, 1 or more.
        one_in: size of a neighbourhood, 1 or more; 1: all of them.

    Returns:
        Rising indices from 0 to count - 1.
    """
    starts = range(0, count, one_in)
    return [
        start + int(rank * _STEP % 1 * min(one_in, count - start))
        for rank, start in enumerate(starts)
    ]


def check_thinning(one_in: int) -> None:
    """Raise ConfigError unless one query in `one_in` can be looked at."""
    if one_in < 1:
        raise ConfigError(f"One query in 1 or more is looked at, got one in {one_in}.")


def key_mass(query: Tensor, keys: Sequence[Tensor], bias: Tensor | None = None) -> Tensor:
    """Mean over queries of softmax(q k^T / sqrt(D) + bias), over all keys together.

    Bound: 2 B H L S D FLOPs; `LOGITS` numbers twice over at its peak.

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
    for rows in query.transpose(1, 2).split(at_once, dim=2):
        logits = torch.cat([rows @ column for column in columns], dim=-1).float()
        logits = logits * channels**-0.5 if bias is None else logits * channels**-0.5 + bias
        mass += logits.softmax(-1).sum(2)
    return mass / length

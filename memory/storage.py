"""The rows that a policy needs: tensors, or codes."""

import torch

from worldrt.memory.coded import CodedRows
from worldrt.memory.dense import DenseRows
from worldrt.memory.policy import Policy
from worldrt.memory.rows import Rows
from worldrt.memory.slots import CacheShape


def open_rows(
    policy: Policy,
    shape: CacheShape,
    slots: int,
    dtype: torch.dtype,
    device: torch.device | None,
) -> Rows:
    """Empty rows for a policy.

    Args:
        policy: its codec, its mid partition, and whether keys move.
        shape: the model's numbers.
        slots: frame slots.
        dtype: of keys and values as the model computes them.
        device: where they lie.
    """
    mid = policy.mid
    room = mid.room(shape, policy.bounds(shape.block_frames)) if mid else 0
    weights = mid.weights if mid else "none"
    if policy.codec is not None:
        return CodedRows(policy.codec, shape, slots, room, weights, dtype, device)
    return DenseRows(
        shape, slots, room, raw=policy.moves, weights=weights, dtype=dtype, device=device
    )

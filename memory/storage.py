"""The rows that a policy needs: tensors, or codes; and whether they fit."""

import os

import torch

from worldrt.errors import CacheError
from worldrt.memory.coded import CodedRows
from worldrt.memory.dense import DenseRows
from worldrt.memory.policy import Policy
from worldrt.memory.rows import Rows
from worldrt.memory.slots import CacheShape


def open_rows(
    policy: Policy,
    shape: CacheShape,
    slots: int,
    raw: bool,
    dtype: torch.dtype,
    device: torch.device | None,
) -> Rows:
    """Empty rows for a policy.

    Args:
        policy: its codec, its mid partition, and whether keys move.
        shape: the model's numbers.
        slots: frame slots.
        raw: whether keys move after they were written.
        dtype: of keys and values as the model computes them.
        device: where they lie.
    """
    mid = policy.mid
    room = mid.room(shape, policy.bounds(shape.block_frames)) if mid else 0
    weights = mid.weights if mid else "none"
    if policy.codec is not None:
        return CodedRows(policy.codec, shape, slots, room, weights, dtype, device)
    return DenseRows(shape, slots, room, raw=raw, weights=weights, dtype=dtype, device=device)


def check_memory(
    policy: Policy,
    shape: CacheShape,
    dtype: torch.dtype,
    device: torch.device | None,
    spatial: int,
) -> None:
    """Raise CacheError if a policy's frames and tail alone exceed the device's memory."""
    bounds = policy.bounds(shape.block_frames)
    frames = (policy.slots(shape.block_frames) + spatial) * shape.tokens
    room = policy.mid.room(shape, bounds) if policy.mid else 0
    bits = policy.codec.bits if policy.codec else None
    size = torch.finfo(dtype).bits / 8
    stored = size * (3 if policy.moves or spatial else 2) if bits is None else bits / 4
    row = shape.layers * shape.batch * shape.heads * shape.head_dim
    needed = row * (frames * stored + room * size * 2)
    there = _memory(device)
    if needed > there:
        raise CacheError(
            f"Policy {policy.name!r} needs {needed / 1e9:.1f} GB for its cache, this device has "
            f"{there / 1e9:.1f} GB; keep fewer frames, or store them in a codec."
        )


def _memory(device: torch.device | None) -> int:
    """Bytes of memory of a device."""
    if device is not None and device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

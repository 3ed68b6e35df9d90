"""What a cache costs at its fullest, workspaces included."""

from functools import cache

import torch

from tests.peak import peak
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape

WAN = CacheShape(layers=30, heads=2, head_dim=64, rows=6, columns=8, block_frames=3)
"""As many layers as Wan2.1 1.3B, of fewer heads and tokens."""
MAZE = CacheShape(layers=6, heads=4, head_dim=64, rows=6, columns=8, block_frames=3)
"""The shipped world's, at blocks of 3."""


@cache
def cache_peak(spec: str, shape: CacheShape, history: int = 42) -> int:
    """Most bytes that live at once in a rollout in bfloat16; what a pass is given is not counted.

    Args:
        spec: of the policy.
        shape: the model's numbers.
        history: frames of a context that is full.
    """
    frames = shape.block_frames
    size = (3, shape.batch, frames * shape.tokens, shape.heads, shape.head_dim)
    query, key, value = torch.ones(size, dtype=torch.bfloat16)
    full = -(-history // frames)
    with peak() as found:
        kept = KVCache(find(spec, frames), shape, torch.bfloat16)
        for block in range(full + 3):
            kept.open_block(frames)
            kept.begin_pass(first=True, clean=True)
            # Until the cache is full it is enough to hold places in it.
            for layer in range(shape.layers if block >= full else 0):
                kept.attend(layer, query, key, value)
            kept.commit()
    return found.bytes

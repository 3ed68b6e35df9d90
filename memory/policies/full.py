"""Everything is kept: the exact reference, and the only policy whose memory grows.

Source: Self-Forcing (arXiv 2506.08009), unbounded cache.
"""

from worldrt.memory.policy import Partition, Policy


def build(*, block_frames: int) -> Policy:
    """No options; the cache doubles when it is full."""
    del block_frames
    return Policy(name="full", partition=Partition(sink=0, recent=None))

"""Sink and recent frames at positions that count from the window's start; flush and cut.

Source: infinity-RoPE, block-relativistic rotary positions, KV flush and RoPE cut.

The released code turns the whole window in float64 in every pass; here what moves is turned once a
block, from raw keys. There a window that is no multiple of the block repeats a block's first step
at other positions, a flush before the window is full copies zeros, and a batch is one; none holds
here. At a flush the prompt's keys are new and all but the sink and the last frames are forgotten;
at a cut the next block, for as long as it is the next, stands at 45 as if far away.
"""

from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.positions import Window


def build(
    *,
    block_frames: int,
    sink: int = 1,
    recent: int | None = None,
    cut: float = 45.0,
) -> Policy:
    """Sink 1, recent 2 and the block: a window of 6 at blocks of 3.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept.
        recent: last frames kept, the current block not counted; default what fills
            two blocks, at least 1.
        cut: temporal position of a block that follows a cut.
    """
    recent = max(1, block_frames - sink) if recent is None else recent
    return Policy(
        name="infinity",
        partition=Partition(sink=sink, recent=recent),
        positions=Window(cut=cut),
        switches=Switches(flush=recent, cut=True),
    )

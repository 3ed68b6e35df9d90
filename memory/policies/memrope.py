"""Sink, a slow and a quick running mean of all that left, and recent frames; window positions.

Source: MemRoPE (arXiv 2603.12513), memory tokens and online RoPE indexing.

Sizes at blocks of 3: sink 3, two memory frames, recent 4 and the block, 12 frames. Frames that
leave together enter a mean as one, as there. The released code overwrites the two frames that stood
in the memory's place when the window first fills, before they were averaged; here the first mean
begins with them. It keeps means in bfloat16, in which a hundredth of a difference is mostly lost;
here in float32. It has a window of 12 frames whatever the block is; here it has four blocks.

There a memory frame is F copies of one vector, one at each cell: `memory=copies`. `memory=token` is
one token in their stead (`LoneAverages` says what that changes). `memory=grid` is the adaptive
variant: each cell has its own mean, and the quick one follows the cells that moved, between 0.1 and
5 times its rate.
"""

from typing import Literal

from worldrt.memory.average import Averages, LoneAverages
from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.positions import Window


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    recent: int | None = None,
    long: float = 0.01,
    short: float = 0.1,
    memory: Literal["token", "copies", "grid"] = "token",
) -> Policy:
    """A window of four blocks, compressed when the next block would exceed it.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept; default one block.
        recent: last frames kept, the current block not counted; default what fills four blocks, at
            least one.
        long: share of what leaves in the slow mean.
        short: share in the quick mean.
        memory: what a memory frame is.

    Raises:
        ConfigError: a share that is not above 0 and up to 1.
    """
    sink = block_frames if sink is None else sink
    recent = max(block_frames, 2 * block_frames - 2) if recent is None else recent
    part = LoneAverages if memory == "token" else Averages
    return Policy(
        name="memrope",
        partition=Partition(sink=sink, recent=recent, limit=sink + 2 + recent + block_frames),
        positions=Window(),
        mid=part(long=long, short=short, grid=memory == "grid"),
        switches=Switches(flush=recent, cut=True),
    )

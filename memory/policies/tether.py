"""Sink, a bank of frames chosen by recall and diversity, and recent frames; window positions.

Source: TetherCache, GRAB and TAME.

The released code forms scores of every query with every key of 17 frames; the mean of products is
the product of means, so two vectors a head give the same numbers. It asserts a budget of whole
blocks; here any. Its state outlives a sample; here it belongs to the cache. As there, frames that
left `recent` are unseen in the steps of the block that pushed them out and come back, if chosen, in
its clean pass; so one old frame is all that stands between bank and block.
"""

from worldrt.memory.grab import Grab
from worldrt.memory.policy import Partition, Policy, check_frames
from worldrt.memory.positions import Window


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    memory: int | None = None,
    recent: int = 1,
    temperature: float = 1.0,
    diversity: float = 0.35,
    alignment: float = 0.35,
) -> Policy:
    """A window of seven blocks: 3 sink frames, 14 remembered and 4 recent at blocks of 3.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept; default one block.
        memory: frames remembered; default what fills seven blocks.
        recent: last frames kept, the current block not counted.
        temperature: of the softmax over candidates.
        diversity: weight of the term against repetition.
        alignment: share by which admitted frames are moved to the moments of sink and bank.

    Raises:
        ConfigError: a number of frames below 1, or a weight out of range.
    """
    sink = block_frames if sink is None else sink
    memory = max(1, 6 * block_frames - sink - recent) if memory is None else memory
    check_frames("tether", memory=memory)
    return Policy(
        name="tether",
        partition=Partition(sink=sink, recent=recent),
        positions=Window(),
        mid=Grab(frames=memory, temperature=temperature, diversity=diversity, alignment=alignment),
    )

"""First frames and last frames at their own positions; the middle is forgotten.

Source: Self-Forcing (arXiv 2506.08009), rolling cache.

The released code shifts the window by cloning it in every layer; here the newest frame is written
where the oldest was. There `local_attn_size` counts the current block, here `recent` does not.
"""

from worldrt.memory.policy import Partition, Policy


def build(*, block_frames: int, sink: int | None = None, recent: int | None = None) -> Policy:
    """Sink and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept; default one block.
        recent: last frames kept, the current block not counted; default two blocks.
    """
    return Policy(
        name="window",
        partition=Partition(
            sink=block_frames if sink is None else sink,
            recent=2 * block_frames if recent is None else recent,
        ),
    )

"""A latent that is never shown evolves with the rollout and takes the sink's place.

Source: AdaState, self-evolving anchor.

The anchor is denoised together with each block, attends to the anchor before it, and its clean keys
replace it; it stands where a sink stands, so its distance to the block never changes. It needs
weights trained with it: others take it for one more copy of the block's first frame, whose
conditions it is told. See docs/benchmarks/policies.md for what it gives without.
"""

from worldrt.memory.policy import Partition, Policy, check_frames
from worldrt.memory.positions import Window


def build(*, block_frames: int, anchor: int = 1, recent: int | None = None) -> Policy:
    """An anchor of one frame and recent frames.

    Args:
        block_frames: latent frames of a block.
        anchor: latent frames of the state.
        recent: last frames kept, the current block not counted; default two blocks.

    Raises:
        ConfigError: no anchor.
    """
    check_frames("state", anchor=anchor)
    return Policy(
        name="state",
        partition=Partition(sink=anchor, recent=2 * block_frames if recent is None else recent),
        positions=Window(),
        state=anchor,
    )

"""One sink frame, one recent frame, and for heads that look back the patches that changed most.

Source: Forcing-KV (arXiv 2605.09681), static and dynamic heads.

At blocks of 3: static heads see sink 1, recent 1 and the block; dynamic heads also six of the
eighteen patches of the three frames that left last, chosen in the second layer for all. Heads of
the first layer are not told apart: the released code shows them no region, here they see it, since
it lies there. It is filled as soon as frames leave, there a block or two later. Chosen are the
patches least like the next frame's, earlier ones first among equals; keys stay where they were
written.

There a table of static heads is made offline for each model. Here each world's is made in the first
blocks, by the same formula: attention to the recent frame and the block, over attention to all but
the sink. The threshold belongs to a context of 21 frames, so the region's tokens count as often as
there would be frames behind the recent one.

Repaired: there the number of patches must divide a frame's tokens, blocks have 3 frames, the batch
has one sequence, the choice lies in a variable of the class, and keys are concatenated and cloned
in every pass; here rows are divided as evenly as they go and each sequence chooses for itself.

What it costs: the region is a sixth of the context, and a logit bias hides it from static heads, so
that their FLOPs are not saved, and attention with a bias takes a slower kernel than without. With
134 of 360 heads static, a kernel that takes groups of heads would save a sixth of 37 %, some 6 % of
attention.
"""

from worldrt.errors import ConfigError
from worldrt.memory.patches import WHOLE, Patches
from worldrt.memory.policy import Partition, Policy, Switches


def build(
    *,
    block_frames: int,
    patches: int = 6,
    share: float = 0.33,
    threshold: float = 0.8,
    warm: int = 4,
    window: int | None = None,
) -> Policy:
    """Sink 1, a region of a frame's worth of patches at blocks of 3, recent 1.

    Args:
        block_frames: latent frames of a block.
        patches: bands of rows that a frame is cut into.
        share: of the patches of a block's frames that are kept, 0 to 1.
        threshold: share of its attention that a static head gives to the recent frame and the
            block; above 1 no head is static.
        warm: blocks by which heads are told apart.
        window: frames of the context that the threshold was made for; default seven blocks.

    Raises:
        ConfigError: a number out of its range.
    """
    window = 7 * block_frames if window is None else window
    if window <= WHOLE + block_frames:
        raise ConfigError(
            f"Heads are told apart in a window of more than {WHOLE + block_frames} frames, those "
            f"that all of them see, got {window}."
        )
    return Policy(
        name="heads",
        partition=Partition(sink=1, recent=1),
        mid=Patches(patches=patches, share=share, threshold=threshold, warm=warm, window=window),
        switches=Switches(recache=1 + block_frames),
    )

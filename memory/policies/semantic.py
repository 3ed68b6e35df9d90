"""Past blocks whose prompt is most like the current one, thinned, and the last frames.

Source: BlockVid (arXiv 2511.22973), semantic sparse key/value cache; recalled keys are moved as in
Kamera (arXiv 2606.23581).

The method's code is not released. Left open there and settled here: a block's token weights are its
own attention to itself in its clean pass, the mean over heads and over 64 of its queries; a stored
block has a fixed number of places, `share` of its tokens, so a block whose mass is spread wider
loses the rest; a bank holds 16 blocks; recalled blocks stand directly before the recent frames, in
time order, each token at its own row and column and its frame's place in the block, rotated anew
from its raw key and not patched for its new context. Frames without a prompt are all equally alike,
so that the oldest blocks are recalled. A change of prompt needs no switch: the next block recalls
by it.
"""

from worldrt.memory.policy import Partition, Policy
from worldrt.memory.positions import Contiguous
from worldrt.memory.semantic import Semantic


def build(
    *,
    block_frames: int,
    sink: int = 0,
    recent: int | None = None,
    blocks: int = 16,
    top: int = 2,
    mass: float = 0.97,
    share: float = 0.5,
    sample: int = 64,
) -> Policy:
    """A bank of blocks, two of which are recalled, and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept.
        recent: last frames kept, the current block not counted; default two blocks.
        blocks: past blocks in the bank.
        top: how many of them a block attends to.
        mass: share of a block's attention that its stored tokens received, 0 to 1.
        share: of a block's tokens that are stored at most, above 0, up to 1.
        sample: how many queries are looked at for that mass, spread evenly; 0: all.

    Raises:
        ConfigError: a number out of its range.
    """
    recent = 2 * block_frames if recent is None else recent
    bank = Semantic(
        blocks=blocks,
        top=top,
        mass=mass,
        share=share,
        sample=sample,
        slots=sink + recent + block_frames,
    )
    return Policy(
        name="semantic",
        partition=Partition(sink=sink, recent=recent),
        positions=Contiguous(),
        mid=bank,
    )

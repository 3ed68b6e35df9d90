"""No stored keys: past latents are encoded anew before each block, the older the coarser.

Source: Helios and FramePack, multi-scale history patchification.

There, patch embeddings of several sizes are trained; here older latents are averaged over cells of
2 x 2 x 2 and 4 x 4 x 4 tokens and go through the same embedding, so weights that never saw such
input take it as blurred frames. Each group sees itself alone. It is made for weights trained with
it; see docs/benchmarks/policies.md for what it gives without.
"""

from worldrt.memory.coarse import Coarse, Group
from worldrt.memory.policy import Partition, Policy, Rebuild, check_frames
from worldrt.memory.positions import Window


def build(
    *, block_frames: int, last: int | None = None, middle: int | None = None, far: int | None = None
) -> Policy:
    """One block sharp, two at half resolution, four at a quarter.

    Args:
        block_frames: latent frames of a block.
        last: newest frames, encoded whole; default one block.
        middle: frames before them, one token for 2 x 2 x 2; default two blocks, made even.
        far: frames before those, one token for 4 x 4 x 4; default four blocks.

    Raises:
        ConfigError: a number of frames below 1.
    """
    last = block_frames if last is None else last
    middle = 2 * block_frames if middle is None else middle
    far = 4 * block_frames if far is None else far
    check_frames("history", last=last, middle=middle, far=far)
    groups = (
        Group(frames=-(-middle // 2) * 2, time=2, side=2),
        Group(frames=-(-far // 4) * 4, time=4, side=4),
    )
    return Policy(
        name="history",
        partition=Partition(sink=0, recent=last),
        positions=Window(),
        mid=Coarse(groups),
        rebuild=Rebuild(first=0, last=last),
    )

"""All history as shrunk frames that count by how near their view is, and the last frames.

Source: RELIC (arXiv 2512.04040), spatially compressed, camera-aware memory.

A frame that leaves the recent ones is averaged over cells of 1, 2 or 4 tokens a side in RELIC's
repeating pattern, which makes 18 frames as long as 3, and stays until 72 newer ones have come:
RELIC's 20 s are some 80 latent frames, and it drops none. Time keeps its order: frames stand at
their own index, cells at their centres, and a sink, which RELIC has none of, directly before the
oldest. Cells at an odd border are smaller; a mean counts as often as there are tokens in it, which
is exact where these are equal and which `counted=false` undoes.

RELIC adds an embedding of the absolute pose to queries and keys, which is trained. What stands in
its place here needs no training and is no such thing: a logit bias by distance of views, weight
(exp(-d) - 1) with d = metres apart / `metres` + degrees between directions of view / `degrees`, of
the block's nearest view, so that a view far away counts exp(-weight) as much as the same one. It is
computed on the host once a block, 0 where a pose is unknown, and `weight=0` turns it off.
"""

from worldrt.memory.policy import Partition, Policy
from worldrt.memory.positions import Contiguous
from worldrt.memory.shrink import Shrink


def build(
    *,
    block_frames: int,
    sink: int = 0,
    recent: int | None = None,
    frames: int = 72,
    counted: bool = True,
    weight: float = 1.0,
    metres: float = 2.0,
    degrees: float = 45.0,
) -> Policy:
    """72 shrunk frames, as long as 12 whole ones, and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept whole.
        recent: last frames kept whole, the current block not counted; default one block.
        frames: shrunk frames kept; the pattern repeats every 18.
        counted: whether a mean counts as often as there are tokens in it.
        weight: how much less a view from afar counts, in the logit; 0: all count alike.
        metres: distance that counts as 1.
        degrees: angle between directions of view that counts as 1.

    Raises:
        ConfigError: a number out of its range.
    """
    return Policy(
        name="camera",
        partition=Partition(sink=sink, recent=block_frames if recent is None else recent),
        positions=Contiguous(),
        mid=Shrink(frames=frames, counted=counted, weight=weight, metres=metres, degrees=degrees),
    )

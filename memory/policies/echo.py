"""A sink that swings through the scene's first frames, chosen tokens, recent frames, and recall.

Source: Echo-Forcing: rolling sink, compressed region, recall frame, difference-aware decay.

The released code turns chosen tokens as if they lay on a regular grid, so that a token stands where
its index in the selection falls; here each keeps its own row and column, and in time they stand in
order, a frame's worth a position. It scales keys of what is to fade, which flattens their logits;
here the logarithm of the weight is added to the logit. It holds seven copies of the cache; here the
scene's first frames lie once beside the window.

Where it leaves things open: tokens are chosen from those held and those that have just left
`recent`; the drift of queries is that of the last clean pass; a block differs from the recall frame
by its keys in its first pass; the recall frame comes first and goes when its place in the sink is
needed; it and the frames kept at a smooth switch are no part of what the sink swings through; how
far back a recalled scene lies is measured by the rollout's length; a scene without frames of its
own leaves no recall frame. A scene is found by the prompts of its first frames, and is one of those
left before: not the one that a recall leaves.
"""

from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.positions import Window
from worldrt.memory.scene import Scenes


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    chosen: int | None = None,
    recent: int | None = None,
    kept: int | None = None,
    uses: int = 8,
    scenes: int = 8,
    cut: float = 45.0,
) -> Policy:
    """Sink 12, chosen 3, recent 3 and the block: a window of 21 at blocks of 3.

    Args:
        block_frames: latent frames of a block.
        sink: frames of the sink, and first ones of the scene; default four blocks.
        chosen: frames' worth of tokens that are chosen; default one block.
        recent: last frames kept, the current block not counted; default one block.
        kept: last frames that survive a smooth switch; default a block with the recall frame.
        uses: times that a token may be chosen.
        scenes: scenes that may be recalled; the oldest makes room.
        cut: temporal position of a block that follows a hard cut.

    Raises:
        ConfigError: a number that is too small.
    """
    sink = 4 * block_frames if sink is None else sink
    chosen = block_frames if chosen is None else chosen
    recent = block_frames if recent is None else recent
    kept = max(1, block_frames - 1) if kept is None else kept
    return Policy(
        name="echo",
        partition=Partition(sink=0, recent=recent),
        positions=Window(cut=cut),
        mid=Scenes(
            sink=sink,
            chosen=chosen,
            calibration=sink + chosen + recent + block_frames,
            kept=kept,
            uses=uses,
            scenes=scenes,
        ),
        switches=Switches(flush=kept, cut=True, recall=True, clears=True),
    )

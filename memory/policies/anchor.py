"""Sink, an anchor and recent frames in three regions of positions; a new prompt re-encodes them.

Source: Anchor-Forcing, tri-region rotary positions and anchor cache.

The released code copies the prior anchor in each of a block's passes, so that it ends with the keys
of the last noisy one, compares tensors on the device in every layer, and clones the whole cache
every pass. Here an anchor is the first block after a switch as it leaves the window: the keys of
its clean pass, or of the recache that has encoded it again since, and nothing is copied in a pass.
There a block that begins 9 frames after a switch sees its anchor neither in the window nor beside
it; here the anchor is there as soon as it has left the window. A rollout that never switches takes
the first block from frame 20 on, then every sixth; after a switch only switches make anchors. Once
it has left the window an anchor is not recached, and a recache does not see it.
"""

from worldrt.errors import ConfigError
from worldrt.memory.anchors import Anchors
from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.positions import TriRegion


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    recent: int | None = None,
    end: int | None = None,
    first: int | None = None,
    every: int = 6,
) -> Policy:
    """Sink 3 at 0, the anchor's 3 at 6, recent 6 at 12 and the block at 18 to 20 at blocks of 3.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept; default one block.
        recent: last frames kept, the current block not counted; default two blocks.
        end: positions that are used, frames that the model was trained on; default seven blocks.
        first: frame from which on a rollout that never switched has an anchor; default the last of
            the first seven blocks.
        every: blocks after which such a rollout takes another one; 0: none.

    Raises:
        ConfigError: the regions do not fit into `end`.
    """
    sink = block_frames if sink is None else sink
    recent = 2 * block_frames if recent is None else recent
    end = 7 * block_frames if end is None else end
    window = sink + recent + block_frames
    anchor = end - window - block_frames
    if anchor < sink:
        raise ConfigError(
            f"Policy 'anchor' needs {window + block_frames + sink} positions for sink {sink}, "
            f"recent {recent} and blocks of {block_frames}, got end {end}."
        )
    return Policy(
        name="anchor",
        partition=Partition(sink=sink, recent=recent),
        positions=TriRegion(end=end, anchor=float(anchor)),
        mid=Anchors(first=7 * block_frames - 1 if first is None else first, every=every),
        switches=Switches(recache=window),
    )

"""Sink and recent frames at their own positions; a new prompt re-encodes them.

Source: LongLive (arXiv 2509.22622), frame sink, short window and key/value recache.

The released code clones the whole cache in every layer and pass, breaks where the sink is longer
than a block (unwritten slots are attended to, recache refuses to write the sink), and in early
releases recached with the old prompt. Here a recache is one pass over the window under the new
prompt; with `global_sink` old sink frames stay once the rollout is longer than the window, without
it the oldest recached frames become the sink. As there, recached frames all see each other.
"""

from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.positions import Absolute, Window


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    recent: int | None = None,
    global_sink: bool = True,
    relative: bool = False,
) -> Policy:
    """Sink 3, recent 6 and the block: a window of 12 at blocks of 3.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept; default one block.
        recent: last frames kept, the current block not counted; default two blocks.
        global_sink: whether the first frames of the rollout survive a recache.
        relative: positions that count from the window's start, as in the released variant for
            endless rollouts; else absolute ones.
    """
    sink = block_frames if sink is None else sink
    recent = 2 * block_frames if recent is None else recent
    return Policy(
        name="longlive",
        partition=Partition(sink=sink, recent=recent),
        positions=Window() if relative else Absolute(),
        switches=Switches(recache=sink + recent + block_frames, renew_sink=not global_sink),
    )

"""Sink frames that are replaced once nothing like them is seen any more, and recent frames.

Source: StreamDiffusionV2 (arXiv 2511.07399), adaptive sink.

Sizes at blocks of 1: sink 3, recent 2 and the block, 6 frames. A frame meets the sinks when it
leaves `recent`, with its clean keys; as each frame meets them in order, the decisions are those of
meeting on arrival, and until then the frame is attended to anyway. The released code compares noisy
keys, rotated, so that a frame is the less like a sink the later it comes, whatever it shows; queues
replacements before its window is full; never compares frames of longer blocks; and sets its frame
counter back every 50 frames without turning a key. Here likeness ignores time, every frame is
compared, and positions just count on: a sink that is never replaced grows ever more distant.
"""

from worldrt.memory.adaptive import AdaptiveSinks
from worldrt.memory.policy import Partition, Policy, Switches


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    recent: int | None = None,
    below: float = 0.2,
) -> Policy:
    """Adaptive sinks and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: sink frames; default three blocks.
        recent: last frames kept, the current block not counted; default two blocks.
        below: likeness under which the least similar sink is replaced.

    Raises:
        ConfigError: no sink, or a likeness out of -1 to 1.
    """
    recent = 2 * block_frames if recent is None else recent
    return Policy(
        name="adaptive-sink",
        partition=Partition(sink=0, recent=recent),
        mid=AdaptiveSinks(frames=3 * block_frames if sink is None else sink, below=below),
        switches=Switches(flush=recent),
    )

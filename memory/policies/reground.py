"""The sink is renewed before each block from what is known of the place that lies ahead.

Source: Seoul World Model, virtual look-ahead sink.

There, a street-view image found near the place where the camera will be is the sink of a chunk;
here it is what the spatial memory shows from the pose that the camera reaches if it goes on as in
this block, encoded by itself in a clean pass. It stands right behind the block, where the frames to
come will be.
"""

from worldrt.memory.policy import Partition, Policy, check_frames
from worldrt.memory.positions import Ahead


def build(*, block_frames: int, ahead: int = 1, recent: int | None = None) -> Policy:
    """One frame from ahead, and recent frames.

    Args:
        block_frames: latent frames of a block.
        ahead: frames of the sink.
        recent: last frames kept, the current block not counted; default two blocks.

    Raises:
        ConfigError: no frame ahead.
    """
    check_frames("reground", ahead=ahead)
    return Policy(
        name="reground",
        partition=Partition(sink=0, recent=2 * block_frames if recent is None else recent),
        positions=Ahead(),
        lookahead=ahead,
    )

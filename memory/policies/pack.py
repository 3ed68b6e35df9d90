"""Three partitions: sink, packed middle with dynamic top-k, recent; the sink follows the window.

Source: PackForcing (three-partition cache: 8-frame sink, packed middle blocks, 4 recent frames, top-k
by query-key affinity at the first step, incremental rotation of the sink). Its packer is learned; the
pooled packer stands in its place until one is trained for the world. Rotation is taken anew from raw
keys, not by repeated deltas, so that rounding does not add up.
"""

from worldrt.errors import ConfigError
from worldrt.memory.compress import PooledPacker
from worldrt.memory.policy import Partition, Policy, contiguous


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    recent: int | None = None,
    mid: int = 16,
    top: int = 4,
) -> Policy:
    """Sink, packed middle and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept, whole blocks; default one block.
        recent: last frames kept, whole blocks, the current one not counted; default one block.
        mid: packed blocks kept.
        top: packed blocks that a block attends to; 0: all.

    Raises:
        ConfigError: sink or recent is not a whole number of blocks.
    """
    counts = {"sink": sink, "recent": recent}
    frames = {name: block_frames if count is None else count for name, count in counts.items()}
    for name, count in frames.items():
        if count % block_frames:
            raise ConfigError(
                f"Policy 'pack' keeps whole blocks: {name}={count} is no multiple of "
                f"{block_frames} frames."
            )
    return Policy(
        name="pack",
        partition=Partition(sink=frames["sink"], recent=frames["recent"], mid=mid, top=top),
        positions=contiguous,
        packer=PooledPacker(),
    )

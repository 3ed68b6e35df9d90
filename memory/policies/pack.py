"""Three partitions: sink, packed middle with dynamic top-k, recent; the sink follows the window.

Source: PackForcing, three-partition cache.

There, at blocks of 4: 8 sink frames, 4 recent ones, and 16 packed blocks attended to, chosen by
query-key affinity at a block's first step. Defaults here are one block of sink and 4 of 16 packed
blocks, for weights trained on short contexts; `sink=8,mid=64,top=16` is the published reach. The
sink's rotation is taken anew from raw keys, not by repeated deltas, so that rounding does not add
up. Packed blocks are means of raw keys and of values, or what the world's learned packer makes of
their latents.
"""

from typing import Literal

from worldrt.errors import ConfigError
from worldrt.memory.compress import PooledPacker
from worldrt.memory.packed import Packed
from worldrt.memory.policy import Partition, Policy
from worldrt.memory.positions import Contiguous


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    recent: int | None = None,
    mid: int = 16,
    top: int = 4,
    packer: Literal["pooled", "learned"] = "pooled",
) -> Policy:
    """Sink, packed middle and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept, whole blocks; default one block.
        recent: last frames kept, whole blocks, the current one not counted; default one block.
        mid: packed blocks kept.
        top: packed blocks that a block attends to; 0: all.
        packer: means over cells of 2 x 2 x 2 tokens, or the world's learned packer.

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
        partition=Partition(sink=frames["sink"], recent=frames["recent"]),
        positions=Contiguous(),
        mid=Packed(blocks=mid, top=top, packer=PooledPacker() if packer == "pooled" else None),
    )

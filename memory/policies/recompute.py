"""No key outlives its block: the context is encoded anew from the latents before each one.

Source: Krea realtime-video (context of the last 3 latents), ShotStream, INSPATIO-world.

Krea encodes them block by block at positions 0 to 2 with the block behind; INSPATIO puts reference
frames first and encodes all in one pass that sees itself (`first=3,at_once=true` at blocks of 3).
So a new prompt reaches every key by itself, and no drift of keys can build up. The released code
takes the cache from the allocator in every block and breaks below 3 frames; here neither. Not here
are Krea's first frame that is decoded and encoded once more, a matter of Wan's autoencoder, and
ShotStream's extra phase a shot.
"""

from worldrt.memory.policy import Partition, Policy, Rebuild, check_frames
from worldrt.memory.positions import Window


def build(
    *, block_frames: int, first: int = 0, last: int | None = None, at_once: bool = False
) -> Policy:
    """The last block, encoded anew.

    Args:
        block_frames: latent frames of a block.
        first: frames of the rollout's beginning in the context.
        last: frames of its end; default one block.
        at_once: one pass in which all frames see each other; else block by block.

    Raises:
        ConfigError: no last frame.
    """
    last = block_frames if last is None else last
    check_frames("recompute", last=last)
    return Policy(
        name="recompute",
        partition=Partition(sink=0, recent=first + last),
        positions=Window(),
        rebuild=Rebuild(first=first, last=last, at_once=at_once),
    )

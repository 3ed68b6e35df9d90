"""Tokens of older frames merged along time into groups that weigh what they hold; recent frames.

Source: TempCache (arXiv 2602.01801); no code is available.

A token whose nearest neighbour in the frame before is like it joins that one's group; the group
keeps its newest key where that stands, the mean of its values, and its logit is raised by the
logarithm of its size, which is exact for equal keys. Left open there and decided here: frames are
merged when they leave `recent`; likeness is the cosine of raw keys over all heads; several tokens
of a frame may join one group, whose key is then the one most like the key before; what is full lets
go of the group that was longest not continued; positions are the frames' own. Selecting words and
keys by buckets is off unless asked for: as biases they show what it loses and save no time.
"""

from worldrt.memory.merge import Merged
from worldrt.memory.policy import Partition, Policy, Sparse, Switches


def build(
    *,
    block_frames: int,
    sink: int = 0,
    recent: int | None = None,
    memory: int | None = None,
    same: float = 0.9,
    bits: int = 0,
    prompt_bits: int = 0,
    self_bits: int = 0,
    tables: int = 4,
) -> Policy:
    """Merged groups and recent frames.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept as they are.
        recent: last frames kept, the current block not counted; default two blocks.
        memory: frames' worth of groups; default four blocks.
        same: likeness from which tokens are merged.
        bits: random planes by which neighbours are found; 0: exactly.
        prompt_bits: random planes a table by which words near no query are hidden (AnnCA); 0: off.
        self_bits: the same for the keys of each query, after 30 % of the steps (AnnSA); 0: off.
        tables: of planes, for both.

    Raises:
        ConfigError: no memory, or a likeness that is not above 0 and up to 1.
    """
    recent = 2 * block_frames if recent is None else recent
    memory = 4 * block_frames if memory is None else memory
    return Policy(
        name="temp",
        partition=Partition(sink=sink, recent=recent),
        mid=Merged(frames=memory, same=same, bits=bits),
        switches=Switches(flush=recent),
        sparse=Sparse(prompt_bits=prompt_bits, self_bits=self_bits, tables=tables),
    )

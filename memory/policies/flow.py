"""Past blocks share a fixed budget of tokens that each head fills with its own.

Source: FlowCache (arXiv 2602.10825), importance and redundancy of tokens.

Five blocks are held, the current one counted: as one enters a full cache, the five clean ones are
compressed to four. There is no sink and no recent partition: the newest clean block competes like
the others. Keys stay at the positions they were written at. Importance comes from the clean pass of
the block that entered last, the last queries before the next block.

Repaired: the released code ranks on the CPU and empties the allocator's cache in its loop, keeps
tokens in order of score, so that a later pooling runs over strangers, takes chunk ranges from the
first head alone, and fails where no queries were noted. There all queries of a block judge, which
costs half of an attention's products and all of its logits; here 64 of them do by default, spread
evenly, and `sample=0` asks all. The companion that skips denoising steps is no cache policy.
"""

from worldrt.memory.budget import Budget
from worldrt.memory.flow import Asking, Flow, UnevenFlow
from worldrt.memory.policy import Partition, Policy


def build(
    *,
    block_frames: int,
    blocks: int = 5,
    importance: float = 0.07,
    queries: Asking = "block",
    last: int = 50,
    sample: int = 64,
    slope: float = 0.0,
    spread: float = 0.0,
) -> Policy:
    """Four blocks' worth of past tokens and the block.

    Args:
        block_frames: latent frames of a block.
        blocks: blocks' worth of tokens held, the current one counted; 2 or more.
        importance: weight of being asked for, 0 to 1; not repeating others has the rest.
        queries: who judges: the whole block, its last frame, or its last tokens.
        last: how many tokens judge where the last ones do.
        sample: how many of these queries judge, spread evenly; 0: all.
        slope: the first layer keeps 1 - slope of the mean, the last 1 + slope.
        spread: how far a head may exceed its layer's mean at the cost of others; 0: all the same.

    Raises:
        ConfigError: a number out of its range.
    """
    del block_frames  # a budget counted in blocks is the same for all of them
    budget = Budget(slope=slope, spread=spread)
    part = Flow if budget.even else UnevenFlow
    return Policy(
        name="flow",
        partition=Partition(sink=0, recent=0),
        mid=part(
            blocks=blocks,
            importance=importance,
            queries=queries,
            last=last,
            sample=sample,
            budget=budget,
        ),
    )

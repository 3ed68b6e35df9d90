"""A deep sink, the most asked-for tokens of the middle, and recent frames, side by side.

Source: Deep Forcing, deep sink and participative compression (no code is available).

Sizes at blocks of 3: a window of 21 frames is compressed to 16 as soon as the next block would
exceed it: sink 10, tokens of 2 frames, recent 4. The paper leaves that rhythm open. Scores sum the
clean queries of the recent frames and the block's first noisy ones, the better of its variants. Its
deltas bring sink and chosen tokens next to the recent frames; here every key is turned anew from
its raw form to the same place, which equals the delta without its rounding, and the chosen tokens'
compensation, which is said never to run in released code, is the same operation. A chosen token
keeps its row and column and takes the frame of its rank.
"""

from worldrt.errors import ConfigError
from worldrt.memory.participation import Participation
from worldrt.memory.policy import Partition, Policy, check_frames
from worldrt.memory.positions import Window


def build(
    *,
    block_frames: int,
    sink: int | None = None,
    tokens: int | None = None,
    recent: int | None = None,
    window: int | None = None,
) -> Policy:
    """A window of seven blocks that is compressed when it is full.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept; default 10 at blocks of 3, in proportion else.
        tokens: how many frames' worth of tokens are kept between; default 2 at blocks of 3.
        recent: last frames kept at a compression, the current block not counted; default 4 at 3.
        window: frames, the current block counted, that are never exceeded; default seven blocks.

    Raises:
        ConfigError: a number of frames below 1, or a window that the parts do not fit into.
    """
    sink = max(1, round(block_frames * 10 / 3)) if sink is None else sink
    tokens = max(1, round(block_frames * 2 / 3)) if tokens is None else tokens
    recent = max(1, round(block_frames * 4 / 3)) if recent is None else recent
    window = 7 * block_frames if window is None else window
    check_frames("deep", tokens=tokens, recent=recent)
    parts = sink + tokens + recent + block_frames
    if window < parts:
        raise ConfigError(
            f"Policy 'deep' needs a window of at least {parts} frames for its parts and a block, "
            f"got {window}."
        )
    return Policy(
        name="deep",
        partition=Partition(sink=sink, recent=recent, limit=window),
        positions=Window(),
        mid=Participation(frames=tokens, recent=recent),
    )

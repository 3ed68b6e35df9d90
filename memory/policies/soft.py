"""A long history: the telling frames in packed integers, each other frame as one mean token.

Source: kv-quant-longhorizon, soft-prune INT4.

There the whole cache is quantised and dequantised each time, the codes fill a byte each, and a mean
is spread over all places of its frame, at full cost. Here a frame is coded when it is finished and
once more when it leaves `recent`; codes are packed and decoded a frame at a time as they are read;
and a mean is one key with log F added to its logit, F tokens of a frame: the copies weigh exactly
that. There frame 0 may be averaged; here there is a sink. As there: positions are the frames' own,
the score of a frame is 0.7 of its change and 0.3 of its youth, layers have 0.70 to 1.30 of the
budget, a mean key is the mean of rotated keys, and the recent frames are coded too.

Left open there and decided here: the newest tier is `recent`, the same in all layers; tiers are
shares of a full history, so that a short one is not averaged before it must; a frame once averaged
stays averaged; sketches are of raw keys, which do not change with where a frame stands. Of what the
first tenth leaves, `retained=0.3` is the released command's default; its published runs had 0.45.
"""

from worldrt.errors import ConfigError
from worldrt.memory.policy import Partition, Policy, Switches
from worldrt.memory.quantize import find_codec
from worldrt.memory.tiers import Tiers


def build(
    *,
    block_frames: int,
    sink: int = 1,
    recent: int | None = None,
    history: int | None = None,
    bits: int = 4,
    retained: float = 0.30,
) -> Policy:
    """Sink, two tiers of older frames, and recent ones: 42 frames at blocks of 3.

    Args:
        block_frames: latent frames of a block.
        sink: first frames kept whole.
        recent: last frames kept whole, the current block not counted; default one block.
        history: past frames that are seen in all, sink and recent counted; default 14 blocks.
        bits: of a code, 8, 4 or 2.
        retained: share of older frames that stay whole besides the first tenth.

    Raises:
        ConfigError: a history that has no room for sink, recent and a block; no such codec.
    """
    recent = block_frames if recent is None else recent
    history = 14 * block_frames if history is None else history
    codec, least = find_codec(f"int{bits}"), sink + recent + block_frames
    if history < least:
        raise ConfigError(
            f"Policy 'soft' needs a history of at least {least} frames for sink {sink}, recent "
            f"{recent} and a block, got {history}."
        )
    return Policy(
        name="soft",
        partition=Partition(sink=sink, recent=recent),
        mid=Tiers(frames=history - sink - recent, codec=codec, retained=retained),
        switches=Switches(flush=recent),
        codec=codec,
    )

"""The policy of soft-pruned history."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.policies.soft import build
from worldrt.memory.policy import Partition, SwitchMode, find
from worldrt.memory.positions import Absolute
from worldrt.memory.quantize import CODECS
from worldrt.memory.tiers import Tiers


def test_published_sizes_at_blocks_of_three() -> None:
    """42 frames of history in INT4, frame 0 kept as a sink."""
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=1, recent=3)
    assert policy.mid == Tiers(frames=38, codec=CODECS["int4"], retained=0.3)
    assert policy.codec == CODECS["int4"] and policy.positions == Absolute()
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.FLUSH]


@pytest.mark.parametrize("frames", [1, 2, 4, 8])
def test_defaults_are_fourteen_blocks(frames: int) -> None:
    policy = build(block_frames=frames)
    assert policy.partition == Partition(sink=1, recent=frames)
    assert policy.mid == Tiers(frames=13 * frames - 1, codec=CODECS["int4"])


def test_options() -> None:
    policy = find("soft:sink=2,recent=4,history=20,bits=2,retained=0.45", 3)
    assert policy.partition == Partition(sink=2, recent=4)
    assert policy.mid == Tiers(frames=14, codec=CODECS["int2"], retained=0.45)
    assert policy.codec == CODECS["int2"]


def test_recent_frames_may_be_in_another_codec() -> None:
    policy = find("soft:codec=bf16", 3)
    assert policy.codec == CODECS["bf16"]
    assert policy.mid == Tiers(frames=38, codec=CODECS["int4"])


def test_a_history_that_is_too_short() -> None:
    with pytest.raises(ConfigError) as caught:
        build(block_frames=3, sink=2, recent=4, history=8)
    assert str(caught.value) == (
        "Policy 'soft' needs a history of at least 9 frames for sink 2, recent 4 and a block, "
        "got 8."
    )
    assert build(block_frames=3, sink=2, recent=4, history=9).mid == Tiers(
        frames=3, codec=CODECS["int4"]
    )


@pytest.mark.parametrize("bits", [1, 3, 16])
def test_bits_that_no_codec_has(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"Unknown codec 'int{bits}'"):
        build(block_frames=3, bits=bits)

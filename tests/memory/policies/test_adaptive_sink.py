"""The policy of sinks that give way."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.adaptive import AdaptiveSinks
from worldrt.memory.policies.adaptive_sink import build
from worldrt.memory.policy import Partition, SwitchMode
from worldrt.memory.positions import Absolute


@pytest.mark.parametrize("block, sink, recent", [(1, 3, 2), (3, 9, 6), (4, 12, 8)])
def test_published_sizes_at_blocks_of_one(block: int, sink: int, recent: int) -> None:
    policy = build(block_frames=block)
    assert policy.partition == Partition(sink=0, recent=recent)
    assert policy.mid == AdaptiveSinks(frames=sink, below=0.2)
    assert policy.positions == Absolute()
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.FLUSH]


def test_options() -> None:
    policy = build(block_frames=3, sink=1, recent=0, below=-0.5)
    assert policy.partition == Partition(sink=0, recent=0)
    assert policy.mid == AdaptiveSinks(frames=1, below=-0.5)


@pytest.mark.parametrize("sink, below", [(0, 0.2), (3, 2.0)])
def test_sinks_that_make_no_sense(sink: int, below: float) -> None:
    with pytest.raises(ConfigError, match=f"at least 1 frame .* got {sink} and {below}"):
        build(block_frames=3, sink=sink, below=below)

"""The policy that merges tokens along time."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.merge import Merged
from worldrt.memory.policies.temp import build
from worldrt.memory.policy import Partition, SwitchMode
from worldrt.memory.positions import Absolute


@pytest.mark.parametrize("block", [1, 3, 4])
def test_defaults_are_seven_blocks(block: int) -> None:
    policy = build(block_frames=block)
    assert policy.partition == Partition(sink=0, recent=2 * block)
    assert policy.mid == Merged(frames=4 * block, same=0.9)
    assert policy.positions == Absolute()
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.FLUSH]


def test_options() -> None:
    policy = build(block_frames=3, sink=1, recent=0, memory=5, same=0.5, bits=64)
    assert policy.partition == Partition(sink=1, recent=0)
    assert policy.mid == Merged(frames=5, same=0.5, bits=64)


@pytest.mark.parametrize("memory, same", [(0, 0.9), (3, 0.0)])
def test_merging_that_makes_no_sense(memory: int, same: float) -> None:
    with pytest.raises(ConfigError, match=f"at least 1 frame.* got {memory}, 0 and {same}"):
        build(block_frames=3, memory=memory, same=same)

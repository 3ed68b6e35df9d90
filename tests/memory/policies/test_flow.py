"""The shared budget of tokens."""

import pytest

from worldrt.memory.flow import Flow
from worldrt.memory.policies.flow import build
from worldrt.memory.policy import Partition, SwitchMode, find
from worldrt.memory.positions import Absolute


@pytest.mark.parametrize("block_frames", [1, 3, 8])
def test_published_numbers(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=0, recent=0)
    assert policy.positions == Absolute() and policy.switches.modes == [SwitchMode.KEEP]
    assert policy.mid == Flow(blocks=5, importance=0.07, queries="block", last=50, sample=64)
    assert not policy.moves  # no raw keys are kept


def test_options() -> None:
    policy = find("flow:blocks=2,importance=0.5,queries=tokens,last=9,sample=1", 3)
    assert policy.mid == Flow(blocks=2, importance=0.5, queries="tokens", last=9, sample=1)

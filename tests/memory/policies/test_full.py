"""The policy that keeps everything."""

from worldrt.memory.policies.full import build
from worldrt.memory.policy import Partition, Switches
from worldrt.memory.positions import Absolute


def test_parts() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=0, recent=None)
    assert policy.positions == Absolute() and policy.mid is None
    assert policy.switches == Switches() and not policy.moves

"""The policy that keeps everything."""

from worldrt.memory.policies.full import build
from worldrt.memory.policy import Partition, absolute


def test_parts() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=0, recent=None)
    assert policy.positions is absolute and policy.packer is None

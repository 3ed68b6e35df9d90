"""The rolling window."""

import pytest

from worldrt.memory.policies.window import build
from worldrt.memory.policy import Partition
from worldrt.memory.positions import Absolute


@pytest.mark.parametrize("block_frames", [1, 3, 4])
def test_defaults_are_whole_blocks(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=block_frames, recent=2 * block_frames)
    assert policy.positions == Absolute() and policy.mid is None and not policy.moves


def test_options() -> None:
    assert build(block_frames=3, sink=0, recent=7).partition == Partition(sink=0, recent=7)

"""Window positions, flush and cut; whole rollouts are in test_rollout.py."""

import pytest

from worldrt.memory.policies.infinity import build
from worldrt.memory.policy import Partition, SwitchMode
from worldrt.memory.positions import Window


def test_published_numbers_at_blocks_of_three() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=1, recent=2)
    assert policy.positions == Window(cut=45.0)
    assert policy.switches.flush == 2
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.FLUSH, SwitchMode.CUT]


@pytest.mark.parametrize("block_frames, recent", [(1, 1), (4, 3), (8, 7)])
def test_the_window_is_two_blocks(block_frames: int, recent: int) -> None:
    assert build(block_frames=block_frames).partition == Partition(sink=1, recent=recent)


def test_options() -> None:
    policy = build(block_frames=3, sink=2, recent=7, cut=30)
    assert policy.partition == Partition(sink=2, recent=7) and policy.switches.flush == 7
    assert policy.positions == Window(cut=30)

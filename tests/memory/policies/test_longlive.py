"""Sink and recent frames, re-encoded at a switch; whole rollouts are in test_rollout.py."""

import pytest

from worldrt.memory.policies.longlive import build
from worldrt.memory.policy import Partition, SwitchMode
from worldrt.memory.positions import Absolute, Window


def test_published_numbers_at_blocks_of_three() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=3, recent=6)
    assert policy.switches.recache == 12 and not policy.switches.renew_sink
    assert policy.positions == Absolute() and not policy.moves


@pytest.mark.parametrize("block_frames", [1, 4, 8])
def test_the_window_is_four_blocks(block_frames: int) -> None:
    assert build(block_frames=block_frames).switches.recache == 4 * block_frames


def test_options() -> None:
    policy = build(block_frames=3, sink=1, recent=5, global_sink=False, relative=True)
    assert policy.switches.recache == 9 and policy.switches.renew_sink
    assert policy.positions == Window()
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.RECACHE]

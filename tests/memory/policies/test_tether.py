"""Sink, bank and recent frames; what is chosen is tested in test_grab.py and test_rollout.py."""

import pytest

from worldrt.memory.grab import Grab
from worldrt.memory.policies.tether import build
from worldrt.memory.policy import Partition
from worldrt.memory.positions import Window


def test_published_numbers_at_blocks_of_three() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=3, recent=1)
    assert policy.mid == Grab(frames=14, temperature=1.0, diversity=0.35, alignment=0.35)
    assert policy.positions == Window() and policy.moves


@pytest.mark.parametrize("block_frames", [1, 4, 8])
def test_the_window_is_seven_blocks(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert isinstance(policy.mid, Grab)
    held = policy.partition.sink + policy.mid.frames + 1 + block_frames
    assert held == 7 * block_frames


def test_options() -> None:
    policy = build(block_frames=3, sink=0, memory=5, recent=2, temperature=0.5)
    assert policy.partition == Partition(sink=0, recent=2)
    assert policy.mid == Grab(frames=5, temperature=0.5)

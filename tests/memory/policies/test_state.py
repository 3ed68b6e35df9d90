"""The anchor that evolves; what it computes is tested in tests/worldrt/test_rollout.py."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.policies.state import build
from worldrt.memory.policy import Partition
from worldrt.memory.positions import Window


def test_one_frame_of_state_takes_the_sinks_place() -> None:
    policy = build(block_frames=3)
    assert policy.state == 1 and policy.partition == Partition(sink=1, recent=6)
    assert policy.positions == Window() and policy.rewrites


def test_slots_hold_the_state_before_and_the_one_that_replaces_it() -> None:
    assert build(block_frames=3, anchor=2, recent=4).slots(3) == 2 * 2 + 4 + 3


def test_no_anchor_is_refused() -> None:
    with pytest.raises(ConfigError, match="'state' needs anchor of at least 1 frame, got 0"):
        build(block_frames=3, anchor=0)

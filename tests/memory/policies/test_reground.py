"""The sink from ahead; what it computes is tested in tests/worldrt/test_rollout.py."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.policies.reground import build
from worldrt.memory.policy import Partition
from worldrt.memory.positions import Ahead


def test_one_frame_from_ahead_and_recent_frames() -> None:
    policy = build(block_frames=3)
    assert policy.lookahead == 1 and policy.partition == Partition(sink=0, recent=6)
    assert policy.positions == Ahead() and policy.slots(3) == 1 + 6 + 3


def test_nothing_ahead_is_refused() -> None:
    with pytest.raises(ConfigError, match="'reground' needs ahead of at least 1 frame, got 0"):
        build(block_frames=3, ahead=0)

"""The context that is encoded anew; what it computes is tested in tests/worldrt/test_rollout.py."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.policies.recompute import build
from worldrt.memory.policy import Partition, Rebuild


@pytest.mark.parametrize("block_frames", [1, 3, 4])
def test_the_last_block_by_default(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.rebuild == Rebuild(first=0, last=block_frames)
    assert policy.partition == Partition(sink=0, recent=block_frames)
    assert policy.rewrites and policy.most_written(block_frames) == block_frames


def test_all_at_once_is_a_pass_of_all_frames() -> None:
    policy = build(block_frames=3, first=3, last=6, at_once=True)
    assert policy.partition.recent == 9 and policy.most_written(3) == 9


def test_no_context_is_refused() -> None:
    with pytest.raises(ConfigError, match="'recompute' needs last of at least 1 frame, got 0"):
        build(block_frames=3, last=0)

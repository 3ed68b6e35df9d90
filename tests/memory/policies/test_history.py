"""Latents in place of keys; what it computes is tested in tests/worldrt/test_rollout.py."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.coarse import Coarse, Group
from worldrt.memory.policies.history import build
from worldrt.memory.policy import Rebuild


def test_groups_get_coarser_and_hold_whole_cells() -> None:
    policy = build(block_frames=3)
    groups = (Group(frames=6, time=2, side=2), Group(frames=12, time=4, side=4))
    assert policy.mid == Coarse(groups) and policy.rebuild == Rebuild(first=0, last=3)
    odd = build(block_frames=1, middle=3, far=5).mid
    assert isinstance(odd, Coarse) and [group.frames for group in odd.groups] == [4, 8]


@pytest.mark.parametrize("option", ["last", "middle", "far"])
def test_an_empty_group_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"'history' needs {option} of at least 1 frame, got 0"):
        build(block_frames=3, **{option: 0})

"""Shrunk history that counts by view."""

import pytest

from worldrt.memory.policies.camera import build
from worldrt.memory.policy import Partition, SwitchMode, find
from worldrt.memory.positions import Contiguous
from worldrt.memory.shrink import PATTERN, Shrink


@pytest.mark.parametrize("block_frames", [1, 3, 8])
def test_defaults(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=0, recent=block_frames)
    assert policy.positions == Contiguous() and policy.switches.modes == [SwitchMode.KEEP]
    assert policy.mid == Shrink(
        frames=4 * len(PATTERN), counted=True, weight=1.0, metres=2.0, degrees=45.0
    )


def test_options() -> None:
    spec = "camera:sink=1,recent=0,frames=7,counted=false,weight=0,metres=0.5,degrees=9"
    policy = find(spec, 3)
    assert policy.partition == Partition(sink=1, recent=0)
    assert policy.mid == Shrink(frames=7, counted=False, weight=0.0, metres=0.5, degrees=9.0)

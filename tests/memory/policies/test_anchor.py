"""The policy with anchors in three regions."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.anchors import Anchors
from worldrt.memory.policies.anchor import build
from worldrt.memory.policy import Partition, SwitchMode
from worldrt.memory.positions import TriRegion


def test_published_numbers() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=3, recent=6)
    assert policy.positions == TriRegion(end=21, anchor=6.0)
    assert policy.mid == Anchors(first=20, every=6)
    assert policy.switches.recache == 12
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.RECACHE]


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 8])
def test_defaults_are_whole_blocks(frames: int) -> None:
    policy = build(block_frames=frames)
    assert policy.partition == Partition(sink=frames, recent=2 * frames)
    assert policy.positions == TriRegion(end=7 * frames, anchor=2.0 * frames)
    assert policy.mid == Anchors(first=7 * frames - 1, every=6)
    assert policy.switches.recache == 4 * frames


def test_options() -> None:
    policy = build(block_frames=3, sink=2, recent=4, end=30, first=9, every=0)
    assert policy.partition == Partition(sink=2, recent=4)
    assert policy.positions == TriRegion(end=30, anchor=18.0)
    assert policy.mid == Anchors(first=9, every=0)
    assert policy.switches.recache == 9


def test_regions_that_do_not_fit() -> None:
    with pytest.raises(ConfigError) as caught:
        build(block_frames=3, end=17)
    assert str(caught.value) == (
        "Policy 'anchor' needs 18 positions for sink 3, recent 6 and blocks of 3, got end 17."
    )
    assert build(block_frames=3, end=18).positions == TriRegion(end=18, anchor=3.0)

"""Static and dynamic heads."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.patches import Patches
from worldrt.memory.policies.heads import build
from worldrt.memory.policy import Partition, SwitchMode, find


@pytest.mark.parametrize("block_frames", [1, 3, 4])
def test_published_numbers(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=1, recent=1)
    window = 7 * block_frames
    assert policy.mid == Patches(patches=6, share=0.33, threshold=0.8, warm=4, window=window)
    assert policy.switches.modes == [SwitchMode.KEEP, SwitchMode.RECACHE]
    assert policy.switches.recache == 1 + block_frames and not policy.switches.renew_sink
    assert not policy.moves


def test_options() -> None:
    policy = find("heads:patches=4,share=0.5,threshold=2,warm=1,window=9", 3)
    assert policy.mid == Patches(patches=4, share=0.5, threshold=2.0, warm=1, window=9)


def test_a_window_that_holds_nothing_behind_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        build(block_frames=3, window=5)
    assert str(caught.value) == (
        "Heads are told apart in a window of more than 5 frames, those that all of them see, got 5."
    )

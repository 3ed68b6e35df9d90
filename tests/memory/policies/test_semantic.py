"""The bank that is recalled by prompt."""

import pytest

from worldrt.memory.policies.semantic import build
from worldrt.memory.policy import Partition, SwitchMode, find
from worldrt.memory.positions import Contiguous
from worldrt.memory.semantic import Semantic


@pytest.mark.parametrize("block_frames", [1, 3, 8])
def test_defaults(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=0, recent=2 * block_frames)
    assert policy.positions == Contiguous() and policy.switches.modes == [SwitchMode.KEEP]
    assert policy.mid == Semantic(
        blocks=16, top=2, mass=0.97, share=0.5, sample=64, slots=3 * block_frames
    )


def test_options() -> None:
    policy = find("semantic:sink=3,recent=0,blocks=4,top=1,mass=1,share=0.2,sample=2", 3)
    assert policy.partition == Partition(sink=3, recent=0)
    assert policy.mid == Semantic(blocks=4, top=1, mass=1.0, share=0.2, sample=2, slots=6)
    assert policy.slots(3) == 6

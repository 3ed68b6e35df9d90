"""The three-partition policy."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.compress import PooledPacker
from worldrt.memory.packed import Packed
from worldrt.memory.policies.pack import build
from worldrt.memory.policy import Partition, find
from worldrt.memory.positions import Contiguous


@pytest.mark.parametrize("block_frames", [1, 3, 4])
def test_defaults_are_whole_blocks(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=block_frames, recent=block_frames)
    assert policy.positions == Contiguous() and policy.moves
    assert policy.mid == Packed(blocks=16, top=4, packer=PooledPacker())


def test_options() -> None:
    policy = build(block_frames=3, sink=6, recent=0, mid=5, top=0)
    assert policy.partition == Partition(sink=6, recent=0)
    assert policy.mid == Packed(blocks=5, top=0, packer=PooledPacker())


def test_a_learned_packer_is_left_to_the_world() -> None:
    assert build(block_frames=4, packer="learned").mid == Packed(blocks=16, top=4, packer=None)


@pytest.mark.parametrize("option", ["sink=4", "recent=1"])
def test_half_blocks_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is no multiple of 3 frames"):
        find(f"pack:{option}", 3)

"""The three-partition policy."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.compress import PooledPacker
from worldrt.memory.policies.pack import build
from worldrt.memory.policy import Partition, contiguous


@pytest.mark.parametrize("block_frames", [1, 3, 4])
def test_defaults_are_whole_blocks(block_frames: int) -> None:
    policy = build(block_frames=block_frames)
    assert policy.partition == Partition(sink=block_frames, recent=block_frames, mid=16, top=4)
    assert policy.positions is contiguous and policy.packer == PooledPacker()


def test_options() -> None:
    policy = build(block_frames=3, sink=6, recent=0, mid=5, top=0)
    assert policy.partition == Partition(sink=6, recent=0, mid=5, top=0)


@pytest.mark.parametrize("options", [{"sink": 4}, {"recent": 1}])
def test_half_blocks_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="no multiple of 3 frames"):
        build(block_frames=3, **options)

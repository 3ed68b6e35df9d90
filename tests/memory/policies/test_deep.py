"""Deep sink and compression; what is chosen is tested in test_participation.py."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.participation import Participation
from worldrt.memory.policies.deep import build
from worldrt.memory.policy import Partition, find
from worldrt.memory.positions import Window


def test_published_numbers_at_blocks_of_three() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=10, recent=4, limit=21)
    assert policy.mid == Participation(frames=2, recent=4)
    assert policy.positions == Window()


@pytest.mark.parametrize("block_frames", range(1, 9))
def test_the_window_holds_the_parts_at_every_block(block_frames: int) -> None:
    part = build(block_frames=block_frames).partition
    assert part.limit == 7 * block_frames >= part.sink + (part.recent or 0) + 1 + block_frames


@pytest.mark.parametrize(
    "option, says",
    [
        ("tokens=0", "'deep' needs tokens of at least 1 frame, got 0"),
        ("recent=0", "'deep' needs recent of at least 1 frame, got 0"),
        ("window=18", "needs a window of at least 19 frames for its parts and a block, got 18"),
    ],
)
def test_options_that_make_no_sense(option: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find(f"deep:{option}", 3)

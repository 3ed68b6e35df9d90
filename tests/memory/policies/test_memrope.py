"""The policy of running means."""

import pytest

from tests.list_cache import DOT, play
from worldrt.errors import ConfigError
from worldrt.memory.average import Averages, LoneAverages
from worldrt.memory.cache import KVCache
from worldrt.memory.policies.memrope import build
from worldrt.memory.policy import Partition, SwitchMode
from worldrt.memory.positions import Window
from worldrt.memory.slots import Region


def test_published_sizes_at_blocks_of_three() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=3, recent=4, limit=12)
    assert policy.mid == LoneAverages(long=0.01, short=0.1)
    assert policy.positions == Window()


def test_published_positions() -> None:
    """Sink 0..2, memory at 3 and 4, recent 5..8, block 9..11; before, frames at their own."""
    cache = KVCache(build(block_frames=3, memory="copies"), DOT)
    for _ in range(4):
        cache.open_block(3)
        assert cache.occupancy()[Region.MID].frames == 0
        cache.begin_pass(first=True, clean=True)
        cache.commit()
    assert [*cache.positions()[Region.SINK], *cache.positions()[Region.RECENT]] == list(range(12))
    for frames in (15, 18):
        cache.open_block(3)
        assert cache.positions() == {
            Region.SINK: [0, 1, 2],
            Region.SPATIAL: [],
            Region.RECENT: [5, 6, 7, 8],
            Region.BLOCK: [9, 10, 11],
        }
        cache.begin_pass(first=True, clean=True)
        cache.commit()
        assert cache.frames == frames and cache.evicted == frames - 3 - 4 - 3


@pytest.mark.parametrize("block, recent", [(1, 1), (2, 2), (4, 6), (8, 14)])
def test_four_blocks(block: int, recent: int) -> None:
    assert build(block_frames=block).partition.recent == recent
    assert build(block_frames=block).partition.limit == max(5, 4 * block)


def test_options() -> None:
    policy = build(block_frames=4, sink=0, recent=5, long=0.5, short=1, memory="grid")
    assert policy.partition == Partition(sink=0, recent=5, limit=11)
    assert policy.mid == Averages(long=0.5, short=1, grid=True)


def test_switches() -> None:
    assert build(block_frames=3).switches.modes == [
        SwitchMode.KEEP,
        SwitchMode.FLUSH,
        SwitchMode.CUT,
    ]
    cache = KVCache(build(block_frames=3), DOT)
    play(cache, [3] * 9, DOT)
    cache.switch(SwitchMode.CUT)
    cache.open_block(3)
    assert cache.positions()[Region.RECENT] == [3, 4, 5, 6]
    assert cache.positions()[Region.BLOCK] == [45, 46, 47]


def test_a_share_that_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match="a share above 0 and up to 1, got long 0 and short 0.1"):
        build(block_frames=3, long=0)

"""GRAB on hand-computable cases; whole rollouts stand beside a reference in test_rollout.py."""

import math

import pytest
import torch
from torch import Tensor

from tests.list_cache import ODD, play
from worldrt.errors import ConfigError
from worldrt.memory.cache import KVCache
from worldrt.memory.grab import GrabBank
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape, Region

POINT = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1)
"""One token a frame, so that a frame's mass is its token's."""


def walk(spec: str, loudness: list[float], wanted: float = 1.0) -> KVCache:
    """One-frame blocks whose keys point the way of all queries, by so much; values count up."""
    cache = KVCache(find(spec, 1), POINT)
    along = torch.tensor([0, 0, 1.0, 0, 0, 0]).view(1, 1, 1, 6)
    for index, loud in enumerate(loudness):
        cache.open_block(1)
        for clean in (False, True):
            cache.begin_pass(first=not clean, clean=clean)
            value = torch.full((1, 1, 1, 6), float(index))
            cache.attend(0, wanted * along, loud * along, value)
        cache.commit()
    return cache


def bank(cache: KVCache) -> GrabBank:
    assert isinstance(cache._mid, GrabBank)
    return cache._mid


def kept(cache: KVCache) -> list[float]:
    """Frames in the bank, by what their values say."""
    mid = bank(cache)
    return sorted(mid._values[0, 0, : mid.frames, 0, 0, 0].tolist())


def test_the_frames_that_are_asked_for_stay() -> None:
    """No diversity: sink 0, then the loudest three of frames 1 to 5, the last one to leave."""
    spec = "tether:sink=1,memory=3,recent=1,diversity=0,alignment=0"
    cache = walk(spec, [0, 5, 1, 9, 7, 2, 0, 0])
    assert kept(cache) == [1.0, 3.0, 4.0]


def test_ties_go_to_the_earlier_frame() -> None:
    cache = walk("tether:sink=1,memory=3,recent=1,diversity=0,alignment=0", [1.0] * 9)
    assert kept(cache) == [1.0, 2.0, 3.0]


def test_a_neighbour_of_a_frame_that_is_asked_for_gives_way() -> None:
    """Scores by hand: the softmax's mass, and 9 times what no neighbour's mass overshadows."""
    loudness, width = [0.0, 8.0, 7.0, 0.0, 0.0, 0.0], math.sqrt(6)
    cache = walk("tether:sink=1,memory=2,recent=1,diversity=9,alignment=0", loudness)
    ids, raw = [1, 2, 3], loudness[1:4]
    total = sum(math.exp(one / width) for one in raw)
    mass = [math.exp(one / width) / total for one in raw]
    reach = max(1.0, (3 - 1 + 1) / 2)
    scores = []
    for i, own in zip(ids, mass, strict=True):
        pairs = zip(ids, mass, strict=True)
        worst = max(math.exp(-abs(i - j) / reach) * m for j, m in pairs if j != i)
        scores.append(own + 9 * max(0.0, 1 - worst))
    dropped = ids[scores.index(min(scores))]
    assert dropped == 2  # it is asked for nearly as much as frame 1, and lies beside it
    assert kept(cache) == [1.0, 3.0]


def test_while_there_is_room_nothing_is_chosen_or_changed() -> None:
    spec = "tether:sink=1,memory=6,recent=1,alignment=1"
    cache = walk(spec, [0, 5, 1, 9, 7, 2, 0, 0])
    assert kept(cache) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert not bank(cache)._waiting


def test_frames_wait_unseen_until_the_clean_pass() -> None:
    """The values that a step can mix are those of sink, bank, recent frame and block."""
    spec = "tether:sink=1,memory=1,recent=1,alignment=0"
    cache = walk(spec, [0.0] * 5)
    cache.open_block(1)
    seen: list[Tensor] = []
    for clean in (False, True):
        cache.begin_pass(first=not clean, clean=clean)
        zero = torch.zeros(1, 1, 1, 6)
        seen.append(cache.attend(0, zero, zero, torch.full((1, 1, 1, 6), 60.0)))
    # Frame 3 waits. Equal weights over frames 0, 1, 4 and the block: four of them either way.
    torch.testing.assert_close(seen[0], torch.full_like(seen[0], (0 + 1 + 4 + 60) / 4))
    torch.testing.assert_close(seen[1], seen[0])
    assert cache.occupancy()[Region.MID].frames == 1


def test_positions_count_from_the_window() -> None:
    cache = KVCache(find("tether", 3), ODD)
    play(cache, [3] * 12)
    cache.open_block(3)
    assert cache.positions() == {
        Region.SINK: [0, 1, 2],
        Region.SPATIAL: [],
        Region.RECENT: [17],
        Region.BLOCK: [18, 19, 20],
    }


@pytest.mark.parametrize(
    "option, says",
    [
        ("temperature=0", "temperature above 0"),
        ("diversity=-1", "diversity from 0"),
        ("alignment=1.5", "alignment from 0 to 1"),
        ("memory=0", "'tether' needs memory of at least 1 frame, got 0"),
    ],
)
def test_options_that_make_no_sense(option: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find(f"tether:{option}", 3)

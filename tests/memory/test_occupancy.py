"""How full a cache is; hand-counted cases of whole caches are in test_cache.py."""

import pytest

from tests.list_cache import DOT, play
from worldrt.memory.cache import KVCache
from worldrt.memory.occupancy import Occupancy
from worldrt.memory.policy import find
from worldrt.memory.slots import Region


def test_an_empty_cache_holds_nothing() -> None:
    held = KVCache(find("window", 3), DOT).occupancy()
    assert set(held) == set(Region) and set(held.values()) == {Occupancy(0, 0, 0)}


@pytest.mark.parametrize("spec", ["window", "tether", "pack:mid=2,top=1", "window:codec=int4"])
def test_regions_add_up_to_no_more_than_the_cache_has(spec: str) -> None:
    cache = KVCache(find(spec, 3), DOT)
    play(cache, [3] * 20, DOT)
    held = cache.occupancy()
    assert 0 < sum(part.bytes for part in held.values()) <= cache.nbytes
    frames = held[Region.SINK].frames + held[Region.RECENT].frames
    assert held[Region.SINK].tokens + held[Region.RECENT].tokens == frames * DOT.tokens

"""Where the time of a block goes."""

import pytest

from tests.list_cache import DOT
from worldrt.clock import Clock
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find


@pytest.fixture
def cache() -> KVCache:
    return KVCache(find("window", 3), DOT)


def test_the_cache_has_a_stage_of_its_own(cache: KVCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 s in a stage the cache took 2."""
    now = iter([10.0, 15.0, 20.0, 21.0])
    monkeypatch.setattr("worldrt.clock.time.perf_counter", lambda: next(now))
    clock = Clock(cache)
    with clock("steps"):
        cache.seconds += 2
    with clock("steps"):
        pass
    assert clock.stage_ms == {"steps": 4000.0, "policy": 2000.0}


def test_a_clock_goes_on_from_another_and_leaves_it_as_it_was(cache: KVCache) -> None:
    before = {"clean": 3.0}
    clock = Clock(cache, before)
    with clock("clean"):
        pass
    assert clock.stage_ms["clean"] >= 3.0 and before == {"clean": 3.0}


def test_a_stage_that_fails_is_not_counted(cache: KVCache) -> None:
    clock = Clock(cache)
    with pytest.raises(ZeroDivisionError), clock("steps"):
        raise ZeroDivisionError
    assert clock.stage_ms == {}

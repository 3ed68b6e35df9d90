"""Where the time of a block goes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from worldrt.memory.cache import KVCache


class Clock:
    """Adds up the milliseconds of stages; the cache's own work is a stage of its own, `policy`.

    Args:
        cache: whose time is told apart from that of the stage that it is spent in.
        stage_ms: what was spent before.
    """

    def __init__(self, cache: KVCache, stage_ms: Mapping[str, float] | None = None) -> None:
        self.stage_ms = dict(stage_ms or {})
        """By stage; put another dictionary here to begin anew."""
        self._cache = cache

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began, cache = time.perf_counter(), self._cache.seconds
        yield
        policy = self._cache.seconds - cache
        spent = time.perf_counter() - began - policy
        for name, seconds in ((stage, spent), ("policy", policy)):
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + 1000 * seconds

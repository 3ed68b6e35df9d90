"""How late the event loop wakes: everything that is sent waits for it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

EVERY_S = 0.02
"""Seconds between two looks."""
LOOKS = 3000
"""Looks that are remembered: a minute."""


class LoopLag:
    """Looks at how late the loop wakes from short sleeps.

    Args:
        observe: told the seconds of each look.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._lags: deque[float] = deque(maxlen=LOOKS)

    async def watch(self) -> None:
        """Look until it is cancelled."""
        while True:
            slept = time.monotonic()
            await asyncio.sleep(EVERY_S)
            lag = max(time.monotonic() - slept - EVERY_S, 0.0)
            self._lags.append(lag)
            self._observe(lag)

    def percentile(self, share: float) -> float:
        """Seconds that `share` of the looks of the last minute keep to; 0 before the first."""
        ordered = sorted(self._lags)
        return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0

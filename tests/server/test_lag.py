"""The loop's lag is measured: a loop that is held up is told from one that is not."""

import asyncio
import time

from worldrt.server.lag import LOOKS, LoopLag


def test_a_loop_that_is_held_up_is_late() -> None:
    seen: list[float] = []

    async def work() -> None:
        lag = LoopLag(seen.append)
        assert lag.percentile(0.99) == 0.0
        watching = asyncio.create_task(lag.watch())
        await asyncio.sleep(0.05)
        time.sleep(0.3)
        while max(seen, default=0.0) < 0.25:
            await asyncio.sleep(0.01)
        watching.cancel()
        assert lag.percentile(1.0) == max(seen) >= 0.25
        assert lag.percentile(0.0) == min(seen) < 0.25

    asyncio.run(work())


def test_it_remembers_a_minute() -> None:
    lag = LoopLag(lambda _: None)
    lag._lags.extend(range(2 * LOOKS))
    assert lag.percentile(0.0) == LOOKS and lag.percentile(1.0) == 2 * LOOKS - 1

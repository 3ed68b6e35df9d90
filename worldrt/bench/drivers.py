"""Clients that press keys by a script and tell when they saw them obeyed."""

import asyncio
import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from worldrt.bench.presses import Press
from worldrt.client.lag import Sample
from worldrt.client.stream import Walk, connect
from worldrt.errors import BackendUnavailable, ServerError

WARM_UP_S = 3.0
"""Seconds of a walk that are not measured."""
LOOK_S = 1.0
"""Seconds between two looks at what was measured."""
SETTLE_S = 2.0
"""Seconds after the last key in which its frame may come."""
PATIENCE_S = 60.0
"""Seconds within which a walk must begin."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a client saw while it was measured."""

    samples: list[Sample]
    seconds: float
    shown: int
    """Frames."""
    dropped: int
    """Frames that came and were not shown, or were left out by the server."""
    stalls: int
    """How often a frame stood for more than 250 ms."""
    longest_ms: float
    """The longest that a frame stood, the warm-up included."""


class Driver(Protocol):
    """A kind of client."""

    def __call__(
        self, url: str, presses: Sequence[Press], seconds: float, tick: Callable[[float], None]
    ) -> Seen:
        """Walk at `url`.

        Args:
            url: of the page, http://host:port/.
            presses: what is held when, from the end of the warm-up on.
            seconds: that are measured, more than the last press.
            tick: told how many seconds of them are over.
        """
        ...


def drive_python(
    url: str, presses: Sequence[Press], seconds: float, tick: Callable[[float], None]
) -> Seen:
    """The Python client, showing frames by the clock; see `Driver`."""
    return asyncio.run(_python(url, presses, seconds, tick))


def drive_browser(
    url: str, presses: Sequence[Press], seconds: float, tick: Callable[[float], None]
) -> Seen:
    """The viewer in a headless Chromium; see `Driver`.

    Raises:
        BackendUnavailable: playwright or Chromium is missing.
        ServerError: the page shows no walk.
    """
    return asyncio.run(_browser(url, presses, seconds, tick))


async def _python(
    url: str, presses: Sequence[Press], seconds: float, tick: Callable[[float], None]
) -> Seen:
    socket = url.replace("http", "ws", 1)
    async with asyncio.timeout(PATIENCE_S + WARM_UP_S + seconds):
        async with connect(socket, realtime=True) as walk:
            await asyncio.sleep(WARM_UP_S)
            before, found = _counts(walk), dict[int, Sample]()

            async def look() -> None:
                found.update((sample.t_us, sample) for sample in walk.samples)

            async def press(keys: str) -> None:
                walk.hold(keys)

            await _play(presses, seconds, press, look, tick)
            return _seen(found.values(), seconds, before, _counts(walk))


def _counts(walk: Walk) -> dict[str, float]:
    screen = walk.screen
    if screen is None:
        raise ServerError(f"The walk did not begin within {WARM_UP_S:g} s.")
    return {
        "shown": screen.shown,
        "dropped": walk.dropped,
        "stalls": screen.stalls,
        "longest_ms": screen.longest_us / 1e3,
    }


async def _browser(
    url: str, presses: Sequence[Press], seconds: float, tick: Callable[[float], None]
) -> Seen:
    try:
        from playwright.async_api import Error, async_playwright
    except ImportError as error:
        raise BackendUnavailable("playwright", "pip install 'worldrt[browser]'") from error
    async with async_playwright() as play:
        try:
            browser = await play.chromium.launch(executable_path=shutil.which("chromium"))
        except Error as error:
            raise BackendUnavailable(
                "Chromium", "install your system's package or run `playwright install chromium`"
            ) from error
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.goto(url)
        # Its own waiting would need `eval`, which the page forbids.
        waited = 0.0
        while not await page.evaluate(_LIVE):
            if waited > PATIENCE_S:
                raise ServerError(f"{url} shows no walk within {PATIENCE_S:g} s.")
            await asyncio.sleep(LOOK_S)
            waited += LOOK_S
        await page.wait_for_timeout(1000 * WARM_UP_S)
        found = dict[int, Sample]()
        before = await page.evaluate("window.worldrt.stats()")
        held = ""

        async def look() -> None:
            samples = msgspec.convert(await page.evaluate(_SAMPLES), list[Sample])
            found.update((sample.t_us, sample) for sample in samples)

        async def press(keys: str) -> None:
            nonlocal held
            for letter in held:
                await page.keyboard.up(f"Key{letter}")
            for letter in keys:
                await page.keyboard.down(f"Key{letter}")
            held = keys

        await _play(presses, seconds, press, look, tick)
        after = await page.evaluate("window.worldrt.stats()")
        await browser.close()
        return _seen(found.values(), seconds, before, after)


_LIVE = "!!window.worldrt && window.worldrt.stats().shown > 0"
_SAMPLES = """window.worldrt.samples.map((sample) => (
    {...sample, t_us: Math.round(sample.t_us), shown_us: Math.round(sample.shown_us)}))"""


async def _play(
    presses: Sequence[Press],
    seconds: float,
    press: Callable[[str], Awaitable[None]],
    look: Callable[[], Awaitable[None]],
    tick: Callable[[float], None],
) -> None:
    """Press keys when their time has come, and look at what was measured now and then."""
    now = asyncio.get_running_loop().time
    began = now()
    waiting = deque(presses)
    looks = 0
    while (over := now() - began) < seconds:
        if waiting and waiting[0].at_s <= over:
            await press(waiting.popleft().keys)
            continue
        if looks * LOOK_S <= over:
            await look()
            looks += 1
        tick(over)
        due = min(waiting[0].at_s if waiting else seconds, looks * LOOK_S, seconds)
        await asyncio.sleep(max(due - (now() - began), 0))
    await look()
    tick(seconds)


def _seen(
    samples: Iterable[Sample],
    seconds: float,
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> Seen:
    more = {name: round(after[name] - before[name]) for name in ("shown", "dropped", "stalls")}
    return Seen(
        samples=list(samples), seconds=seconds, longest_ms=float(after["longest_ms"]), **more
    )

"""Clients that press keys by a script, on a scripted server and on the viewer."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.client.scripted import FPS, Scripted, serving
from worldrt.bench import drivers
from worldrt.bench.drivers import drive_browser, drive_python
from worldrt.bench.presses import Press
from worldrt.errors import BackendUnavailable
from worldrt.protocol.requests import Bye, Input


@contextmanager
def beside(script: Scripted) -> Iterator[str]:
    """The scripted server on a thread of its own, since a driver has its own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server, url = asyncio.run_coroutine_threadsafe(serving(script), loop).result()
    try:
        yield url.replace("ws", "http", 1)
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_the_python_client_presses_sees_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "WARM_UP_S", 0.3)
    presses = [Press(0.1, "W"), Press(0.4, ""), Press(0.6, "WJ"), Press(0.65, "")]
    script, ticks = Scripted(), list[float]()
    with beside(script) as url:
        seen = drive_python(url, presses, 1.5, ticks.append)
    inputs = [each for each in script.heard_of(Input) if isinstance(each, Input)]
    changes = [
        one.keys
        for one, other in zip(inputs, [None, *inputs], strict=False)
        if other is None or one.keys != other.keys
    ]
    assert changes == [1, 0, 33, 0] and script.heard_of(Bye)
    assert len(seen.samples) == 4 and seen.seconds == 1.5
    times = [sample.t_us for sample in seen.samples]
    gaps = [1e-6 * (time - times[0]) for time in times]
    assert gaps == pytest.approx([0.0, 0.3, 0.5, 0.55], abs=0.1)
    assert 0 < seen.shown <= 1.5 * FPS + 5 and seen.dropped == 0
    assert ticks == sorted(ticks) and ticks[-1] == 1.5


def test_without_a_browser_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.shutil, "which", lambda name: "/nowhere/chromium")
    with pytest.raises(BackendUnavailable, match="^Chromium is not available here; install"):
        drive_browser("http://127.0.0.1:9/", [], 1.0, print)
    monkeypatch.setitem(__import__("sys").modules, "playwright.async_api", None)
    with pytest.raises(BackendUnavailable, match=r"^playwright is not .*'worldrt\[browser\]'\.$"):
        drive_browser("http://127.0.0.1:9/", [], 1.0, print)

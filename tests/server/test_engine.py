"""The model thread: what is submitted runs on it, what is due first is made first."""

import threading
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from worldrt.server.engine import Engine


class Fake:
    """A seat that is due whenever it is told, and notes what happens to it."""

    def __init__(self, name: str, made: list[str], due: float | None = None) -> None:
        self.name, self.made, self.when = name, made, due
        self.closed, self.failed = threading.Event(), threading.Event()
        self.left, self.broken, self.shown = 0, False, 0
        self.pacer = SimpleNamespace(generated=lambda *_: None)

    def due(self, now: float) -> float | None:
        return self.when if self.left else None

    def block(self, there: Any) -> Any:
        if self.broken:
            raise ZeroDivisionError("no block")
        assert threading.current_thread().name == "model"
        self.left -= 1
        self.made.append(self.name)
        assert self.when is not None
        self.when += 1.0
        there(SimpleNamespace(sight=SimpleNamespace(frames=[0]), began=0.0, done=1.0))
        assert self.shown == len(self.made)

    def show(self, seat: Any, seen: Any) -> None:
        self.shown = len(self.made)

    def deliver(self, seat: Any, made: Any) -> None: ...

    def note(self, made: Any) -> None: ...

    def fail(self, seat: Any, error: Exception) -> None:
        assert seat is self and isinstance(error, ZeroDivisionError)
        self.failed.set()

    def close(self) -> None:
        assert threading.current_thread().name == "model"
        self.closed.set()


def wait_for(holds: Any) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_jobs_run_in_order_on_one_thread_and_tell_their_errors() -> None:
    engine = Engine()
    ran: list[int] = []
    futures = [engine.submit(lambda n=n: ran.append(n)) for n in range(5)]
    name = engine.submit(lambda: threading.current_thread().name)
    broken = engine.submit(lambda: 1 / 0)
    assert name.result(20) == "model" and ran == list(range(5))
    assert all(future.done() for future in futures)
    with pytest.raises(ZeroDivisionError):
        broken.result(20)
    assert engine.submit(lambda: 7).result(20) == 7, "an error ends nothing"
    engine.close()
    with pytest.raises(CancelledError):
        engine.submit(lambda: 8).result(20)
    assert not any(thread.name == "model" for thread in threading.enumerate())


def test_walks_interleave_and_the_earlier_is_made_first() -> None:
    engine, made = Engine(), []
    early, late = Fake("early", made, 0.0), Fake("late", made, 0.5)
    for seat in (late, early):
        engine.add(seat)  # type: ignore[arg-type]
    with engine.changing():
        early.left = late.left = 3
    wait_for(lambda: len(made) == 6)
    assert made == ["early", "late"] * 3
    engine.close()


def test_nothing_is_made_before_it_is_due() -> None:
    engine, made = Engine(), []
    begun = time.monotonic()
    seat = Fake("one", made, begun + 0.2)
    seat.left = 1
    engine.add(seat)  # type: ignore[arg-type]
    wait_for(lambda: made)
    assert time.monotonic() >= begun + 0.2
    engine.close()


def test_a_seat_that_fails_makes_no_more_and_others_go_on() -> None:
    engine, made = Engine(), []
    ill, well = Fake("ill", made, 0.0), Fake("well", made, 1.0)
    ill.broken = True
    for seat in (ill, well):
        seat.left = 2
        engine.add(seat)  # type: ignore[arg-type]
    assert ill.failed.wait(20)
    wait_for(lambda: made == ["well", "well"])
    assert engine.seats == 1
    engine.close()


def test_a_seat_that_is_removed_is_closed() -> None:
    engine, made = Engine(), []
    seat = Fake("one", made, 0.0)
    engine.add(seat)  # type: ignore[arg-type]
    engine.remove(seat).result(20)  # type: ignore[arg-type]
    assert seat.closed.is_set() and engine.seats == 0
    with engine.changing():
        seat.left = 1
    time.sleep(0.05)
    assert made == []
    engine.close()

"""The model thread: it alone changes sessions, and makes the block that is due first.

Several walks interleave block by block. Whoever wants something done to a session submits it; what
a pacer or a pause decides is changed under `changing`, which wakes the thread.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from threading import Condition, Thread
from typing import TypeVar

import torch

from worldrt.server.seat import Seat, Seen

log = logging.getLogger(__name__)
T = TypeVar("T")


class Engine:
    """The model thread and the seats that it serves.

    Args:
        threads: of torch, inside an operation.
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        """Of torch, inside an operation."""
        self._changed = Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._seats: list[Seat] = []
        self._open = True
        self._thread = Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock that guards pacers and pauses; then the thread looks again."""
        with self._changed:
            yield
            self._changed.notify()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Run `job` on the model thread before the next block; errors come out of the future."""
        result: Future[T] = Future()

        def run() -> None:
            if result.set_running_or_notify_cancel():
                try:
                    result.set_result(job())
                except Exception as error:  # whoever asked is told
                    result.set_exception(error)

        with self.changing():
            if self._open:
                self._jobs.append(run)
            else:
                result.cancel()
        return result

    def add(self, seat: Seat) -> None:
        """Make blocks for a seat from now on."""
        with self.changing():
            self._seats.append(seat)

    def remove(self, seat: Seat) -> Future[None]:
        """Make no block for a seat any more, and close it; one that is being made is finished."""
        with self.changing():
            if seat in self._seats:
                self._seats.remove(seat)
        return self.submit(seat.close)

    def close(self) -> None:
        """Finish the jobs that were submitted and end the thread; it may be waited for."""
        with self.changing():
            self._open = False
            self._seats.clear()
        self._thread.join()

    @property
    def seats(self) -> int:
        return len(self._seats)

    def _run(self) -> None:
        torch.set_num_threads(self.threads)
        while True:
            work = self._next()
            if work is None:
                return
            work()
            del work  # a seat that was removed is not kept alive by an idle thread

    def _next(self) -> Callable[[], None] | None:
        """Wait for a job or a seat whose block is due; None: the end."""
        with self._changed:
            while True:
                if self._jobs:
                    return self._jobs.popleft()
                if not self._open:
                    return None
                now = time.monotonic()
                times = {seat: seat.due(now) for seat in self._seats}
                due = {seat: when for seat, when in times.items() if when is not None}
                first = min(due, key=lambda seat: due[seat], default=None)
                if first is not None and due[first] <= now:
                    return partial(self._block, first)
                self._changed.wait(None if first is None else due[first] - now)

    def _block(self, seat: Seat) -> None:
        try:
            made = seat.block(partial(self._seen, seat))
            seat.deliver(seat, made)
            seat.note(made)
        except Exception as error:
            log.exception("a block could not be made")
            with self._changed:
                if seat in self._seats:
                    self._seats.remove(seat)
            seat.fail(seat, error)

    def _seen(self, seat: Seat, seen: Seen) -> None:
        with self._changed:
            seat.pacer.generated(len(seen.sight.frames), seen.done - seen.began, seen.done)
        seat.show(seat, seen)

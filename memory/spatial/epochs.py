"""Readers that never wait, and a writer that waits until none can see what it uses again.

Source: McKenney and Slingwine, Read-copy update, 1998, in small.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Epochs:
    """Who is reading, in the order in which they came in."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._next = 0
        self._inside: set[int] = set()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While inside, what one finds is not overwritten; may be nested."""
        with self._changed:
            ticket = self._next
            self._next += 1
            self._inside.add(ticket)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(ticket)
                self._changed.notify_all()

    def synchronize(self) -> None:
        """Wait until all who are inside have left; those who come later don't count.

        Never call it while reading in the same thread.
        """
        with self._changed:
            last = self._next
            self._changed.wait_for(lambda: not self._inside or min(self._inside) >= last)

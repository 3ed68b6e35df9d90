"""A thread that takes frames into a map, so that who hands them over goes on at once."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from worldrt.errors import SessionClosed
from worldrt.memory.spatial.frame import Frame, Inserted

ROOM = 64
"""Frames that may wait; who hands over one more waits itself."""


class Writer:
    """The one who writes to a map; after `settle` it holds all frames that were submitted.

    Any thread may submit and settle, one after the other; an error comes out in one of them.

    Args:
        insert: takes in one frame; nobody else writes to what it writes to.
    """

    def __init__(self, insert: Callable[[Frame], Inserted]) -> None:
        self._insert = insert
        # Its thread ends with the pool: a writer that is merely forgotten leaves nothing behind.
        self._pool = ThreadPoolExecutor(1, "spatial-map")
        self._waiting: deque[Future[Inserted]] = deque()
        self._open = True
        self._lock = Lock()

    def submit(self, frame: Frame) -> None:
        """Hand over a frame whose arrays nobody changes any more.

        Raises:
            WorldrtError: a frame before it could not be inserted; neither is this one.
            SessionClosed: after `close`.
        """
        with self._lock:
            if not self._open:
                raise SessionClosed("The map's writer is closed; open another one.")
            while len(self._waiting) >= ROOM or (self._waiting and self._waiting[0].done()):
                self._waiting.popleft().result()
            self._waiting.append(self._pool.submit(self._insert, frame))

    def settle(self) -> None:
        """Wait until all frames are in.

        Raises:
            WorldrtError: a frame could not be inserted; the others were.
        """
        with self._lock:
            wait(self._waiting)
            while self._waiting:
                self._waiting.popleft().result()

    def close(self) -> None:
        """Take in what was submitted, and end the thread; a second time does nothing.

        Raises:
            WorldrtError: as `settle`.
        """
        with self._lock:
            self._open = False
        self._pool.shutdown()
        self.settle()

"""A screen without a screen: which frame would be shown when, at the world's frame rate.

Each frame is shown one period after the one before it, or as it comes if it is late. What is ahead
is the server's to bound; when a newer input shows up, at most FEW older frames go before it.
"""

from collections import deque

from worldrt.client.pictures import Frame
from worldrt.protocol.packets import Flag

FEW = 3
"""Frames that are still shown before the first one that obeys a newer input."""
STALL_US = 250_000
"""Standing still for longer than this is a stall."""


class Screen:
    """Shows frames by the clock; times are microseconds.

    Args:
        fps: of the world.
        most: frames that may wait; the oldest go beyond it.
    """

    def __init__(self, fps: float, most: int) -> None:
        self._period = 1e6 / fps
        self._most = most
        self._waiting: deque[Frame] = deque()
        self._due_us: float | None = None
        self._up_us: int | None = None
        self.shown = 0
        self.dropped = 0
        """Frames that came and were never shown."""
        self.stalls = 0
        self.longest_us = 0
        """The longest that one frame stood."""

    def __len__(self) -> int:
        return len(self._waiting)

    def restart(self) -> None:
        """Another walk, or the same one in another connection: what waits is stale."""
        self._waiting.clear()
        self.rest()

    def rest(self) -> None:
        """Standing still from now on is no stall."""
        self._due_us = self._up_us = None

    def add(self, frame: Frame) -> None:
        """A frame has come."""
        most = FEW if frame.header.flags & Flag.CUTOVER else self._most - 1
        while len(self._waiting) > most:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(frame)

    def next_us(self) -> float | None:
        """When the next frame is due, possibly long ago; None: none is there."""
        if not self._waiting:
            return None
        came = self._waiting[0].decoded_us
        return came if self._due_us is None else max(self._due_us + self._period, came)

    def show(self, now_us: int) -> Frame | None:
        """The frame to be put up now, if one is due."""
        due = self.next_us()
        if due is None or now_us < due:
            return None
        if self._up_us is not None:
            stood = now_us - self._up_us
            self.longest_us = max(self.longest_us, stood)
            self.stalls += stood > STALL_US
        # Counted from when it was due, or being woken late each time would slow the walk.
        self._due_us = due if now_us - due < self._period else now_us
        self._up_us = now_us
        self.shown += 1
        return self._waiting.popleft()

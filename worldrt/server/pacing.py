"""When to begin the next block: so late that what a person holds is fresh, so early that the screen
does not run dry.

Begun a block's time, and a margin for the way to the screen, before the last frame made is over.
The margin learns: it grows when a frame comes late, and shrinks while frames are always waiting.
Sans I/O: `now` is seconds of a monotonic clock.
"""

from collections import deque

FIRST_MARGIN, LEAST_MARGIN, MOST_MARGIN = 0.04, 0.01, 0.25
"""Seconds for coding, the network, decoding and what varies in a block's time."""
GROWTH = 0.05
"""Seconds that the margin grows by at once, at most, so that one outlier spoils no minute."""
SHRINKAGE = 0.02
"""Part of the margin that goes with each block during which frames always waited."""
TOLERANCE = 0.02
"""Seconds that a frame may be late by what a screen's refresh alone does."""
MEMORY = 0.9
"""Part of a small lateness that counts when the next one comes: many of them are a slow walk."""
REMEMBERED = 32
"""Blocks whose time is remembered."""
PHASES = 4
"""Acknowledgements of which the least delayed is believed."""


class Pacer:
    """Paces the blocks of one walk by what its screen has acknowledged.

    Frames are counted since the start of the walk. No block is begun that would bring what has been
    made further than max_lead_ms beyond the newest acknowledged frame, save that one may always be
    made while the one before it is on its way: a machine below real time never waits for the line.
    So a client that acknowledges nothing stops the world.

    Args:
        fps: frames a second of the screen.
        block_frames: frames of a block.
        max_lead_ms: milliseconds of frames.
    """

    def __init__(self, fps: float, block_frames: int, max_lead_ms: float) -> None:
        self.max_lead_ms = max_lead_ms
        """May be changed at any time."""
        self.margin = FIRST_MARGIN
        """Seconds; for a metric."""
        self._fps = fps
        self._block = block_frames
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        # When frame 0 would have been shown, by each of the last acknowledgements.
        self._phases: deque[float] = deque(maxlen=PHASES)
        self._made = 0
        self.restart()

    def restart(self) -> None:
        """The screen shows nothing of what was made: a walk begins, or goes on after a pause or on
        another screen."""
        self._shown = self._made - 1
        self._shown_at: float | None = None
        self._late = 0.0
        self._waiting = self._least_waiting = 0
        self._phases.clear()

    def generated(self, frames: int, took_s: float, now: float) -> None:
        """A block is there.

        Args:
            frames: that it has.
            took_s: seconds from its beginning to now.
            now: when.
        """
        if not self._phases:
            self._phases.append(now + self.margin - self._made / self._fps)
        self._made += frames
        self._took.append(took_s)
        if self._least_waiting > 0:
            self.margin = max(self.margin * (1 - SHRINKAGE), LEAST_MARGIN)
        self._least_waiting = self._waiting

    def acked(self, frame: int, buffered: int, now: float) -> None:
        """The screen shows `frame` and `buffered` more wait; older news than the newest is passed
        over."""
        frame = min(frame, self._made - 1)
        if frame <= self._shown:
            return
        if self._shown_at is not None and self._waiting == 0:
            late = now - self._shown_at - (frame - self._shown) / self._fps
            self._late = max(self._late * MEMORY + late, 0.0)
            if self._late > max(TOLERANCE, 0.5 / self._fps):
                self.margin = min(self.margin + min(self._late, GROWTH), MOST_MARGIN)
                self._late = 0.0
                self._phases.clear()
        self._shown, self._shown_at, self._waiting = frame, now, buffered
        self._least_waiting = min(self._least_waiting, buffered)
        self._phases.append(now - frame / self._fps)

    def due(self, now: float) -> float | None:
        """When to begin the next block; past: it is late. None: not before another
        acknowledgement."""
        ahead = self._made - 1 - self._shown
        most = self.max_lead_ms / 1000 * self._fps
        if ahead > self._block and ahead + self._block > most:
            return None
        return now if not self._phases else self._dry() - self._block_s() - self.margin

    def lead_ms(self, now: float) -> float:
        """Milliseconds until the screen runs dry."""
        return max(self._dry() - now, 0.0) * 1000 if self._phases else 0.0

    def _dry(self) -> float:
        """When the frame after the last one made is to be shown.

        An acknowledgement can be delayed, but never be early: the earliest phase is the truest.
        """
        return min(self._phases) + self._made / self._fps

    def _block_s(self) -> float:
        """Seconds that nine of ten blocks keep to; a first one that took minutes is no measure."""
        ordered = sorted(self._took)
        return ordered[int(0.9 * (len(ordered) - 1))] if ordered else 0.0

"""The recordings of one session, as the loop sees them."""

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worldrt.protocol.replies import Recording, WorldInfo
from worldrt.server.recording import Recorder, Shelf

KEPT = 4
"""Finished recordings of a session that wait to be fetched; the oldest makes room."""
KEEP_S = 600.0
"""Seconds that a recording can be fetched after its session is over."""


class Films:
    """At most one recording at a time, and those that are finished.

    Args:
        shelf: where they go.
        info: of the world.
        most_s: seconds of one.
        tell: told how it goes.
    """

    def __init__(
        self, shelf: Shelf, info: WorldInfo, most_s: float, tell: Callable[[Recording], None]
    ) -> None:
        self._shelf, self._info, self._most_s, self._tell = shelf, info, most_s, tell
        self._loop = asyncio.get_running_loop()
        self._recorder: Recorder | None = None
        self._finished: list[str] = []
        self._over = False

    def record(self, on: bool) -> None:
        """Begin or end to record."""
        if not on and self._recorder is not None:
            self._recorder.end()
        elif not on:
            self._tell(Recording(on=False, why="Nothing is being recorded."))
        elif self._recorder is None:
            self._recorder = Recorder(
                self._shelf,
                self._info.lens.width,
                self._info.lens.height,
                self._info.fps,
                self._most_s,
                lambda how: self._loop.call_soon_threadsafe(self._hear, how),
            )

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Frames were generated."""
        if self._recorder is not None:
            self._recorder.add(frames)

    def close(self) -> None:
        """The session is over: a recording ends; each can be fetched for a while."""
        self._over = True
        if self._recorder is not None:
            self._recorder.end()
        self._part()

    def _hear(self, how: Recording) -> None:
        if not how.on:
            self._recorder = None
        if how.url:
            self._finished.append(how.url)
            if len(self._finished) > KEPT:
                self._shelf.discard(self._finished.pop(0))
        if self._over:
            self._part()
        self._tell(how)

    def _part(self) -> None:
        for url in self._finished:
            self._loop.call_later(KEEP_S, self._shelf.discard, url)
        self._finished.clear()

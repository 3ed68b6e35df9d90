"""Frames in, chunks out, and when each frame counts as shown.

Either when its chunk is taken, or, in real time, when a screen would put it up.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from worldrt.client.chunk import Chunk, gather
from worldrt.client.lag import Lags
from worldrt.client.link import micros
from worldrt.client.pictures import Decoder, Frame
from worldrt.client.screen import Screen
from worldrt.protocol.packets import Flag, Packet
from worldrt.protocol.requests import Ack

MOST_CHUNKS = 8
"""Chunks that wait to be taken; then nothing more is read, and the server sees a slow line."""


class Player:
    """Plays the video of one walk.

    Args:
        lags: told of each frame that is shown.
        realtime: show by the clock.
        tell: given what there is to acknowledge.
    """

    def __init__(self, lags: Lags, realtime: bool, tell: Callable[[Ack], None]) -> None:
        self._lags = lags
        self._realtime = realtime
        self._tell = tell
        self._decode = Decoder(micros)
        self._epoch = -1
        self._coming: list[Frame] = []
        """Of the chunk that is not whole yet."""
        self._chunks: deque[list[Frame]] = deque()
        self._last = (-1, -1)
        """Epoch and number of the frame shown last."""
        self._over = False
        self._came, self._taken, self._due = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._hurries = 0
        self.screen: Screen | None = None
        """What shows the frames, in real time."""
        self.dropped = 0
        """Frames of this connection that were never shown."""

    def begin(self, epoch: int, fps: float, most: int) -> None:
        """A walk begins or goes on: only frames of `epoch` count from now on."""
        self._epoch = epoch
        self._coming, self._decode = [], Decoder(micros)
        if self.screen is not None:
            self.screen.restart()
        elif self._realtime:
            self.screen = Screen(fps, most)

    def end(self) -> None:
        """No more frames will come."""
        self._over = True
        self._came.set()

    def hurry(self, more: bool) -> None:
        """Whether something is waited for that takes a block: chunks that nobody can take meanwhile
        count as shown when they come."""
        self._hurries += 1 if more else -1
        if more and self._chunks:
            self._acknowledge(self._chunks[-1][-1], None)
        self._taken.set()

    async def see(self, packet: Packet, now_us: int) -> None:
        """A packet of video has come; waits while too many chunks do."""
        stale = packet.header.epoch != self._epoch
        frame = None if stale else self._decode(packet, now_us)
        if frame is None:
            return
        if self.screen is not None:
            self.screen.add(frame)
            self._due.set()
            return
        self._gather(frame)
        while len(self._chunks) >= MOST_CHUNKS and not self._hurries:
            self._taken.clear()
            await self._taken.wait()

    async def take(self) -> Chunk | None:
        """The next chunk; None: there will be no more."""
        while not self._chunks:
            if self._over:
                return None
            self._came.clear()
            await self._came.wait()
        frames = self._chunks.popleft()
        self._taken.set()
        if not self._realtime:
            self._show(frames)
        return gather(frames)

    async def play(self) -> None:
        """Put frames up when they are due, for as long as this runs."""
        while True:
            due_us = self.screen.next_us() if self.screen is not None else None
            if self.screen is None or due_us is None:
                self._due.clear()
                await self._due.wait()
                continue
            await asyncio.sleep(max(due_us - micros(), 0) / 1e6)
            frame = self.screen.show(micros())
            if frame is not None:
                self._show([frame])
                self._gather(frame)

    def _gather(self, frame: Frame) -> None:
        """A chunk whose last frame was lost ends where the next one begins."""
        if self._coming and self._coming[0].header.chunk != frame.header.chunk:
            self._finish()
        self._coming.append(frame)
        if frame.header.flags & Flag.LAST:
            self._finish()

    def _finish(self) -> None:
        self._chunks.append(self._coming)
        self._coming = []
        self._came.set()
        if self._realtime and len(self._chunks) > MOST_CHUNKS:
            self._chunks.popleft()  # shown already; nobody took it
        elif self._hurries and not self._realtime:
            self._acknowledge(self._chunks[-1][-1], None)

    def _show(self, frames: Sequence[Frame]) -> None:
        now_us = micros()
        for frame in frames:
            header = frame.header
            epoch, last = self._last
            if epoch == header.epoch:
                self.dropped += max(header.frame - last - 1, 0)
            self._last = (header.epoch, header.frame)
            self._acknowledge(frame, self._lags.shown(frame, now_us))

    def _acknowledge(self, frame: Frame, lag_ms: float | None) -> None:
        waiting = sum(map(len, self._chunks)) if self.screen is None else len(self.screen)
        self._tell(
            Ack(
                epoch=frame.header.epoch,
                frame=frame.header.frame,
                shown_us=micros(),
                buffered=waiting,
                dropped=self.dropped,
                lag_ms=lag_ms,
            )
        )

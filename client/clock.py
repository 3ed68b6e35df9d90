"""The server's clock as seen from here: the sample with the shortest round trip is the truest."""

from collections import deque

from worldrt.protocol.replies import ClockIs

KEPT = 64
"""Samples that are looked at: some two minutes of them, in which clocks hardly drift apart."""


class ServerClock:
    """Tells the server's time from ours."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=KEPT)

    def take(self, sample: ClockIs, now_us: int) -> None:
        """Learn from an answer that came at `now_us`, by our clock."""
        away = now_us - sample.t0_us
        there = sample.t2_us - sample.t1_us
        offset = (sample.t1_us + sample.t2_us - sample.t0_us - now_us) // 2
        self._samples.append((max(away - there, 0), offset))

    @property
    def known(self) -> bool:
        """Whether there was an answer yet; before, both clocks count as one."""
        return bool(self._samples)

    @property
    def round_trip_us(self) -> int:
        """The shortest way there and back; off by half of it at most."""
        return min(self._samples)[0] if self._samples else 0

    def here(self, server_us: int) -> int:
        """What our clock shows when the server's shows `server_us`."""
        return server_us - (min(self._samples)[1] if self._samples else 0)

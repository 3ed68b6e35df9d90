"""Who is in, who waits, who is away for a moment, and who must go.

Sans I/O: `now` is seconds of a monotonic clock, and guests are names of sessions.
"""

import heapq
import math
from dataclasses import dataclass
from typing import NamedTuple

from worldrt.protocol.terms import Close
from worldrt.server.access import Refusal


class Turn(NamedTuple):
    """Where a guest stands in the queue."""

    position: int
    """1: the next to come in."""
    waiting: int
    eta_s: float | None
    """Seconds until a place must be free by the limits; None: nobody knows."""


class Round(NamedTuple):
    """What time has brought."""

    gone: list[tuple[str, Refusal]]
    """Guests that must go, and are forgotten here."""
    seated: list[str]
    """Guests that waited and have a place now."""


@dataclass(slots=True)
class _Seat:
    """One who has a place."""

    since: float
    active: float
    """When a key was pressed last."""
    away: float | None = None
    """Since when the connection is lost."""


class Lobby:
    """Gives out places, first come first served. A guest keeps its place while it is away.

    Args:
        places: sessions that may be walked at once, at least 1.
        waiting: guests that may queue for one.
        idle_s: seconds without a key after which one must go; infinite: never.
        lifetime_s: seconds after which one must go in any case; infinite: never.
        detach_s: seconds that a place is kept for one whose connection is lost.
    """

    def __init__(
        self, places: int, waiting: int, idle_s: float, lifetime_s: float, detach_s: float
    ) -> None:
        self._places, self._most_waiting = places, waiting
        self._idle_s, self._lifetime_s, self._detach_s = idle_s, lifetime_s, detach_s
        self._seats: dict[str, _Seat] = {}
        self._queue: list[str] = []

    @property
    def seated(self) -> tuple[str, ...]:
        """Guests that have a place, there or away."""
        return tuple(self._seats)

    @property
    def queue(self) -> tuple[str, ...]:
        """Guests that wait, the next one first."""
        return tuple(self._queue)

    def enter(self, guest: str, now: float) -> Refusal | None:
        """A new guest takes a place or queues for one; None: it may."""
        if len(self._seats) < self._places and not self._queue:
            self._seats[guest] = _Seat(now, now)
        elif len(self._queue) < self._most_waiting:
            self._queue.append(guest)
        else:
            return Refusal(
                Close.FULL,
                f"All {self._places} places are taken and {len(self._queue)} wait already.",
            )
        return None

    def active(self, guest: str, now: float) -> None:
        """A guest has pressed a key."""
        if guest in self._seats:
            self._seats[guest].active = now

    def detach(self, guest: str, now: float) -> None:
        """A guest's connection is lost; one that waited has lost its turn."""
        if guest in self._seats:
            self._seats[guest].away = now
        else:
            self.leave(guest)

    def attach(self, guest: str, now: float) -> bool:
        """A guest is back; False: it has no place any more."""
        seat = self._seats.get(guest)
        if seat is None:
            return False
        seat.away, seat.active = None, now
        return True

    def leave(self, guest: str) -> None:
        """A guest goes for good."""
        self._seats.pop(guest, None)
        if guest in self._queue:
            self._queue.remove(guest)

    def tick(self, now: float) -> Round:
        """Send away those whose time is up, then give out the places that are free."""
        gone = []
        for guest, seat in list(self._seats.items()):
            refusal = self._expired(seat, now)
            if refusal:
                gone.append((guest, refusal))
                del self._seats[guest]
        free = self._places - len(self._seats)
        seated, self._queue = self._queue[:free], self._queue[free:]
        self._seats |= {guest: _Seat(now, now) for guest in seated}
        return Round(gone, seated)

    def turn(self, guest: str, now: float) -> Turn | None:
        """Where a guest stands in the queue; None: it does not wait."""
        if guest not in self._queue:
            return None
        ends = [seat.since + self._lifetime_s for seat in self._seats.values()]
        ends += [now] * (self._places - len(ends))
        heapq.heapify(ends)
        position = self._queue.index(guest) + 1
        for _ in range(position - 1):
            heapq.heapreplace(ends, max(ends[0], now) + self._lifetime_s)
        eta = max(ends[0] - now, 0.0)
        return Turn(position, len(self._queue), eta if math.isfinite(eta) else None)

    def _expired(self, seat: _Seat, now: float) -> Refusal | None:
        if seat.away is not None and now - seat.away >= self._detach_s:
            return Refusal(Close.ENDED, f"Nobody came back within {self._detach_s:g} s.")
        if now - seat.since >= self._lifetime_s:
            return Refusal(Close.LIFETIME, f"A session lasts {self._lifetime_s:g} s at most.")
        if now - seat.active >= self._idle_s:
            return Refusal(Close.IDLE, f"No key was pressed for {self._idle_s:g} s.")
        return None

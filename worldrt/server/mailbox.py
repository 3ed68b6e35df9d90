"""What waits to be sent to one connection: bounded, whatever the connection does.

Messages go before pictures. A message that says how things are replaces the one of its kind that
still waits; the others are few, since a client is only answered.
"""

from collections import deque
from typing import NamedTuple

from worldrt.protocol.packets import Kind
from worldrt.protocol.replies import Loading, Paused, Queue, Recording, Stats
from worldrt.protocol.terms import Delivery, Message
from worldrt.server.coding import Shot

MOST_MESSAGES = 256
"""Messages that may wait; a connection that lets more come is not read any more."""
MOST_SHOTS = 1024
"""Frames that may wait where none may give way: more than any lead allows."""
SUPERSEDED = (Loading, Paused, Queue, Recording, Stats)
"""Messages of which only the newest is worth sending."""
PATIENCE = 4
"""Times its room that pictures may fill while a key frame is waited for."""


class Side(NamedTuple):
    """A picture beside the video, of which only the newest of its kind is worth sending."""

    kind: Kind
    packet: bytes
    since: float
    """Monotonic seconds when it was there."""


class Mailbox:
    """What waits for one connection.

    Args:
        room: frames that may wait before older ones give way to newer ones.
        delivery: LATEST: they do; LOSSLESS: none is dropped, for the world waits.
    """

    def __init__(self, room: int, delivery: Delivery) -> None:
        self.room, self.delivery = room, delivery
        self.dropped = 0
        """Frames that gave way."""
        self.wants_key = True
        """Whether a key frame is asked for: to begin with, or to drop what is before it."""
        self._messages: deque[Message] = deque()
        self._shots: deque[Shot] = deque()
        self._sides: dict[Kind, Side] = {}
        self._blind = True  # nothing shows before a key frame

    def __len__(self) -> int:
        return len(self._messages) + len(self._shots) + len(self._sides)

    @property
    def frames(self) -> int:
        """Frames that wait."""
        return len(self._shots)

    def tell(self, message: Message) -> bool:
        """Put in a message; False: too many wait already."""
        if isinstance(message, SUPERSEDED):
            for index, waiting in enumerate(self._messages):
                if type(waiting) is type(message):
                    self._messages[index] = message
                    return True
        if len(self._messages) >= MOST_MESSAGES:
            return False
        self._messages.append(message)
        return True

    def show(self, shot: Shot) -> bool:
        """Put in a frame; others, or this one, give way if the connection is too slow.

        Returns:
            False: none may give way, and too many wait already: it acknowledges what it has not
            taken.
        """
        if shot.key:
            self.wants_key = self._blind = False
        elif self._blind:
            return True
        if self.delivery is Delivery.LOSSLESS and len(self._shots) >= MOST_SHOTS:
            return False
        self._shots.append(shot)
        if self.delivery is Delivery.LOSSLESS or len(self._shots) <= self.room:
            return True
        newest = max((i for i, each in enumerate(self._shots) if each.key), default=0)
        for _ in range(newest):
            self._shots.popleft()
        self.dropped += newest
        self.wants_key = len(self._shots) > self.room
        if len(self._shots) > PATIENCE * self.room:
            self.dropped += len(self._shots)
            self._shots.clear()
            self.wants_key = self._blind = True
        return True

    def show_beside(self, side: Side) -> None:
        """Put in a picture beside the video."""
        self._sides[side.kind] = side

    def forget(self) -> None:
        """Drop all pictures, for they belong to what is over; the next one is a key frame."""
        self._shots.clear()
        self._sides.clear()
        self.wants_key = self._blind = True

    def take(self) -> Message | Shot | Side | None:
        """What is to be sent next; None: nothing waits."""
        if self._messages:
            return self._messages.popleft()
        if self._shots:
            return self._shots.popleft()
        if self._sides:
            return self._sides.pop(next(iter(self._sides)))
        return None

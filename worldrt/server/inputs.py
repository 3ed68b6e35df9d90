"""What a person holds, from messages that come early, late, twice or never, to what a block obeys.

The newest message wins, since each tells all that is held. Sans I/O: `now` is seconds of the
server's monotonic clock.
"""

from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.config import MotionConfig
from worldrt.geometry.keys import Keys
from worldrt.geometry.trajectory import axes_of
from worldrt.protocol.requests import Input
from worldrt.protocol.terms import KEYMAP, MAX_INPUTS, SILENCE_S
from worldrt.server.access import Bucket

MOST_LOOK = 90.0
"""Degrees of the mouse that may be left to be turned: what is beyond would be obeyed long after the
hand has come to rest."""

_KNOWN = sum(KEYMAP.values())


class Latched(NamedTuple):
    """What a block obeys."""

    axes: NDArray[np.float64]
    """[F, 4] in -1 to 1: right, ahead, turn right, look up; 1 is one frame of a held key."""
    keys: int
    """Bits of the keys that are held, as in `Input.keys`."""
    seq: int
    """Newest message heeded; 0: none yet."""
    received_us: int
    """When that one came, in microseconds of the server's clock."""


class Inputs:
    """The hands of one person. Messages come on one thread, blocks are made on another.

    - Nothing is held after SILENCE_S without a message, so that a lost release sticks no key.
    - A key that goes down and up between two blocks is held for the next one, and only for it.
    - The mouse asks for an angle, not for a state: it is turned to its end, a turn_step a frame,
      silence or not.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._look_left = np.zeros(2)
        self.rebase()

    def rebase(self) -> None:
        """A new connection: everything is let go, and it counts its messages and degrees anew."""
        with self._lock:
            self._rate = Bucket(MAX_INPUTS)
            self._seq = 0
            self._received = 0.0
            self._look = np.zeros(2)
            self._let_go()

    def release(self) -> None:
        """Everything is let go: the connection is lost, or the walk stands still."""
        with self._lock:
            self._let_go()

    def take(self, message: Input, now: float) -> bool:
        """Heed a message.

        Returns:
            False: it is older than one that was heeded, or one more than MAX_INPUTS a second.
        """
        with self._lock:
            if not self._rate.take(now) or message.seq <= self._seq:
                return False
            self._fall_silent(now)
            self._seq, self._received = message.seq, now
            keys = message.keys & _KNOWN
            self._tapped |= keys & ~self._held
            self._held, self._axes = keys, np.array(message.axes)
            look = np.array(message.look)
            left = self._look_left + look - self._look
            self._look, self._look_left = look, np.clip(left, -MOST_LOOK, MOST_LOOK)
            return True

    def latch(self, now: float, frames: int, motion: MotionConfig) -> Latched:
        """What a block that begins now obeys.

        Args:
            now: when it begins.
            frames: of the block, F.
            motion: what one frame of a held key does.
        """
        with self._lock:
            self._fall_silent(now)
            keys, self._tapped = self._held | self._tapped, 0
            held = np.clip(axes_of((Keys(keys),))[0] + self._axes, -1, 1)
            axes = np.tile(held, (frames, 1))
            for frame in axes:
                # The mouse adds to the keys what still fits in a turn_step.
                turned = np.clip(held[2:] + self._look_left / motion.turn_step, -1, 1)
                self._look_left -= (turned - held[2:]) * motion.turn_step
                frame[2:] = turned
            return Latched(axes, keys, self._seq, round(self._received * 1e6))

    def _fall_silent(self, now: float) -> None:
        if now - self._received > SILENCE_S:
            self._held, self._axes = 0, np.zeros(4)

    def _let_go(self) -> None:
        self._held = self._tapped = 0
        self._axes = np.zeros(4)
        self._look_left = np.zeros(2)

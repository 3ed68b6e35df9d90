"""What a client has to say and when: changes of keys, heartbeats, acknowledgements, requests.

Knows no socket and no clock. Every change of a key is sent, so that a tap is not lost on our side;
turning the mouse adds to what waits; acknowledgements keep the newest only.
"""

from collections import deque

from msgspec.structs import replace

from worldrt.protocol.requests import Ack, Clock, Input
from worldrt.protocol.terms import ACK_S, HEARTBEAT_S, Message

INPUT_US = 10_000
"""Between two inputs, at least: within MAX_INPUTS a second."""
MOST_CHANGES = 64
"""Changes of keys that may wait; beyond, the newest takes the place of the last."""
CLOCKS = (*(100_000,) * 8, 2_000_000)
"""Microseconds between two looks at the server's clock; the last one repeats."""
NEVER = float("inf")
STILL = (0.0, 0.0, 0.0, 0.0)


class Outbox:
    """What is to be sent; all times are microseconds of one clock."""

    def __init__(self) -> None:
        self._seq = 0
        self._held = Input(seq=0, t_us=0)
        self.reset()

    def reset(self) -> None:
        """A new connection: what was meant for the old one is void, but what is held stays so.

        Numbers of inputs go on rising; the mouse begins anew, as the protocol says.
        """
        self._requests: deque[Message] = deque()
        self._changes: deque[Input] = deque()
        self._ack: Ack | None = None
        self._newest = (-1, -1)
        self._said_us = self._acked_us = self._clock_us = NEVER
        self._looks = 0
        self._held = replace(self._held, look=(0.0, 0.0))

    def begin(self, now_us: int) -> None:
        """The server has said its welcome: it may be asked for the time."""
        self._clock_us = now_us

    def go(self, now_us: int) -> None:
        """A walk begins or goes on: it hears of what is held, if anything ever was."""
        self._acked_us = now_us - _ACK_US
        self._said_us = now_us - INPUT_US
        self._changes.clear()
        if self._seq:
            self._changes.append(self._again())

    def ask(self, request: Message) -> None:
        """Send `request` in its turn."""
        self._requests.append(request)

    def hold(
        self,
        now_us: int,
        *,
        keys: int | None = None,
        axes: tuple[float, float, float, float] | None = None,
        turned: tuple[float, float] = (0.0, 0.0),
    ) -> int | None:
        """Change what is held; None: as before. `turned`: degrees right and up.

        Returns:
            The number of the input that will say so; None: it is so already, or nothing but the
            mouse changed.
        """
        old = self._held
        new = Input(
            seq=self._seq + 1,
            t_us=old.t_us,
            keys=old.keys if keys is None else keys,
            axes=old.axes if axes is None else axes,
            look=(old.look[0] + turned[0], old.look[1] + turned[1]),
        )
        changed = (new.keys, new.axes) != (old.keys, old.axes)
        if changed:
            new = replace(new, t_us=now_us)
        elif new.look == old.look:
            return None
        # A turn that only adds to a waiting one, and what is beyond all bounds, take its place.
        if self._changes and (not changed or len(self._changes) >= MOST_CHANGES):
            self._changes.pop()
        self._seq, self._held = new.seq, new
        self._changes.append(new)
        return new.seq if changed else None

    def shown(self, ack: Ack) -> None:
        """Frames were shown; older news than was told already is none."""
        if (ack.epoch, ack.frame) <= self._newest:
            return
        waiting = self._ack.lag_ms if self._ack else None
        if ack.lag_ms is None and waiting is not None:
            ack = replace(ack, lag_ms=waiting)
        self._ack, self._newest = ack, (ack.epoch, ack.frame)

    def take(self, now_us: int) -> list[Message]:
        """What is to be sent now, in this order."""
        found = list(self._requests)
        self._requests.clear()
        if now_us >= self._input_us():
            found.append(self._input(now_us))
        if self._ack is not None and now_us >= self._acked_us + _ACK_US:
            found.append(self._ack)
            self._ack, self._acked_us = None, now_us
        if now_us >= self._clock_us:
            found.append(Clock(t0_us=now_us))
            self._clock_us = now_us + CLOCKS[min(self._looks, len(CLOCKS) - 1)]
            self._looks += 1
        return found

    def next_us(self) -> float:
        """When something will be due if nothing is added; NEVER: not by itself."""
        if self._requests:
            return 0
        acks = NEVER if self._ack is None else self._acked_us + _ACK_US
        return min(self._input_us(), acks, self._clock_us)

    def _input_us(self) -> float:
        if self._changes:
            return self._said_us + INPUT_US
        held = self._held.keys or self._held.axes != STILL
        return self._said_us + _HEARTBEAT_US if held else NEVER

    def _input(self, now_us: int) -> Input:
        self._said_us = now_us
        return self._changes.popleft() if self._changes else self._again()

    def _again(self) -> Input:
        self._seq += 1
        self._held = replace(self._held, seq=self._seq)
        return self._held


_ACK_US = round(ACK_S * 1e6)
_HEARTBEAT_US = round(HEARTBEAT_S * 1e6)

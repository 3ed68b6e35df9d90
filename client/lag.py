"""Motion to photon: from a key to the first frame on the screen that obeys it, stage by stage."""

from collections import deque

import msgspec

from worldrt.client.clock import ServerClock
from worldrt.client.pictures import Frame
from worldrt.protocol.replies import Applied

KEPT = 1000
"""Newest samples that are kept."""
UNSEEN = 256
"""Inputs, and answers to them, that may wait for their frame."""


class Stages(msgspec.Struct, frozen=True):
    """Where the time went, in milliseconds; their sum is the whole."""

    input_ms: float
    """From the key to the server. Half the shortest round trip where a newer input of the same
    block was the one that the server told of."""
    queue_ms: float
    """From there to the beginning of the block."""
    generate_ms: float
    """The block, decoding aside."""
    decode_ms: float
    """From latents to pixels."""
    encode_ms: float
    """From pixels to sending: coding, and waiting for the line."""
    network_ms: float
    buffer_ms: float
    """From arrival to the screen, decoding the picture aside."""
    display_ms: float
    """Decoding the picture."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One key, seen through; times by the client's clock."""

    seq: int
    t_us: int
    """When the key went down or up."""
    shown_us: int
    """When the first frame that obeys it was on the screen."""
    frame: int
    stages: Stages | None = None
    """None: the server's answer had gone missing."""

    @property
    def lag_ms(self) -> float:
        """The whole."""
        return (self.shown_us - self.t_us) / 1e3


class Lags:
    """Pairs inputs with the frames that obey them."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self._pressed: deque[tuple[int, int]] = deque(maxlen=UNSEEN)
        self._applied: dict[int, Applied] = {}
        self.samples: deque[Sample] = deque(maxlen=KEPT)

    def pressed(self, seq: int, t_us: int) -> None:
        """A key went down or up."""
        self._pressed.append((seq, t_us))

    def applied(self, answer: Applied) -> None:
        """The server has told of a block."""
        self._applied[answer.seq] = answer
        while len(self._applied) > UNSEEN:
            del self._applied[next(iter(self._applied))]

    def forget(self) -> None:
        """What was pressed will not be seen: the connection was cut, or another walk began."""
        self._pressed.clear()
        self._applied.clear()

    def shown(self, frame: Frame, now_us: int) -> float | None:
        """A frame is on the screen; returns the lag in ms of the newest key that it obeys first."""
        found = None
        while self._pressed and self._pressed[0][0] <= frame.header.seq:
            seq, t_us = self._pressed.popleft()
            stages = self._stages(seq, t_us, frame, now_us)
            number = frame.header.frame
            found = Sample(seq=seq, t_us=t_us, shown_us=now_us, frame=number, stages=stages)
            self.samples.append(found)
        return None if found is None else found.lag_ms

    def _stages(self, seq: int, t_us: int, frame: Frame, now_us: int) -> Stages | None:
        answer = self._applied.get(frame.header.seq)
        if answer is None:
            return None
        latched, done, sent = (
            self._clock.here(us) for us in (answer.latched_us, answer.done_us, frame.header.sent_us)
        )
        received = t_us + self._clock.round_trip_us // 2
        if answer.seq == seq:
            received = self._clock.here(answer.received_us)
        decode_us = frame.header.decode_ms * 1000
        parts = (
            received - t_us,
            latched - received,
            done - latched - decode_us,
            decode_us,
            sent - done,
            frame.arrived_us - sent,
            now_us - frame.decoded_us,
            frame.decoded_us - frame.arrived_us,
        )
        return Stages(
            **dict(zip(Stages.__struct_fields__, (us / 1e3 for us in parts), strict=True))
        )

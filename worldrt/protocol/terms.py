"""Words that both sides of the wire share: version, limits, codes."""

from enum import IntEnum, StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

VERSION = "worldrt.v1"
"""Subprotocol of the WebSocket, and first entry of `Hello.versions`."""
MAX_MESSAGE = 16 * 1024
"""Bytes of a message to the server, at most."""
MAX_PROMPT = 2000
"""Characters of a prompt, at most."""
MAX_INPUTS = 120
"""Inputs a second, at most; what is beyond is passed over, since the next one says it all."""
MAX_MESSAGES = 240
"""Messages a second of all kinds, at most; more end the connection."""
HELLO_S = 5.0
"""Seconds in which a client must introduce itself."""
HEARTBEAT_S = 0.05
"""Seconds after which a client with a held key says so again."""
SILENCE_S = 0.3
"""Seconds without an input after which the server lets go of all keys."""
ACK_S = 1 / 30
"""Seconds between two acknowledgements, at least."""
MAX_LOOK = 1e6
"""Degrees that a mouse may have turned in all, at most."""
KEYMAP = {letter: 1 << bit for bit, letter in enumerate("WASDIJKL")}
"""Bit of each key of `Input.keys`: WASD move, IJKL look."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Micros: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Name: TypeAlias = Annotated[str, Meta(max_length=200)]
Axis: TypeAlias = Annotated[float, Meta(ge=-1, le=1)]
Degrees: TypeAlias = Annotated[float, Meta(ge=-MAX_LOOK, le=MAX_LOOK)]


class Close(IntEnum):
    """Why the server ends a connection; the reason is a sentence beside it."""

    GOING_AWAY = 1001
    """The server shuts down."""
    TOO_BIG = 1009
    """A message of more than MAX_MESSAGE bytes."""
    VERSION = 4000
    """The client speaks another version."""
    TOKEN = 4001
    """No or a wrong token, or a session that is not there."""
    MALFORMED = 4002
    """A message that is none of the protocol's, or not its turn."""
    RATE = 4003
    """Too many messages."""
    SILENT = 4004
    """No hello in time."""
    IDLE = 4005
    """Nobody pressed a key for too long."""
    LIFETIME = 4006
    """The session was as long as one may be."""
    FULL = 4007
    """Too many wait already."""
    REPLACED = 4008
    """The session goes on in another connection."""
    FAULT = 4009
    """A block could not be made."""
    ENDED = 4010
    """The session that was watched, or left with `bye`, is over."""

    @property
    def retryable(self) -> bool:
        """Whether a client may come back by itself."""
        return self in (Close.GOING_AWAY, Close.FULL)


class Codec(StrEnum):
    """How pictures are coded."""

    JPEG = "jpeg"
    H264 = "h264"


class Delivery(StrEnum):
    """What becomes of frames that a connection is too slow for."""

    LATEST = "latest"
    """They are dropped; control stays fresh."""
    LOSSLESS = "lossless"
    """The world waits for them."""


class State(StrEnum):
    """What became of a request."""

    RECEIVED = "received"
    APPLIED = "applied"
    REFUSED = "refused"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t", tag=str.lower):
    """Base of all messages."""

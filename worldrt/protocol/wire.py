"""Messages as text: written by one encoder, read strictly, refused in a sentence."""

from types import UnionType
from typing import get_args

import msgspec

from worldrt.errors import ProtocolError
from worldrt.protocol.replies import FromServer
from worldrt.protocol.requests import FromClient
from worldrt.protocol.terms import MAX_MESSAGE, Message


class _Tag(msgspec.Struct):
    """The one field that every message has."""

    t: str


class Reader:
    """Reads the messages of one side.

    Args:
        kinds: a union of messages.
        most: bytes of a message.
    """

    def __init__(self, kinds: UnionType, most: int) -> None:
        self._decoder = msgspec.json.Decoder(kinds)
        self._tag = msgspec.json.Decoder(_Tag)
        self._known = {kind.__struct_config__.tag for kind in get_args(kinds)}
        self._most = most

    def __call__(self, text: str | bytes) -> Message | None:
        """The message; None: one that this version does not know, to be passed over.

        Raises:
            ProtocolError: too long, no JSON object with a `t`, or a field that makes no sense.
        """
        try:
            data = text.encode() if isinstance(text, str) else text
            if len(data) > self._most:
                raise ProtocolError(
                    f"A message of {len(data)} bytes was sent; at most {self._most} are allowed."
                )
            tag = self._tag.decode(data).t
            return self._decoder.decode(data) if tag in self._known else None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            # It may quote what was sent, which is no reason to send all of it back.
            raise ProtocolError(f"A message makes no sense ({str(error)[:200]}).") from error


read_from_client = Reader(FromClient, MAX_MESSAGE)
"""What a client sent."""
read_from_server = Reader(FromServer, 2**20)
"""What the server sent."""

_ENCODER = msgspec.json.Encoder()


def write(message: Message) -> str:
    """`message` as the text of a WebSocket frame."""
    return _ENCODER.encode(message).decode()

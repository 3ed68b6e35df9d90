"""One WebSocket: what comes in is read and bounded, what goes out waits in a bounded mailbox."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from worldrt.errors import ProtocolError
from worldrt.protocol.packets import stamped
from worldrt.protocol.replies import ClockIs, Fault
from worldrt.protocol.terms import MAX_MESSAGES, Close, Codec, Delivery, Message
from worldrt.protocol.wire import read_from_client, write
from worldrt.server.access import Bucket, Refusal
from worldrt.server.coding import Shot
from worldrt.server.mailbox import Mailbox, Side

UNSENT = 64 * 1024
"""Bytes that the system may hold unsent: what is beyond waits where it can still give way."""
ROOM = 8
"""Frames that may wait until it is known how many a block has."""
STALL_S = 20.0
"""Seconds in which a client must take something of what is sent. A ping does not find out: it waits
in the same line."""
FAREWELL_S = 1.0
"""Seconds that a last message may take; who does not read it gets the close alone."""


CLOSE_S = 3.0
"""Seconds that a client has to answer a close."""
GONE = (ConnectionClosed, TimeoutError)
"""What is raised when a client is not there any more."""


class Leave(Exception):
    """Ends a connection from inside its conversation."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(*refusal)


class Link:
    """A connection, used on the loop only.

    Args:
        connection: opened.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.mailbox = Mailbox(ROOM, Delivery.LATEST)
        self.codecs: tuple[Codec, ...] = (Codec.JPEG,)
        """Those that the client shows, the best first."""
        self.codec = Codec.JPEG
        self.depth = self.plan = False
        """What is sent beside the frames."""
        self._connection = connection
        self._filled = asyncio.Event()
        self._rate = Bucket(MAX_MESSAGES)
        self._leaving: asyncio.Future[Refusal] = asyncio.get_running_loop().create_future()
        raw: socket.socket = connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # not on every system
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def tell(self, message: Message) -> None:
        """Send a message as soon as may be."""
        if self.mailbox.tell(message):
            self._filled.set()
        else:
            self.leave(Refusal(Close.RATE, "The client does not read what it is sent."))

    def show(self, shot: Shot) -> None:
        """Send a frame as soon as may be."""
        if self.mailbox.show(shot):
            self._filled.set()
        else:
            self.leave(Refusal(Close.RATE, "The client does not read what it is sent."))

    def show_beside(self, side: Side) -> None:
        """Send a picture beside the video when nothing else waits."""
        self.mailbox.show_beside(side)
        self._filled.set()

    def offer(self, codecs: Sequence[str]) -> None:
        """The client shows these, the best first; unknown ones are passed over."""
        known = tuple(Codec(name) for name in codecs if name in list(Codec))
        self.codecs = known or self.codecs
        self.codec = self.codecs[0]

    def use(self, codec: Codec) -> bool:
        """Send pictures in `codec` from now on, if the client shows it; whether that is a change.

        Those that wait are dropped, and must be shown again: what is never shown is never
        acknowledged, and the world would wait for it.
        """
        changes = codec in self.codecs and codec is not self.codec
        if changes:
            self.codec = codec
            self.mailbox.forget()
        return changes

    def leave(self, refusal: Refusal) -> None:
        """End the connection with a sentence; the first one counts."""
        if not self._leaving.done():
            self._leaving.set_result(refusal)

    @property
    def refusal(self) -> Refusal | None:
        """Why the server ended the connection; None: it did not."""
        return self._leaving.result() if self._leaving.done() else None

    async def run(self, conversation: Awaitable[None]) -> None:
        """Hold a conversation until it, the connection or the server's patience ends.

        Args:
            conversation: reads with `read` and `messages`; it may raise Leave.
        """
        talking = asyncio.ensure_future(conversation)
        sending = asyncio.create_task(self._send())
        tasks: set[asyncio.Future] = {talking, sending, self._leaving}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in (talking, sending):
            task.cancel()
        results = await asyncio.gather(talking, sending, return_exceptions=True)
        unexpected = None
        for result in results:
            if isinstance(result, Leave):
                self.leave(result.refusal)
            elif isinstance(result, Exception) and not isinstance(result, GONE):
                unexpected = result
        if unexpected:
            self.leave(Refusal(Close.FAULT, "The server failed; its log tells how."))
        if self.refusal:
            await self._say_farewell(self.refusal)
        self._connection.transport.abort()  # nobody waits for one who does not answer
        if unexpected:
            raise unexpected

    async def wait_closed(self) -> None:
        """Until the connection is closed."""
        await self._connection.wait_closed()

    async def read(self) -> Message:
        """The next message that this version knows.

        Raises:
            Leave: there was one that makes no sense, or too many.
            ConnectionClosed: there is none any more.
        """
        while True:
            text = await self._connection.recv()
            if not self._rate.take(time.monotonic()):
                raise Leave(
                    Refusal(Close.RATE, f"More than {MAX_MESSAGES} messages a second were sent.")
                )
            if isinstance(text, bytes):
                raise Leave(Refusal(Close.MALFORMED, "A client sends text, no binary messages."))
            try:
                message = read_from_client(text)
            except ProtocolError as error:
                raise Leave(Refusal(Close.MALFORMED, str(error))) from error
            if message is not None:
                return message

    async def messages(self) -> AsyncIterator[Message]:
        """Messages until the connection ends; see `read`."""
        while True:
            yield await self.read()

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while (waiting := self.mailbox.take()) is not None:
                async with asyncio.timeout(STALL_S):
                    await self._connection.send(self._written(waiting))

    def _written(self, waiting: Message | Shot | Side) -> str | bytearray:
        now = time.monotonic()
        if isinstance(waiting, ClockIs):
            waiting = msgspec.structs.replace(waiting, t2_us=micros(now))
        if isinstance(waiting, Message):
            return write(waiting)
        queued = now - waiting.since
        return stamped(waiting.packet, micros(now), max(1000 * queued, 0.0))

    async def _say_farewell(self, refusal: Refusal) -> None:
        fault = Fault(code=refusal.code, text=refusal.why, retryable=refusal.code.retryable)
        with suppress(*GONE):
            async with asyncio.timeout(FAREWELL_S):
                await self._connection.send(write(fault))
        with suppress(*GONE):
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close(refusal.code, short(refusal.why))


def micros(seconds: float) -> int:
    """A time of the monotonic clock as the wire tells it."""
    return round(seconds * 1e6)


def short(reason: str) -> str:
    """As much of a sentence as fits into a close: 123 bytes of UTF-8."""
    return reason.encode()[:123].decode(errors="ignore")

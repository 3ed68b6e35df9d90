"""A connection to a server, taken up again when it is cut."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from worldrt.client.outbox import NEVER, Outbox
from worldrt.errors import ConfigError, ServerError
from worldrt.protocol.packets import HEADER, MOST_PAYLOAD, Packet, read_packet
from worldrt.protocol.replies import Fault, Welcome
from worldrt.protocol.requests import Hello
from worldrt.protocol.terms import VERSION, Message
from worldrt.protocol.wire import read_from_server, write

BACK_OFF_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before another try; the last one repeats."""

_log = logging.getLogger(__name__)


def micros() -> int:
    """Our clock."""
    return time.monotonic_ns() // 1000


class Link:
    """Moves messages between a server and a walk.

    Args:
        url: ws:// or wss://.
        hello: the first thing to say.
        outbox: what else there is to say.
        hear: told of each message, and when it came.
        see: told of each packet; while it waits, nothing more is read.
        cut: told that the connection is gone and another one will be tried.
        again: whether to take the session up again after a cut.
    """

    def __init__(
        self,
        url: str,
        hello: Hello,
        outbox: Outbox,
        *,
        hear: Callable[[Message, int], None],
        see: Callable[[Packet, int], Awaitable[None]],
        cut: Callable[[], None],
        again: bool,
    ) -> None:
        self._url = url
        self._hello = hello
        self._outbox = outbox
        self._hear, self._see, self._cut = hear, see, cut
        self._again = again
        self._wake = asyncio.Event()
        self._welcome: Welcome | None = None
        self._tries = 0

    def wake(self) -> None:
        """There is something in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Hold the connection until the server ends it or cannot be reached any more.

        Raises:
            ServerError: always, at the end; with the server's sentence and code if it gave one.
            ProtocolError: the server talks nonsense.
            ConfigError: the address makes no sense.
        """
        while True:
            try:
                async with connect(
                    self._url,
                    subprotocols=[Subprotocol(VERSION)],
                    compression=None,
                    max_size=HEADER.size + MOST_PAYLOAD,
                ) as socket:
                    await self._talk(socket)
                    why = "it was closed"
            except InvalidURI as error:
                raise ConfigError(
                    f"{self._url!r} is no address of a server; write ws://host:port."
                ) from error
            except ConnectionClosed as end:
                if end.rcvd is not None:
                    raise self._ended(end.rcvd.code, end.rcvd.reason) from end
                why = "it was cut"
            except (OSError, InvalidHandshake) as error:
                why = str(error) or type(error).__name__
            await self._wait(why)

    async def _wait(self, why: str) -> None:
        """Wait before the next try."""
        if self._welcome is None:
            raise ServerError(
                f"{self._url} can't be reached ({why}); does `worldrt serve` run there?"
            )
        if not self._again or not self._hello.resume:
            raise ServerError(f"The connection to {self._url} is gone ({why}).")
        if self._tries == 0:
            self._gone_us = micros()
            self._cut()
            _log.warning("The connection to %s is gone (%s); trying again.", self._url, why)
        patience_s = self._welcome.limits.detach_s
        if micros() - self._gone_us > patience_s * 1e6:
            raise ServerError(
                f"{self._url} could not be reached again within {patience_s:g} s ({why})."
            )
        await asyncio.sleep(BACK_OFF_S[min(self._tries, len(BACK_OFF_S) - 1)])
        self._tries += 1

    def _ended(self, code: int, reason: str) -> ServerError:
        fault = self._fault
        text = fault.text if fault is not None and fault.code == code else reason
        return ServerError(text or f"{self._url} ended the connection with code {code}.", code)

    async def _talk(self, socket: ClientConnection) -> None:
        self._fault: Fault | None = None
        self._outbox.reset()
        await socket.send(write(self._hello))
        tasks = [asyncio.create_task(work(socket)) for work in (self._receive, self._send)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, socket: ClientConnection) -> None:
        while True:
            data = await socket.recv()
            now_us = micros()
            if isinstance(data, bytes):
                await self._see(read_packet(data), now_us)
                continue
            message = read_from_server(data)
            if isinstance(message, Fault):
                self._fault = message
            if isinstance(message, Welcome):
                self._greet(message, now_us)
            if message is not None:
                self._hear(message, now_us)

    def _greet(self, welcome: Welcome, now_us: int) -> None:
        self._welcome = welcome
        self._hello = replace(self._hello, resume=welcome.resume)
        self._outbox.begin(now_us)
        self._tries = 0
        self.wake()

    async def _send(self, socket: ClientConnection) -> None:
        while True:
            now_us = micros()
            for message in self._outbox.take(now_us):
                await socket.send(write(message))
            due_us = self._outbox.next_us()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due_us == NEVER else (due_us - micros()) / 1e6):
                    await self._wake.wait()
            self._wake.clear()

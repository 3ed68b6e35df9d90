"""A server in a test, and guests of it whose messages are sent and read by hand."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed

from worldrt.protocol import replies, requests
from worldrt.protocol.packets import Kind, Packet, read_packet
from worldrt.protocol.terms import VERSION, Message
from worldrt.protocol.wire import read_from_server, write
from worldrt.server.app import App, running
from worldrt.server.house import Serving


class Guest:
    """A connection to a server."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.packets: list[Packet] = []
        """Pictures that were not looked at yet."""
        self.messages: list[Message] = []
        """Messages that were not heard yet."""

    async def say(self, *messages: Message) -> None:
        for message in messages:
            await self.connection.send(write(message))

    async def hear(self, kind: type[Message], holds: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first message of a kind that was not heard before."""
        while True:
            for index, message in enumerate(self.messages):
                if isinstance(message, kind) and holds(message):
                    return self.messages.pop(index)
            await self._take()

    async def packet(self, kind: Kind = Kind.VIDEO) -> Packet:
        """The next picture of a kind."""
        while True:
            for index, packet in enumerate(self.packets):
                if packet.header.kind is kind:
                    return self.packets.pop(index)
            await self._take()

    async def walk(self, frames: int) -> list[Packet]:
        """The next frames, each acknowledged when it comes."""
        found = []
        for _ in range(frames):
            packet = await self.packet()
            head = packet.header
            await self.say(requests.Ack(epoch=head.epoch, frame=head.frame, shown_us=1))
            found.append(packet)
        return found

    async def begin(self, **wishes: Any) -> replies.Ready:
        """Begin a walk."""
        await self.say(requests.Start(**wishes))
        return await self.hear(replies.Ready)

    async def _take(self) -> None:
        data = await self.connection.recv()
        if isinstance(data, bytes):
            self.packets.append(read_packet(data))
        else:
            message = read_from_server(data)
            assert message is not None
            self.messages.append(message)

    async def closed(self) -> tuple[int, str]:
        """The code and the sentence that the server ends the connection with."""
        try:
            while True:
                await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code or 0, self.connection.close_reason or ""


def live(
    work: Callable[[App], Awaitable[None]], world: Path, limit_s: float = 60, **wishes: Any
) -> None:
    """Run `work` beside a server that leaves no thread behind."""

    async def bounded() -> None:
        options = {"port": 0, "context_frames": 0, "world": str(world)} | wishes
        async with asyncio.timeout(limit_s), running(Serving(**options)) as app:
            await work(app)

    before = set(threading.enumerate())
    asyncio.run(bounded())
    left = set(threading.enumerate()) - before
    assert not left, left


@asynccontextmanager
async def guest(app: App, hello: bool = True, **words: Any) -> AsyncIterator[Guest]:
    """A guest, that has said hello unless it is told not to."""
    url = app.url.replace("http", "ws", 1)
    async with dial(url, compression=None, max_size=None, max_queue=None) as connection:
        one = Guest(connection)
        if hello:
            await one.say(requests.Hello(versions=(VERSION,), **words))
        yield one

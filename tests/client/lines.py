"""Bad lines between a client and a server: cut, slow, late, and forgetful."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from worldrt.protocol.requests import Input
from worldrt.protocol.terms import VERSION
from worldrt.protocol.wire import read_from_client


class Line:
    """Passes bytes on to a server, as badly as it is told to; attributes may change at any time.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.delay_s = 0.0
        """Each way."""
        self.bytes_per_s = float("inf")
        """From the server."""
        self.budget: float = float("inf")
        """Bytes from the server after which all connections are cut."""
        self.calls = self.passed = 0
        """Connections, and bytes from the server since the beginning."""

    def cut(self) -> None:
        """All connections break off."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self.cut()
            server.close()
            await server.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, to_server}
        with suppress(ConnectionError):
            await asyncio.gather(
                self._pass(reader, to_server, False), self._pass(from_server, writer, True)
            )
        self._writers -= {writer, to_server}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, down: bool
    ) -> None:
        while data := await reader.read(512):
            if down:
                self.passed += len(data)
                self.budget -= len(data)
                if self.budget < 0:
                    self.budget = float("inf")
                    self._later(writer.write, data[: len(data) // 2])
                    self._later(self.cut)
                    return
                await asyncio.sleep(len(data) / self.bytes_per_s)
            self._later(writer.write, data)
        self._later(writer.close)

    def _later(self, act: Callable[..., object], *arguments: object) -> None:
        """After the delay; without one at once, since timers of one moment have no order."""
        if self.delay_s:
            asyncio.get_running_loop().call_later(self.delay_s, act, *arguments)
        else:
            act(*arguments)


@asynccontextmanager
async def forgetful(port: int, seed: int, share: float) -> AsyncIterator[str]:
    """A relay that loses, doubles and swaps inputs, each for `share` of them; its address."""
    random = Random(seed)

    async def relay(client: ServerConnection) -> None:
        versions = [Subprotocol(VERSION)]
        url = f"ws://127.0.0.1:{port}"
        async with connect(url, subprotocols=versions, compression=None) as server:

            async def down() -> None:
                async for data in server:
                    await client.send(data)

            async def up() -> None:
                late: str | bytes | None = None
                async for data in client:
                    fate = random.random() if isinstance(read_from_client(data), Input) else 1.0
                    if fate < share:
                        continue
                    if fate < 2 * share and late is None:
                        late = data
                        continue
                    await server.send(data)
                    if 2 * share <= fate < 3 * share:
                        await server.send(data)
                    if late is not None:
                        await server.send(late)
                        late = None

            with suppress(ConnectionClosed):
                await asyncio.gather(down(), up())

    async with serve(
        relay, "127.0.0.1", 0, subprotocols=[Subprotocol(VERSION)], compression=None
    ) as server:
        port_here = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port_here}"

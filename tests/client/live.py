"""A live server in a thread, and a wire to it that can be cut or held up."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from worldrt.server.app import App, running
from worldrt.server.house import Serving


class Wire:
    """Passes bytes between browsers and a server; used from any thread.

    Args:
        loop: that it lives on.
        port: of the server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self._loop, self._port = loop, port
        self._through = asyncio.Event()
        self._through.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def hold(self) -> None:
        """Nothing of the server comes through any more."""
        self._loop.call_soon_threadsafe(self._through.clear)

    def let_go(self) -> None:
        """What was held up comes through, and all that follows."""
        self._loop.call_soon_threadsafe(self._through.set)

    def cut(self) -> None:
        """All connections break off, in the middle of a message if need be."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, to_server}
        await asyncio.gather(
            self._pass(reader, to_server, None), self._pass(from_server, writer, self._through)
        )
        self._writers -= {writer, to_server}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event | None
    ) -> None:
        try:
            while data := await reader.read(2**16):
                if gate:
                    await gate.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # cut: the other side is told below
        writer.close()


@contextmanager
def live(serving: Serving) -> Iterator[tuple[App, Wire]]:
    """A server that has loaded its world, and a wire to it."""
    loop = asyncio.new_event_loop()
    up: Future[tuple[App, Wire]] = Future()
    done = asyncio.Event()

    async def serve() -> None:
        async with running(serving) as app:
            await app.loaded
            wire = Wire(loop, int(app.url.rstrip("/").rpartition(":")[2]))
            async with await wire.listen():
                up.set_result((app, wire))
                await done.wait()
                wire._cut()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            up.set_exception(error)

    thread = Thread(target=work)
    thread.start()
    try:
        yield up.result(120)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(30)
        loop.close()

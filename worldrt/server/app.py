"""The server: one port for pages and WebSockets, from the first connection to the last farewell."""

import asyncio
import gc
import logging
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from worldrt import __version__
from worldrt.errors import ServerError
from worldrt.protocol.requests import Hello
from worldrt.protocol.terms import HELLO_S, MAX_MESSAGE, Close
from worldrt.server.access import Door, Refusal, refuses_version, subprotocol
from worldrt.server.desk import Desk
from worldrt.server.engine import Engine
from worldrt.server.house import House, Loaded, Serving, load
from worldrt.server.lag import LoopLag
from worldrt.server.link import CLOSE_S, FAREWELL_S, Leave, Link
from worldrt.server.lobby import Lobby
from worldrt.server.metrics import Metrics
from worldrt.server.pages import Health, Pages, read_viewer, refusal
from worldrt.server.progress import Progress
from worldrt.server.recording import Shelf
from worldrt.server.walk import Walk

log = logging.getLogger(__name__)
TICK_S = 0.5
"""Seconds between two rounds of telling how things go."""
WORLD_S = 3.0
"""Seconds that loading a world is guessed to take."""
OPEN_S = 30.0
"""Seconds that a handshake, a page or a recording may take."""
PING_S = 20.0
"""Seconds between two pings, and in which each is to be answered."""


class App:
    """What a running server does with its connections.

    Args:
        house: what its walks share.
    """

    def __init__(self, house: House, door: Door) -> None:
        self.url = ""
        """Where its page is."""
        self.loading: asyncio.Task[None]
        """What `load` does."""
        self._house, self._door = house, door
        self._pages = Pages({}, house.shelf, self.health, house.metrics.text)
        self._links: set[Link] = set()
        self._desks: dict[str, tuple[Walk, Desk]] = {}
        self.lag = LoopLag(house.metrics.lag.observe)
        self._loading = Progress(WORLD_S)
        self._loading.stage = f"Loading the world {house.serving.world!r}"

    @property
    def loaded(self) -> asyncio.Future[Loaded]:
        """The world, once it is there."""
        return self._house.world

    def health(self) -> Health:
        """How the server is."""
        lobby = self._house.lobby
        return Health(
            status="ok" if self._house.world.done() else "loading",
            version=__version__,
            sessions=len(lobby.seated),
            queue=len(lobby.queue),
            spectators=sum(len(walk.spectators) for walk, _ in self._desks.values()),
            loop_lag_p99_ms=1000 * self.lag.percentile(0.99),
        )

    async def knock(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request for a page; None: it is a WebSocket that may come in."""
        hosts, origins, upgrades = map(request.headers.get_all, ("Host", "Origin", "Upgrade"))
        if len(hosts) != 1 or len(origins) > 1:
            return refusal(HTTPStatus.BAD_REQUEST, "A request names one host and one origin.")
        why = self._door.refuses(hosts[0], next(iter(origins), None))
        if why:
            return refusal(HTTPStatus.FORBIDDEN, why)
        if "websocket" not in (upgrade.lower() for upgrade in upgrades):
            return await self._pages.answer(request)
        return None

    async def attend(self, connection: ServerConnection) -> None:
        """Serve a WebSocket until it ends."""
        link = Link(connection)
        self._links.add(link)
        figures = self._house.metrics
        try:
            await link.run(self._converse(link))
        finally:
            self._links.discard(link)
            figures.dropped.inc(link.mailbox.dropped)
            if link.refusal:
                figures.closed.labels(link.refusal.code.name.lower()).inc()

    async def _converse(self, link: Link) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                hello = await link.read()
        except TimeoutError:
            why = f"No hello came within {HELLO_S:g} s."
            raise Leave(Refusal(Close.SILENT, why)) from None
        if not isinstance(hello, Hello):
            raise Leave(Refusal(Close.MALFORMED, "The first message must be a hello."))
        refused = refuses_version(hello.versions)
        if refused:
            raise Leave(refused)
        if not self._door.admits(hello.token):
            raise Leave(Refusal(Close.TOKEN, "This server asks for a token, and not for that one."))
        link.offer(hello.codecs)
        loaded = await self._world(link)
        if loaded is None:
            return
        link.mailbox.room = 2 * loaded.info.block_frames
        walk, desk = self._enter(link, hello, loaded)
        try:
            async for message in link.messages():
                desk.take(link, message, time.monotonic())
        finally:
            walk.detach(link, time.monotonic())

    def _enter(self, link: Link, hello: Hello, loaded: Loaded) -> tuple[Walk, Desk]:
        """The walk that a client came for, which it has joined."""
        house, now = self._house, time.monotonic()
        if hello.watch or hello.resume:
            name = (
                house.watches.find(hello.watch) if hello.watch else house.resumes.find(hello.resume)
            )
            if name not in self._desks:
                raise Leave(Refusal(Close.TOKEN, "That session is over, or never was."))
            walk, desk = self._desks[name]
            if hello.watch:
                walk.watch(link)
            else:
                walk.attach(link, now)
            return walk, desk
        name = secrets.token_hex(4)
        refused = house.lobby.enter(name, now)
        if refused:
            raise Leave(refused)
        walk = Walk(name, house, loaded, self._forget)
        desk = Desk(walk, house)
        self._desks[name] = walk, desk
        log.info("session %s begins", name)
        walk.attach(link, now)
        walk.tick(now, 0)
        return walk, desk

    def _forget(self, walk: Walk) -> None:
        self._house.lobby.leave(walk.name)
        self._house.resumes.revoke(walk.name)
        self._house.watches.revoke(walk.name)
        del self._desks[walk.name]

    async def _world(self, link: Link) -> Loaded | None:
        """The world; while it is being loaded, the client hears how far it is. None: it has gone
        meanwhile, and must not take a place."""
        world = self._house.world
        closed = asyncio.ensure_future(link.wait_closed())
        try:
            while not (world.done() or closed.done()):
                link.tell(self._loading.message())
                await asyncio.wait(
                    {world, closed}, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED
                )
            if closed.done():
                return None
        finally:
            closed.cancel()
        return await asyncio.shield(world)

    async def load(self) -> None:
        """Read the viewer, load the world and prepare a walk, all beside the loop.

        Raises:
            WorldrtError: one of them can't be done.
        """
        self._pages.table.update(await asyncio.to_thread(read_viewer))
        house = self._house
        try:
            loaded = await load(house.serving, house.engine)
        except Exception as error:
            house.world.set_exception(error)
            raise
        house.world.set_result(loaded)
        await loaded.opener.wait_prepared()

    async def tick(self) -> None:
        """Send away whose time is up, let in who waits, tell all how it goes."""
        house = self._house
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            gone, seated = house.lobby.tick(now)
            for name, why in gone:
                self._desks[name][0].end(why)
            for name in seated:
                self._desks[name][0].admitted()
            rss = house.metrics.resident_bytes()
            for walk, _ in tuple(self._desks.values()):
                walk.tick(now, rss)
            health = self.health()
            house.metrics.sessions.set(health.sessions)
            house.metrics.queue.set(health.queue)
            house.metrics.spectators.set(health.spectators)

    def close(self) -> None:
        """Say farewell to all, and end all sessions."""
        farewell = Refusal(Close.GOING_AWAY, "The server is shutting down.")
        for link in self._links:
            link.leave(farewell)
        for walk, _ in tuple(self._desks.values()):
            walk.end(farewell)


@asynccontextmanager
async def running(serving: Serving, door: socket.socket | None = None) -> AsyncIterator[App]:
    """A server that listens; in the end it says farewell to all and leaves nothing behind.

    Args:
        serving: how.
        door: where it listens instead of at the host and port; it listens already.

    Raises:
        ServerError: the port is taken, or a host that others reach is open to all.
    """
    guard = Door(
        serving.host, token=serving.token, origins=serving.origins, insecure=serving.insecure
    )
    engine, shelf = Engine(serving.threads), Shelf()
    lobby = Lobby(
        serving.places, serving.waiting, serving.idle_s, serving.lifetime_s, serving.detach_s
    )
    world: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
    house = House(serving, engine, lobby, Metrics(), shelf, world)
    app = App(house, guard)
    tasks: list[asyncio.Task[None]] = []
    try:
        server = await _listen(app, serving, door)
        host = f"[{serving.host}]" if ":" in serving.host else serving.host
        app.url = f"http://{host}:{server.sockets[0].getsockname()[1]}/"
        app.loading = asyncio.create_task(app.load())
        tasks += [app.loading, *map(asyncio.create_task, (app.tick(), app.lag.watch()))]
        try:
            yield app
        finally:
            app.close()
            server.close(close_connections=False)
            await _last(server)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if world.done() and not world.exception():
            await world.result().opener.close()
        await asyncio.to_thread(engine.close)
        for pool in (house.coders, house.sketcher):
            pool.shutdown()
        shelf.close()


async def _last(server: Server) -> None:
    """Wait for the farewells, and no longer: a browser holds connections open that say nothing."""
    try:
        async with asyncio.timeout(FAREWELL_S + CLOSE_S):
            await server.wait_closed()
    except TimeoutError:
        for task in server.handler_tasks:
            task.cancel()
        await server.wait_closed()


async def run(
    serving: Serving, listening: Callable[[str], None], door: socket.socket | None = None
) -> None:
    """Serve until the process is asked to end.

    Args:
        serving: how.
        listening: told the URL of the page.
        door: as for `running`.

    Raises:
        ServerError: as `running`.
        WorldrtError: the world can't be loaded.
    """
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    async with running(serving, door) as app:
        listening(app.url)
        ends = asyncio.create_task(asked.wait())
        await asyncio.wait({ends, app.loading}, return_when=asyncio.FIRST_COMPLETED)
        if app.loading.done():
            app.loading.result()
        gc.freeze()  # what is there now stays: to look through it for garbage holds up the loop
        await ends


def _subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    spoken = subprotocol(offered)
    return None if spoken is None else Subprotocol(spoken)


async def _listen(app: App, serving: Serving, door: socket.socket | None) -> Server:
    try:
        return await serve(
            app.attend,
            None if door else serving.host,
            None if door else serving.port,
            sock=door,
            process_request=app.knock,
            select_subprotocol=_subprotocol,
            compression=None,
            max_size=MAX_MESSAGE,
            max_queue=32,
            open_timeout=OPEN_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            server_header=None,
        )
    except OSError as error:
        raise ServerError(
            f"{serving.host}:{serving.port} can't be listened at ({error.strerror}); choose "
            "another --port or --host."
        ) from error

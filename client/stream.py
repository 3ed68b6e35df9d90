"""Walk in a running world from Python.

    async with connect("ws://127.0.0.1:8765", start="hall", seed=7) as walk:
        walk.hold("W")
        async for chunk in walk:
            print(chunk.poses[-1], chunk.frames.shape)

A chunk counts as shown when it is taken: the server runs ahead of that by `max_lead_ms` at most, so
that a script that stops to think stops the world. With `realtime=True` frames are shown by the
clock, as on a screen, whether somebody takes them or not.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from worldrt.client.asking import Requests
from worldrt.client.chunk import Chunk
from worldrt.client.clock import ServerClock
from worldrt.client.lag import Lags, Sample
from worldrt.client.link import Link, micros
from worldrt.client.outbox import Outbox
from worldrt.client.player import Player
from worldrt.client.screen import Screen
from worldrt.errors import ConfigError, ServerError, WorldrtError
from worldrt.protocol import replies, requests
from worldrt.protocol.packets import Kind, Packet
from worldrt.protocol.terms import VERSION, Close, Codec, Delivery, Message

PARTING_S = 2.0
"""Seconds that the server has to answer a `Bye`."""

_log = logging.getLogger(__name__)
_Waiting = Callable[[replies.Queue | replies.Loading], None]


def connect(
    url: str,
    *,
    start: str = "",
    seed: int = 0,
    policy: str = "",
    token: str = "",
    resume: str = "",
    watch: str = "",
    codec: Codec = Codec.JPEG,
    max_lead_ms: int | None = None,
    delivery: Delivery | None = None,
    depth: bool = False,
    plan: bool = False,
    realtime: bool = False,
    reconnect: bool = True,
    waiting: _Waiting | None = None,
) -> "Walk":
    """A walk on the server at `url`, to be entered by `async with`.

    Args:
        url: ws:// or wss://, host and port.
        start: a start of the world; empty: its first.
        seed: of the noise, 0 to 2**53 - 1.
        policy: of the cache; empty: the world's own.
        token: what the server's host gave out, if it asks for one.
        resume: what `Walk.detach` gave: the walk goes on where it was.
        watch: `Walk.welcome.watch` of another walk, to look on; it can't be acted upon.
        codec: how pictures come.
        max_lead_ms: frames ahead of what was taken, 50 to 10,000; one block always may be.
        delivery: what becomes of frames that the line is too slow for; None: as the server likes.
        depth: ask for each frame's depth.
        plan: ask for the floor plan and the recalled frames.
        realtime: show frames by the clock; False: a frame is shown when it is taken.
        reconnect: take the walk up again when the connection is cut.
        waiting: told of the queue and of what is being loaded, before the walk begins.

    Raises:
        ServerError: on entering, taking a chunk or asking: it can't be reached, or ends the
            connection; with its sentence and code.
        ProtocolError: it talks nonsense.
        ConfigError: `url` is no address.
    """
    hello = requests.Hello(
        versions=(VERSION,), token=token, resume=resume, watch=watch, codecs=(codec, Codec.JPEG)
    )
    settings = requests.Settings(
        max_lead_ms=max_lead_ms, delivery=delivery, codec=codec, depth=depth, plan=plan
    )
    begin = None if resume or watch else requests.Start(start=start, seed=seed, policy=policy)
    return Walk(url, hello, settings, begin, realtime, reconnect, waiting)


class Walk(Requests):
    """A walk in a running world; made by `connect`."""

    def __init__(
        self,
        url: str,
        hello: requests.Hello,
        settings: requests.Settings,
        begin: requests.Start | None,
        realtime: bool,
        reconnect: bool,
        waiting: _Waiting | None,
    ) -> None:
        self.clock = ServerClock()
        """The server's."""
        self._lags = Lags(self.clock)
        outbox = Outbox()
        link = Link(
            url, hello, outbox, hear=self._hear, see=self._see, cut=self._cut, again=reconnect
        )
        super().__init__(url, outbox, link.wake, Player(self._lags, realtime, self._acknowledge))
        self._link = link
        self._settings = settings
        self._begin = begin
        self._realtime = realtime
        self._waiting = waiting
        self._parting = False
        self._tasks: list[asyncio.Task[None]] = []
        self.welcome: replies.Welcome
        """What the server is, its world and limits."""
        self.stats: replies.Stats | None = None
        """How it goes, as the server said last."""
        self.paused = False
        self.plan: Packet | None = None
        """The newest floor plan, if asked for."""
        self.recalled: Packet | None = None
        """What the memory found last, if asked for."""
        self.seq = 0
        """Newest change of what is held; a chunk whose `seq` has reached it obeys it."""

    # Walking.

    def hold(self, keys: str) -> None:
        """Hold these keys from now on and no others: `W`, `WJ`; empty lets go of all.

        Raises:
            ConfigError: a key that the world does not know.
        """
        bits = 0
        for letter in keys.upper():
            if letter not in self.welcome.keymap:
                raise ConfigError.unknown("key", letter, self.welcome.keymap)
            bits |= self.welcome.keymap[letter]
        self._hold(keys=bits)

    def stick(
        self, right: float = 0.0, ahead: float = 0.0, turn: float = 0.0, up: float = 0.0
    ) -> None:
        """Hold the sticks like this from now on, each -1 to 1; they are added to the keys."""
        self._hold(axes=(right, ahead, turn, up))

    def look(self, right: float, up: float = 0.0) -> None:
        """Turn by so many degrees, as with a mouse."""
        self._hold(turned=(right, up))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk.

        Raises:
            ServerError: the server has ended the connection or is gone.
        """
        chunk = await self._player.take()
        if chunk is not None:
            return chunk
        assert self._over is not None
        if isinstance(self._over, ServerError) and self._over.code == Close.ENDED:
            raise StopAsyncIteration
        raise self._over

    # How it goes.

    @property
    def samples(self) -> Sequence[Sample]:
        """The newest keys, each from pressing to showing."""
        return self._lags.samples

    @property
    def screen(self) -> Screen | None:
        """What shows the frames, with `realtime`."""
        return self._player.screen

    @property
    def dropped(self) -> int:
        """Frames of this connection that were never shown."""
        return self._player.dropped

    # Coming and going.

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._run())]
        if self._realtime:
            self._tasks.append(asyncio.create_task(self._player.play()))
        try:
            await self._answers.expect(replies.Ready, lambda said: True)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._over is None and self.welcome.driver:
            self._parting = True
            self._ask(requests.Bye())
            self._player.hurry(True)
            await asyncio.wait(self._tasks[:1], timeout=PARTING_S)
        await self._leave()

    async def detach(self) -> str:
        """Go and leave the walk standing; returns what takes it up again, for `connect(resume=)`.

        It waits for `welcome.limits.detach_s` seconds.
        """
        await self._leave()
        return self.welcome.resume

    async def _leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _run(self) -> None:
        try:
            await self._link.run()
        except WorldrtError as error:
            self._over = error
        finally:
            self._over = self._over or ServerError(
                f"The connection to {self._url} is closed.", Close.ENDED
            )
            self._answers.fail(self._over)
            self._player.end()

    def _cut(self) -> None:
        self._answers.fail(ServerError("The connection was cut before the server answered."))
        self._lags.forget()

    # What is said.

    def _hold(
        self,
        *,
        keys: int | None = None,
        axes: tuple[float, float, float, float] | None = None,
        turned: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        now_us = micros()
        seq = self._outbox.hold(now_us, keys=keys, axes=axes, turned=turned)
        if seq is not None:
            self.seq = seq
            self._lags.pressed(seq, now_us)
        self._wake()

    def _acknowledge(self, ack: requests.Ack) -> None:
        if self.welcome.driver:
            self._outbox.shown(ack)
            self._wake()

    # What is heard and seen.

    def _hear(self, message: Message, now_us: int) -> None:
        match message:
            case replies.Welcome():
                self._arrive(message)
            case replies.Queue() | replies.Loading():
                if self._waiting is not None:
                    self._waiting(message)
            case replies.Ready():
                self._set_out(message, now_us)
            case replies.Applied():
                self._lags.applied(message)
            case replies.ClockIs():
                self.clock.take(message, now_us)
            case replies.Stats():
                self.stats = message
            case replies.Paused():
                self._stand(message.paused)
            case replies.Event():
                _log.info(message.text)
            case replies.Fault():
                _log.info(message.text)
                self._answers.fail(ServerError(message.text, message.code))
            case _:
                pass
        self._answers.hear(message)

    def _arrive(self, welcome: replies.Welcome) -> None:
        self.welcome = welcome
        self._player.dropped = 0
        self._outbox.ask(self._settings)
        if self._begin is not None:
            self._outbox.ask(self._begin)
        if self._parting:  # it was cut before the server heard of it
            self._outbox.ask(requests.Bye())

    def _set_out(self, ready: replies.Ready, now_us: int) -> None:
        self.ready, self._begin = ready, None
        world = self.welcome.world
        ahead = round(world.fps * ready.max_lead_ms / 1e3) + 2 * world.block_frames
        self._player.begin(ready.epoch, world.fps, ahead)
        self._stand(ready.paused)
        if self.welcome.driver:
            self._outbox.go(now_us)

    def _stand(self, paused: bool) -> None:
        self.paused = paused
        if self.screen is not None:
            self.screen.rest()

    async def _see(self, packet: Packet, now_us: int) -> None:
        match packet.header.kind:
            case Kind.PLAN:
                self.plan = packet
            case Kind.RECALLED:
                self.recalled = packet
            case Kind.VIDEO:
                await self._player.see(packet, now_us)

"""A server that plays a script: pictures whose colour is their number, one block an ack allows."""

import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
from msgspec.structs import replace as changed
from PIL import Image
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from worldrt.protocol.packets import Coding, Flag, Header, Packet, View, write_packet
from worldrt.protocol.replies import (
    Applied,
    ClockIs,
    Lens,
    Limits,
    Paused,
    PolicyInfo,
    Ready,
    Receipt,
    Recording,
    Welcome,
    WorldInfo,
)
from worldrt.protocol.requests import (
    Ack,
    Bye,
    Clock,
    Hello,
    Input,
    Pause,
    Policy,
    Prompt,
    Record,
    Settings,
    Start,
    Step,
    Switch,
)
from worldrt.protocol.terms import VERSION, Close, Codec, Delivery, Message, State
from worldrt.protocol.wire import read_from_client, write

FPS, BLOCK, SIZE = 50.0, 3, (8, 16)
KEYMAP = {letter: 1 << bit for bit, letter in enumerate("WASDIJKL")}


def micros() -> int:
    return time.monotonic_ns() // 1000


def jpeg(value: int) -> bytes:
    """A picture all of one grey."""
    out = BytesIO()
    Image.fromarray(np.full((*SIZE, 3), value % 256, np.uint8)).save(out, "JPEG", quality=95)
    return out.getvalue()


def welcome(**changes: object) -> Welcome:
    world = WorldInfo(
        name="grey",
        summary="All of one grey.",
        fps=FPS,
        block_frames=BLOCK,
        lens=Lens(width=SIZE[1], height=SIZE[0], fx=8.0, fy=8.0),
        move_step=0.2,
        turn_step=5.0,
        pitch_limit=0.0,
        takes_text=False,
        starts=("hall",),
        policy="window",
        policies=(PolicyInfo(name="window", summary="A window.", modes=("cut",)),),
    )
    plain = Welcome(
        version=VERSION,
        server="scripted",
        session="s",
        resume="again-1",
        watch="look",
        driver=True,
        keymap=KEYMAP,
        world=world,
        limits=Limits(idle_s=9, lifetime_s=9, detach_s=2, record_s=9),
        now_us=micros(),
    )
    return changed(plain, **changes)


def packet(frame: int, epoch: int = 1, seq: int = 0) -> Packet:
    """Frame `frame` stands `frame` centimetres ahead."""
    index = frame % BLOCK
    last = Flag.LAST if index == BLOCK - 1 else Flag(0)
    header = Header(
        coding=Coding.JPEG,
        flags=Flag.KEY | last,
        epoch=epoch,
        frame=frame,
        chunk=frame // BLOCK,
        index=index,
        count=BLOCK,
        seq=seq,
        width=SIZE[1],
        height=SIZE[0],
        sent_us=micros(),
        generate_ms=2,
        decode_ms=1,
    )
    view = View((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, frame / 100), 1.0)
    return Packet(header=header, picture=jpeg(frame), pose=view)


class Scripted:
    """One walk; it outlives its connections. Attributes are what tests look at or change."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.greets: list[Message] = []
        """Said after the welcome."""
        self.refuses: tuple[Close, str] | None = None
        """How a hello is answered."""
        self.epoch = 0
        self.frame = 0
        """Next one to be made."""
        self.seq = 0
        self.most_ahead = 0
        self.paused = False
        self.switch_to = State.APPLIED
        self.change: Callable[[Packet], Packet | None] = lambda packet: packet
        self.connections: list[ServerConnection] = []

    async def __call__(self, socket: ServerConnection) -> None:
        self.connections.append(socket)
        self._acked, self._owed = self.frame - 1, list[Message]()
        try:
            await self._greet(socket, read_from_client(await socket.recv()))
            while True:
                await self._answer(socket, read_from_client(await socket.recv()))
        except ConnectionClosed:
            pass

    def heard_of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def _greet(self, socket: ServerConnection, hello: Message | None) -> None:
        assert isinstance(hello, Hello)
        self.heard.append(hello)
        if self.refuses:
            await socket.close(*self.refuses)
            return
        resume = f"again-{len(self.connections)}"
        await self.say(socket, welcome(resume=resume, driver=not hello.watch))
        for message in self.greets:
            await self.say(socket, message)
        if hello.resume or hello.watch:
            await self._begin(socket, Start())

    async def say(self, socket: ServerConnection, message: Message) -> None:
        await socket.send(write(message))

    async def _begin(self, socket: ServerConnection, start: Start) -> None:
        self.epoch += 1
        ready = Ready(
            epoch=self.epoch,
            start=start.start or "hall",
            seed=start.seed,
            policy=start.policy or "window",
            frame=self.frame,
            paused=self.paused,
            codec=Codec.JPEG,
            max_lead_ms=100,
            delivery=Delivery.LATEST,
            assumed="",
            log="",
        )
        await self.say(socket, ready)
        self._acked = self.frame - 1
        await self._block(socket)

    async def _block(self, socket: ServerConnection, step: bool = False) -> None:
        """One block, if all that was sent has been shown."""
        if not step and (self._acked < self.frame - 1 or self.paused):
            return
        for message in self._owed:
            await self.say(socket, message)
        self._owed = []
        now = micros()
        applied = Applied(
            seq=self.seq,
            chunk=self.frame // BLOCK,
            received_us=now - 4000,
            latched_us=now - 3000,
            done_us=now,
        )
        await self.say(socket, applied)
        for _ in range(BLOCK):
            each = self.change(packet(self.frame, self.epoch, self.seq))
            self.frame += 1
            if each is not None:
                await socket.send(write_packet(each))
        self.most_ahead = max(self.most_ahead, self.frame - 1 - self._acked)

    async def _answer(self, socket: ServerConnection, message: Message | None) -> None:
        assert message is not None
        self.heard.append(message)
        match message:
            case Start():
                self.frame = 0
                await self._begin(socket, message)
            case Input():
                self.seq = message.seq
            case Ack():
                self._acked = max(self._acked, message.frame)
                await self._block(socket)
            case Clock():
                now = micros()
                await self.say(socket, ClockIs(t0_us=message.t0_us, t1_us=now, t2_us=now))
            case Pause():
                self.paused = message.paused
                await self.say(socket, Paused(paused=message.paused))
                await self._block(socket)
            case Step():
                await self._block(socket, step=True)
            case Switch() | Prompt() | Policy():
                done = Receipt(id=message.id, state=self.switch_to, chunk=7, why="Not so.")
                self._owed.append(done)
                await self.say(socket, Receipt(id=message.id, state=State.RECEIVED))
            case Record():
                url = "" if message.on else "/recordings/x.mp4"
                await self.say(socket, Recording(on=message.on, frames=3, url=url))
            case Bye():
                await socket.close(Close.ENDED, "The session is over.")
            case Settings():
                pass
            case _:
                raise AssertionError(message)


async def serving(script: Scripted) -> tuple[Server, str]:
    """A server of `script` on a free port, and its address."""
    server = await serve(
        script, "127.0.0.1", 0, subprotocols=[Subprotocol(VERSION)], compression=None
    )
    port = next(iter(server.sockets)).getsockname()[1]
    return server, f"ws://127.0.0.1:{port}"


def with_header(each: Packet, **changes: object) -> Packet:
    return replace(each, header=replace(each.header, **changes))

"""A whole server on a real socket: who may come in, who waits, who must go."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.client import connect as dial
from websockets.exceptions import InvalidStatus

from tests.server.guests import guest, live
from worldrt.chunk import Chunk, Show
from worldrt.client.stream import connect
from worldrt.errors import ConfigError, ServerError
from worldrt.geometry.trajectory import Step
from worldrt.protocol import replies, requests
from worldrt.protocol.terms import MAX_MESSAGE, MAX_MESSAGES, VERSION, Close
from worldrt.server import app as module
from worldrt.server.app import App, running
from worldrt.server.house import Serving
from worldrt.session import Session
from worldrt.world import World


def ws(app: App) -> str:
    return app.url.replace("http", "ws", 1)


async def nobody_left(app: App) -> None:
    """Until the server has no connection and no session."""
    while app.health().sessions or app.health().queue:
        await asyncio.sleep(0.02)


def test_a_walk_ahead_in_the_shipped_world() -> None:
    async def work(app: App) -> None:
        async with connect(ws(app), seed=3) as walk:
            assert walk.welcome.world.name == "maze" and walk.welcome.driver
            still = await anext(walk)
            assert still.frames.shape == (4, 96, 128, 3) and still.frames.std() > 5
            assert np.array_equal(still.poses, np.repeat(still.poses[:1], 4, axis=0))
            walk.hold("W")
            moved = [await anext(walk) for _ in range(3)][-1]
            way = moved.poses[-1][:3, 3] - still.poses[-1][:3, 3]
            assert way @ still.poses[-1][:3, 2] > 0.9 * np.linalg.norm(way) > 0
            assert moved.seq > 0

    live(work, Path("maze"))


def test_who_comes_first_walks_and_twenty_learn_their_place(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with AsyncExitStack() as there:
            walk = await there.enter_async_context(guest(app))
            await walk.begin()
            queue = [await there.enter_async_context(guest(app)) for _ in range(20)]
            places = [(await one.hear(replies.Queue)).position for one in queue]
            assert sorted(places) == list(range(1, 21))
            assert app.health().queue == 20 and app.health().sessions == 1
            first = queue[places.index(1)]
            await walk.walk(8)
            await walk.say(requests.Bye())
            await first.begin()
            await first.walk(4)
            second = queue[places.index(2)]
            await second.hear(replies.Queue, lambda said: said.position == 1)

    live(work, world_folder)


def test_too_many_do_not_even_wait(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.hear(replies.Welcome)
            async with guest(app) as two:
                fault = await two.hear(replies.Fault)
                assert (fault.code, fault.retryable) == (Close.FULL, True)
                assert await two.closed() == (Close.FULL, fault.text)
                assert fault.text == "All 1 places are taken and 0 wait already."

    live(work, world_folder, waiting=0)


@pytest.mark.parametrize(
    "text, code, sentence",
    [
        ('{"t":"hello","versions":["worldrt.v0"]}', Close.VERSION, "This server speaks worldrt.v1"),
        ('{"t":"hello","versions":["worldrt.v1"]}', Close.TOKEN, "This server asks for a token"),
        ('{"t":"start"}', Close.MALFORMED, "The first message must be a hello."),
        ("{", Close.MALFORMED, "A message makes no sense"),
        (b"\x00\x01", Close.MALFORMED, "A client sends text, no binary messages."),
        ("x" * (MAX_MESSAGE + 1), Close.TOO_BIG, "frame with 16385 bytes exceeds limit"),
    ],
)
def test_who_talks_nonsense_gets_a_code_and_a_sentence(
    world_folder: Path, text: str | bytes, code: Close, sentence: str
) -> None:
    async def work(app: App) -> None:
        async with guest(app, hello=False) as one:
            await one.connection.send(text)
            got, why = await one.closed()
            assert got == code and why.startswith(sentence), why

    live(work, world_folder, token="swordfish")


def test_the_right_token_and_none_in_the_address(world_folder: Path) -> None:
    async def work(app: App) -> None:
        assert "swordfish" not in app.url
        async with guest(app, token="swordfish") as one:
            assert (await one.hear(replies.Welcome)).driver

    live(work, world_folder, token="swordfish")


def test_who_says_nothing_must_go(world_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_S", 0.05)

    async def work(app: App) -> None:
        async with guest(app, hello=False) as one:
            assert await one.closed() == (Close.SILENT, "No hello came within 0.05 s.")

    live(work, world_folder)


def test_a_flood_of_messages_ends_the_connection(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            for _ in range(3 * MAX_MESSAGES):
                await one.say(requests.Clock(t0_us=1))
            code, why = await one.closed()
            assert (code, why) == (Close.RATE, "More than 240 messages a second were sent.")

    live(work, world_folder)


def test_a_second_hello_is_one_too_many(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.hear(replies.Welcome)
            await one.say(requests.Hello(versions=(VERSION,)))
            assert await one.closed() == (Close.MALFORMED, "A client says hello once.")

    live(work, world_folder)


@pytest.mark.parametrize(
    "headers, allowed",
    [
        ({}, True),
        ({"Origin": "https://example.org"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_pages_of_others_can_not_connect(
    world_folder: Path, headers: dict[str, str], allowed: bool
) -> None:
    async def work(app: App) -> None:
        try:
            async with dial(ws(app), additional_headers=headers):
                assert allowed
        except InvalidStatus as error:
            assert error.response.status_code == 403 and not allowed

    live(work, world_folder, origins=("https://example.org",))


@pytest.mark.parametrize(
    "hosts, status",
    [
        (["127.0.0.1"], 200),
        (["localhost:80"], 200),
        (["evil.example"], 403),
        ([], 400),
        (["127.0.0.1", "evil.example"], 400),
    ],
)
def test_a_name_that_leads_here_is_not_enough(
    world_folder: Path, hosts: list[str], status: int
) -> None:
    async def work(app: App) -> None:
        address = app.url.removeprefix("http://").rstrip("/").split(":")
        reader, writer = await asyncio.open_connection(*address)
        lines = ["GET /healthz HTTP/1.1", *(f"Host: {host}" for host in hosts), "", ""]
        writer.write("\r\n".join(lines).encode())
        assert int((await reader.readline()).split()[1]) == status
        writer.close()

    live(work, world_folder)


def test_idle_and_long_sessions_end(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.hear(replies.Welcome)
            assert await one.closed() == (Close.IDLE, "No key was pressed for 0.3 s.")
        await nobody_left(app)

    live(work, world_folder, idle_s=0.3)


def test_a_session_that_nobody_takes_up_again_is_over(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            token = (await one.hear(replies.Welcome)).resume
            await one.begin()
        await nobody_left(app)
        async with guest(app, resume=token) as late:
            assert await late.closed() == (Close.TOKEN, "That session is over, or never was.")

    live(work, world_folder, detach_s=0.3)


def test_a_block_that_fails_ends_its_session_alone(
    world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Session.drive

    def stumble(
        session: Session, axes: NDArray[np.float64], step: Step | None, show: Show
    ) -> Chunk:
        if axes.any():
            raise ZeroDivisionError
        return drive(session, axes, step, show)

    monkeypatch.setattr(Session, "drive", stumble)

    async def work(app: App) -> None:
        async with connect(ws(app)) as well, guest(app) as ill:
            await ill.begin()
            await ill.say(requests.Input(seq=1, t_us=1, keys=1))
            code, why = await ill.closed()
            assert code == Close.FAULT
            assert why == "The server could not make a block: its log says why."
            for _ in range(3):
                await anext(well)
            assert app.health().sessions == 1

    live(work, world_folder, places=2)


def test_farewell_is_said_and_waits_for_nobody(world_folder: Path) -> None:
    """A browser keeps connections open on which nothing was ever said."""

    async def work() -> None:
        async with asyncio.timeout(40), AsyncExitStack() as there:
            async with running(Serving(world=str(world_folder), port=0)) as app:
                one = await there.enter_async_context(guest(app))
                await one.hear(replies.Welcome)
                mute = await there.enter_async_context(guest(app, hello=False))
                address = app.url.removeprefix("http://").rstrip("/").split(":")
                _, writer = await asyncio.open_connection(*address)
                goodbyes = asyncio.gather(one.hear(replies.Fault), mute.hear(replies.Fault))
            for fault in await goodbyes:
                assert fault.code == Close.GOING_AWAY and fault.retryable
                assert fault.text == "The server is shutting down."
            assert await one.closed() == (Close.GOING_AWAY, "The server is shutting down.")
            writer.close()

    asyncio.run(work())


def test_a_port_that_is_taken_is_a_sentence(world_folder: Path) -> None:
    async def work(app: App) -> None:
        port = int(app.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(ServerError, match=f"127.0.0.1:{port} can't be listened at"):
            async with running(Serving(world=str(world_folder), port=port)):
                pass

    live(work, world_folder)


def test_a_world_that_is_not_there_ends_the_server() -> None:
    async def work() -> None:
        async with asyncio.timeout(20), running(Serving(world="nowhere", port=0)) as app:
            with pytest.raises(ConfigError, match="Unknown world 'nowhere'"):
                await app.loaded

    asyncio.run(work())


def test_a_signal_says_farewell_and_exits_with_0(world_folder: Path) -> None:
    command = [sys.executable, "-m", "worldrt", "serve", str(world_folder), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=world_folder.parent, env=os.environ
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]

        async def work() -> None:
            async with dial(url.replace("http", "ws", 1)) as connection:
                await connection.send('{"t":"hello","versions":["worldrt.v1"]}')
                await connection.recv()
                server.send_signal(signal.SIGTERM)
                await connection.wait_closed()
                assert connection.close_code == Close.GOING_AWAY

        asyncio.run(work())
        assert server.wait(20) == 0


def test_who_leaves_while_the_world_loads_takes_no_place(
    world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads, may = World.load, threading.Event()

    def slow(*arguments: str) -> World:
        may.wait(20)
        return loads(*arguments)

    monkeypatch.setattr(World, "load", slow)

    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.hear(replies.Loading)
        async with guest(app) as two:
            await two.hear(replies.Loading)
            await asyncio.sleep(0.2)
            may.set()
            await two.begin()
            assert not any(isinstance(each, replies.Queue) for each in two.messages)

    live(work, world_folder)

"""A connection that is taken up again: how often, how long, and with which last words."""

import asyncio
from typing import Any

import pytest

from tests.client.scripted import Scripted, serving
from worldrt.client import link as module
from worldrt.client.link import Link
from worldrt.client.outbox import Outbox
from worldrt.errors import ConfigError, ProtocolError, ServerError, WorldrtError
from worldrt.protocol.replies import Fault, Ready, Welcome
from worldrt.protocol.requests import Hello, Start, Step
from worldrt.protocol.terms import VERSION, Close, Message


class Ends:
    """What a link tells."""

    def __init__(self, url: str, again: bool = True) -> None:
        self.heard: list[Message] = []
        self.cuts = self.seen = 0
        self.outbox = Outbox()
        hello = Hello(versions=(VERSION,))
        self.link = Link(
            url, hello, self.outbox, hear=self.hear, see=self.see, cut=self.cut, again=again
        )

    def hear(self, message: Message, now_us: int) -> None:
        self.heard.append(message)

    async def see(self, packet: object, now_us: int) -> None:
        self.seen += 1

    def cut(self) -> None:
        self.cuts += 1

    async def until(self, kind: type[Message], times: int = 1) -> None:
        while sum(isinstance(each, kind) for each in self.heard) < times:
            await asyncio.sleep(0.005)


def run(work: Any) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


def test_what_is_in_the_outbox_is_sent_and_what_comes_is_told() -> None:
    async def work() -> None:
        script = Scripted()
        server, url = await serving(script)
        async with server:
            ends = Ends(url)
            running = asyncio.create_task(ends.link.run())
            await ends.until(Welcome)
            ends.outbox.ask(Start())
            ends.link.wake()
            await ends.until(Ready)
            while ends.seen < 3:
                await asyncio.sleep(0.005)
            ends.outbox.ask(Step())
            ends.link.wake()
            while ends.seen < 6:
                await asyncio.sleep(0.005)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run(work())


def test_cuts_are_mended_with_the_newest_token() -> None:
    async def work() -> None:
        script = Scripted()
        server, url = await serving(script)
        async with server:
            ends = Ends(url)
            running = asyncio.create_task(ends.link.run())
            for number in range(1, 5):
                await ends.until(Welcome, number)
                script.connections[-1].transport.abort()
            await ends.until(Welcome, 5)
            assert ends.cuts == 4
            running.cancel()
        resumes = [each.resume for each in script.heard_of(Hello) if isinstance(each, Hello)]
        assert resumes == ["", "again-1", "again-2", "again-3", "again-4"]

    run(work())


def test_the_wait_grows_and_ends_with_the_session() -> None:
    """Two seconds of `detach_s`, so tries at 0, 0.1, 0.3, 0.8, 1.8 and 3.8 s, the last too late."""

    async def work() -> None:
        script = Scripted()
        server, url = await serving(script)
        ends = Ends(url)
        running = asyncio.create_task(ends.link.run())
        await ends.until(Welcome)
        server.close(close_connections=False)
        begun = asyncio.get_running_loop().time()
        script.connections[0].transport.abort()
        with pytest.raises(ServerError) as caught:
            await running
        assert 2 < asyncio.get_running_loop().time() - begun < 10
        assert str(caught.value).startswith(f"{url} could not be reached again within 2 s (")
        assert ends.cuts == 1

    assert sum(module.BACK_OFF_S[:5]) < 2 < sum(module.BACK_OFF_S)
    run(work())


@pytest.mark.parametrize("code", [Close.TOKEN, Close.GOING_AWAY, Close.FAULT])
def test_an_end_by_the_server_is_final_and_the_fault_says_why(code: Close) -> None:
    """The reason of a close is cut at 123 bytes; the fault before it is whole."""
    why = "The server is gone " + "a long way " * 20 + "off."

    async def work() -> None:
        script = Scripted()
        server, url = await serving(script)
        async with server:
            ends = Ends(url)
            running = asyncio.create_task(ends.link.run())
            await ends.until(Welcome)
            await script.say(script.connections[0], Fault(code=code, text=why))
            await script.connections[0].close(code, why[:100])
            with pytest.raises(ServerError) as caught:
                await running
            assert (str(caught.value), caught.value.code, ends.cuts) == (why, code, 0)

    run(work())


@pytest.mark.parametrize(
    "said, kind, sentence",
    [
        ('{"t":"ready"}', ProtocolError, "A message makes no sense (Object missing required field"),
        (b"no packet", ProtocolError, "A packet of 9 bytes has no header of 64."),
    ],
)
def test_nonsense_ends_it(said: str | bytes, kind: type[WorldrtError], sentence: str) -> None:
    async def work() -> None:
        script = Scripted()
        server, url = await serving(script)
        async with server:
            ends = Ends(url)
            running = asyncio.create_task(ends.link.run())
            await ends.until(Welcome)
            await script.connections[0].send(said)
            with pytest.raises(kind) as caught:
                await running
            assert str(caught.value).startswith(sentence)

    run(work())


def test_what_this_version_does_not_know_is_passed_over() -> None:
    async def work() -> None:
        script = Scripted()
        server, url = await serving(script)
        async with server:
            ends = Ends(url)
            running = asyncio.create_task(ends.link.run())
            await ends.until(Welcome)
            await script.connections[0].send('{"t":"weather","rain":true}')
            await script.say(script.connections[0], Fault(code=1, text="After."))
            await ends.until(Fault)
            running.cancel()

    run(work())


def test_a_wrong_address() -> None:
    with pytest.raises(ConfigError, match="^'http://x' is no address of a server"):
        run(Ends("http://x").link.run())

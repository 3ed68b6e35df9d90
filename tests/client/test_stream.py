"""The Python client against a scripted server; against the real one in test_live_stream.py."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tests.client.scripted import BLOCK, SIZE, Scripted, serving, with_header
from worldrt.client.stream import Walk, connect
from worldrt.errors import ConfigError, ProtocolError, ServerError
from worldrt.protocol.packets import Packet
from worldrt.protocol.replies import Loading, Queue, Receipt
from worldrt.protocol.requests import Ack, Bye, Hello, Input, Settings, Start
from worldrt.protocol.terms import VERSION, Close, Codec, Delivery, State


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


@asynccontextmanager
async def walking(script: Scripted, **wishes: Any) -> AsyncIterator[Walk]:
    server, url = await serving(script)
    async with server, connect(url, **wishes) as walk:
        yield walk


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


def test_chunks_come_in_order_and_whole() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script, start="hall", seed=5, policy="window") as walk:
            for number in range(5):
                chunk = await anext(walk)
                assert chunk.number == number
                assert chunk.indices == tuple(range(BLOCK * number, BLOCK * number + BLOCK))
                assert chunk.frames.shape == (BLOCK, *SIZE, 3) and chunk.frames.dtype == np.uint8
                means = chunk.frames.mean((1, 2, 3))
                assert np.allclose(means, chunk.indices, atol=1)
                assert np.allclose(chunk.poses[:, 2, 3], np.array(chunk.indices) / 100)
                assert np.allclose(chunk.poses[:, :3, :3], np.eye(3)) and chunk.depth is None
                assert chunk.timing.generate_ms == 2 and len(chunk.timing.arrived_us) == BLOCK
            assert walk.dropped == 0

    run(work())
    hello, settings, start = script.heard[0], script.heard_of(Settings), script.heard_of(Start)
    assert hello == Hello(versions=(VERSION,), codecs=("jpeg", "jpeg"))
    assert len(settings) == 1 and start == [Start(start="hall", seed=5, policy="window")]
    assert script.most_ahead == BLOCK and isinstance(script.heard[-1], Bye)


def test_who_takes_nothing_acknowledges_nothing() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            await asyncio.sleep(0.2)
            assert script.frame == BLOCK and script.heard_of(Ack) == []
            await anext(walk)
            await until(lambda: script.frame == 2 * BLOCK)

    run(work())


def test_in_real_time_the_clock_acknowledges() -> None:
    """Ten chunks of 3 frames at 50 a second: no faster than the clock, without being taken."""
    script = Scripted()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with walking(script, realtime=True) as walk:
            begun = loop.time()
            await until(lambda: script.frame >= 10 * BLOCK)
            assert loop.time() - begun > (8 * BLOCK) / 50
            assert walk.screen is not None and walk.screen.shown >= 9 * BLOCK
            chunk = await anext(walk)
            assert chunk.number > 0  # the first ones were shown and are gone

    run(work())
    frames = [ack.frame for ack in script.heard_of(Ack) if isinstance(ack, Ack)]
    assert frames == sorted(set(frames))


def test_every_change_is_sent_and_what_is_held_is_said_again() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            walk.hold("w")
            walk.hold("")
            assert walk.seq == 2
            walk.hold("WJ")
            await asyncio.sleep(0.3)
            walk.stick(ahead=0.5)
            walk.hold("")
            walk.stick()
            walk.look(3.0)
            walk.look(2.0, -1.0)
            await asyncio.sleep(0.3)

    run(work())
    inputs = [each for each in script.heard_of(Input) if isinstance(each, Input)]
    assert [each.seq for each in inputs] == sorted({each.seq for each in inputs})
    assert [each.keys for each in inputs[:3]] == [1, 0, 33]
    held = [each for each in inputs if each.keys == 33 and each.axes == (0, 0, 0, 0)]
    assert 4 <= len(held) <= 8 and len({each.t_us for each in held}) == 1
    last = inputs[-1]
    assert (last.keys, last.axes, last.look) == (0, (0, 0, 0, 0), (5.0, -1.0))


def test_a_key_is_measured_until_it_is_seen() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            await anext(walk)
            walk.hold("W")
            while (await anext(walk)).seq < walk.seq:
                pass
            sample = walk.samples[0]
            assert sample.seq == walk.seq == 1 and sample.stages is not None
            stages = sample.stages
            whole = sum(getattr(stages, name) for name in stages.__struct_fields__)
            assert whole == pytest.approx(sample.lag_ms, abs=1e-6)
            assert (stages.generate_ms, stages.decode_ms) == (2.0, 1.0)
            await until(lambda: any(ack.lag_ms for ack in script.heard_of(Ack)))  # type: ignore[attr-defined]

    run(work())


def test_requests_are_answered() -> None:
    """A change takes a block, though nobody takes chunks while it is waited for."""
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            receipt = await walk.switch("cut")
            assert receipt == Receipt(id=1, state=State.APPLIED, chunk=7, why="Not so.")
            assert (await walk.policy("window")).id == 2
            script.switch_to = State.REFUSED
            with pytest.raises(ServerError, match="^Not so.$"):
                await walk.prompt("A garden.")
            await walk.pause()
            assert walk.paused
            while (await anext(walk)).indices[-1] < script.frame - 1:
                pass
            walk.step()
            assert (await anext(walk)).indices[-1] == script.frame - 1
            await walk.go_on()
            assert not walk.paused
            assert await walk.record(True) == ""
            film = await walk.record(False)
            assert film.startswith("http://127.0.0.1:") and film.endswith("/recordings/x.mp4")
            ready = await walk.restart(seed=9)
            assert (ready.seed, ready.start, ready.epoch) == (9, "hall", 2)
            while (chunk := await anext(walk)).epoch == 1:
                pass
            assert chunk.indices[0] == 0

    run(work())


def test_the_queue_is_told() -> None:
    script, told = Scripted(), []
    script.greets = [
        Queue(position=2, waiting=3, eta_s=4.0),
        Loading(stage="weights", fraction=0.5, eta_s=None),
    ]

    async def work() -> None:
        async with walking(script, waiting=told.append):
            pass

    run(work())
    assert told == script.greets


def test_frames_that_are_lost_leave_the_others() -> None:
    script = Scripted()
    script.change = lambda each: None if each.header.frame in (1, 5, 6) else each

    async def work() -> None:
        async with walking(script) as walk:
            # Its last frame lost, a chunk ends where the next one begins; that one needs an ack.
            assert (await anext(walk)).indices == (0, 2)
            walk.hold("W")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(walk)

    run(work())


@pytest.mark.parametrize("again", [True, False])
def test_a_cut(again: bool) -> None:
    """The session goes on in another connection, by a token that changes each time."""
    script = Scripted()

    async def work() -> None:
        async with walking(script, reconnect=again) as walk:
            await anext(walk)
            walk.hold("W")
            script.connections[0].transport.abort()
            if not again:
                with pytest.raises(ServerError, match=r"^The connection to ws://.* is gone \(.*\)"):
                    while True:
                        await anext(walk)
                return
            while (chunk := await anext(walk)).epoch == 1:
                pass
            assert chunk.epoch == 2 and walk.welcome.resume == "again-2"
            await until(lambda: script.seq > 0)
            script.connections[1].transport.abort()
            while (chunk := await anext(walk)).epoch < 3:
                pass

    run(work())
    hellos = [each for each in script.heard_of(Hello) if isinstance(each, Hello)]
    assert [each.resume for each in hellos] == ["", "again-1", "again-2"][: 3 if again else 1]
    assert script.heard_of(Start) == [Start()]


def test_what_is_asked_when_the_line_is_cut_fails() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            script.paused = True
            asking = asyncio.create_task(walk.switch("cut"))
            await asyncio.sleep(0.1)
            script.connections[0].transport.abort()
            with pytest.raises(ServerError, match="was cut before the server answered"):
                await asking

    run(work())


def test_who_leaves_while_the_line_is_cut_still_says_so() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            await anext(walk)
            script.connections[0].transport.abort()

    run(work())
    assert len(script.heard_of(Hello)) == 2 and script.heard_of(Bye)


def test_a_walk_can_be_left_standing() -> None:
    script = Scripted()

    async def work() -> None:
        server, url = await serving(script)
        async with server:
            async with connect(url) as walk:
                await anext(walk)
                token = await walk.detach()
            assert token == "again-1" and script.heard_of(Bye) == []
            async with connect(url, resume=token) as walk:
                assert (await anext(walk)).epoch == 2

    run(work())


def test_who_looks_on_says_nothing() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script, watch="look") as walk:
            assert (await anext(walk)).number == 0
            await asyncio.sleep(0.1)

    run(work())
    assert not {Start, Ack, Input, Bye} & {type(message) for message in script.heard}


def test_the_server_is_gone_for_good() -> None:
    script = Scripted()

    async def work() -> None:
        server, url = await serving(script)
        async with connect(url) as walk:
            await anext(walk)
            server.close(close_connections=False)
            script.connections[0].transport.abort()
            with pytest.raises(ServerError, match="could not be reached again within 2 s"):
                while True:
                    await anext(walk)

    run(work())


@pytest.mark.parametrize(
    "code, sentence",
    [
        (Close.VERSION, "The server speaks worldrt.v9; renew the client."),
        (Close.TOKEN, "The token is wrong."),
        (Close.FULL, "Seven wait already."),
    ],
)
def test_a_refusal_is_raised_with_its_sentence_and_code(code: Close, sentence: str) -> None:
    script = Scripted()
    script.refuses = (code, sentence)

    async def work() -> None:
        with pytest.raises(ServerError) as caught:
            async with walking(script):
                pass
        assert (str(caught.value), caught.value.code) == (sentence, code)

    run(work())


def test_an_end_is_raised_where_chunks_are_taken() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            await anext(walk)
            await script.connections[0].close(Close.IDLE, "Nobody pressed a key for 9 s.")
            with pytest.raises(ServerError, match="^Nobody pressed a key for 9 s.$"):
                while True:
                    await anext(walk)
            with pytest.raises(ServerError, match="^Nobody pressed"):
                await walk.pause()

    run(work())


def test_an_end_that_was_wished_for_ends_the_loop() -> None:
    script = Scripted()

    async def work() -> None:
        async with walking(script) as walk:
            numbers = []
            async for chunk in walk:
                numbers.append(chunk.number)
                if chunk.number == 2:
                    await script.connections[0].close(Close.ENDED, "The session is over.")
            assert numbers[:3] == [0, 1, 2]

    run(work())


def broken(**changes: object) -> Callable[[Packet], Packet]:
    return lambda each: with_header(each, **changes)


def test_nonsense_is_an_error() -> None:
    script = Scripted()
    script.change = broken(width=99)

    async def work() -> None:
        async with walking(script) as walk:
            with pytest.raises(ProtocolError, match="^Frame 0 is 16x8, its header says 99x8.$"):
                await anext(walk)

    run(work())


def test_errors_before_anything_is_sent() -> None:
    async def work() -> None:
        with pytest.raises(
            ServerError, match=r"^ws://127.0.0.1:9 can't be reached \(.*worldrt serve"
        ):
            async with connect("ws://127.0.0.1:9"):
                pass
        with pytest.raises(ConfigError, match="is no address of a server"):
            async with connect("nowhere"):
                pass
        async with walking(Scripted()) as walk:
            with pytest.raises(ConfigError, match="^Unknown key 'X'"):
                walk.hold("X")

    run(work())


def test_nothing_is_left_behind() -> None:
    async def work() -> None:
        before = asyncio.all_tasks()
        server, url = await serving(Scripted())
        async with connect(url, realtime=True) as walk:
            await anext(walk)
        server.close()
        await server.wait_closed()
        assert asyncio.all_tasks() == before

    run(work())


def test_wishes_reach_the_server() -> None:
    script = Scripted()

    async def work() -> None:
        wishes = {"max_lead_ms": 300, "delivery": Delivery.LOSSLESS, "depth": True, "plan": True}
        async with walking(script, token="t", codec=Codec.H264, **wishes):
            pass

    run(work())
    assert script.heard[0] == Hello(versions=(VERSION,), token="t", codecs=("h264", "jpeg"))
    assert script.heard_of(Settings) == [
        Settings(
            max_lead_ms=300, delivery=Delivery.LOSSLESS, codec=Codec.H264, depth=True, plan=True
        )
    ]

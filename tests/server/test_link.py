"""Connections that are slow, stand still or vanish, beside one that is well."""

import asyncio
from pathlib import Path

import pytest

from tests.server.guests import Guest, guest, live
from worldrt.protocol import replies, requests
from worldrt.protocol.terms import Close, Delivery
from worldrt.server import link
from worldrt.server.app import App
from worldrt.server.link import short


async def walk_blindly(one: Guest, seconds: float) -> None:
    """Acknowledge all that could ever come, and read nothing of it."""
    for _ in range(round(seconds / 0.01)):
        await one.say(requests.Ack(epoch=1, frame=2**31, shown_us=1))
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("delivery", Delivery)
def test_who_does_not_read_harms_nobody_and_is_gone_in_the_end(
    world_folder: Path, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "STALL_S", 2.0)

    async def work(app: App) -> None:
        async with guest(app) as well:
            await well.begin()
            await well.walk(4)
            async with guest(app) as ill:
                await ill.say(requests.Settings(delivery=delivery, depth=True))
                await ill.begin()
                ill.connection.transport.pause_reading()
                blind = asyncio.create_task(walk_blindly(ill, 3))
                while app.health().sessions > 1:
                    await well.walk(4)
                await asyncio.gather(blind, return_exceptions=True)
                ill.connection.transport.abort()
            await well.walk(8)
            assert app._house.engine.seats == 1

    live(work, world_folder, places=2, detach_s=0.2)


def test_a_slow_line_gets_the_newest_frames(
    world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            watch = (await one.hear(replies.Welcome)).watch
            await one.begin()
            await one.walk(4)
            async with guest(app, watch=watch) as slow:
                await slow.hear(replies.Ready)
                ((walk, _),) = app._desks.values()
                (theirs,) = walk.spectators
                gate = asyncio.Event()
                send = theirs._connection.send

                async def wait_and_send(data: str | bytes) -> None:
                    await gate.wait()
                    await send(data)

                monkeypatch.setattr(theirs._connection, "send", wait_and_send)
                newest = [each.header.frame for each in await one.walk(40)][-1]
                assert theirs.mailbox.frames <= theirs.mailbox.room == 8
                assert theirs.mailbox.dropped >= 20
                gate.set()
                slow.packets.clear()
                frames = [(await slow.packet()).header.frame for _ in range(5)]
                assert frames == sorted(set(frames))
                assert newest - 8 <= frames[2] <= newest + 8

    live(work, world_folder)


def test_answers_that_nobody_reads_end_the_connection(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.hear(replies.Welcome)
            ((walk, _),) = app._desks.values()
            assert walk.driver is not None
            for number in range(300):
                walk.driver.tell(replies.Event(text=str(number)))
            code, why = await one.closed()
            assert (code, why) == (Close.RATE, "The client does not read what it is sent.")

    live(work, world_folder)


def test_a_reason_fits_into_a_close() -> None:
    assert short("It is over.") == "It is over."
    assert len(short("ü" * 100).encode()) == 122 and set(short("ü" * 100)) == {"ü"}

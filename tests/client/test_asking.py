"""Requests and their answers; with a server in test_stream.py."""

import asyncio

import pytest

from tests.client.scripted import welcome
from worldrt.client.asking import Requests
from worldrt.client.clock import ServerClock
from worldrt.client.lag import Lags
from worldrt.client.outbox import Outbox
from worldrt.client.player import Player
from worldrt.errors import ServerError
from worldrt.protocol import replies, requests
from worldrt.protocol.terms import Close, Message, State


class Asked(Requests):
    """A walk whose server is the test."""

    def __init__(self) -> None:
        self.outbox, self.woken = Outbox(), 0
        player = Player(Lags(ServerClock()), False, lambda ack: None)
        super().__init__("ws://h:1", self.outbox, self._awake, player)
        self.welcome = welcome()

    def _awake(self) -> None:
        self.woken += 1

    async def answer(self, *said: Message) -> list[Message]:
        """What has been asked, after it was answered by `said`."""
        await asyncio.sleep(0)
        asked = self.outbox.take(0)
        for message in said:
            self._answers.hear(message)
            await asyncio.sleep(0)
        return asked


def test_a_change_is_over_when_a_block_has_obeyed_it() -> None:
    async def work() -> None:
        walk = Asked()
        asking = asyncio.create_task(walk.prompt("A garden.", "cut"))
        received = replies.Receipt(id=1, state=State.RECEIVED)
        other = replies.Receipt(id=2, state=State.APPLIED)
        asked = await walk.answer(received, other)
        assert asked == [requests.Prompt(id=1, text="A garden.", mode="cut")]
        assert not asking.done() and walk.woken == 1
        applied = replies.Receipt(id=1, state=State.APPLIED, chunk=3)
        await walk.answer(applied)
        assert await asking == applied
        asking = asyncio.create_task(walk.policy("window"))
        refused = replies.Receipt(id=2, state=State.REFUSED, why="No such policy.")
        assert await walk.answer(refused) == [requests.Policy(id=2, name="window")]
        with pytest.raises(ServerError, match="^No such policy.$"):
            await asking

    asyncio.run(work())


def test_a_recording_that_ends_by_itself_still_has_its_film() -> None:
    async def work() -> None:
        walk = Asked()
        asking = asyncio.create_task(walk.record(False))
        why = "It was as long as one may be."
        await walk.answer(replies.Recording(on=False, frames=9, url="/recordings/a.mp4", why=why))
        assert await asking == "http://h:1/recordings/a.mp4"
        asking = asyncio.create_task(walk.record(True))
        await walk.answer(replies.Recording(on=False, why="The disk is full."))
        with pytest.raises(ServerError, match="^The disk is full.$"):
            await asking

    asyncio.run(work())


def test_nothing_is_asked_of_a_server_that_is_gone() -> None:
    async def work() -> None:
        walk = Asked()
        walk._over = ServerError("You were idle.", Close.IDLE)
        with pytest.raises(ServerError, match="^You were idle.$"):
            await walk.pause()
        with pytest.raises(ServerError, match="^You were idle.$"):
            walk.step()
        assert walk.outbox.take(0) == []

    asyncio.run(work())

"""When frames count as shown: taken, in real time, or while somebody waits for a block."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.client.scripted import BLOCK, packet
from worldrt.client.clock import ServerClock
from worldrt.client.lag import Lags
from worldrt.client.player import MOST_CHUNKS, Player
from worldrt.protocol.requests import Ack


def play(work: Callable[[Player, list[Ack]], Coroutine[Any, Any, None]], realtime: bool) -> None:
    async def bounded() -> None:
        told: list[Ack] = []
        player = Player(Lags(ServerClock()), realtime, told.append)
        player.begin(epoch=1, fps=500.0, most=9)
        async with asyncio.timeout(10):
            await work(player, told)

    asyncio.run(bounded())


async def fill(player: Player, frames: range, epoch: int = 1) -> None:
    for number in frames:
        await player.see(packet(number, epoch), 0)


def test_a_chunk_is_shown_when_it_is_taken() -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        await fill(player, range(2 * BLOCK))
        assert told == []
        chunk = await player.take()
        assert chunk is not None and chunk.indices == (0, 1, 2)
        assert [(ack.frame, ack.buffered) for ack in told] == [(0, BLOCK), (1, BLOCK), (2, BLOCK)]

    play(work, realtime=False)


def test_nothing_more_is_read_while_too_much_waits() -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        filling = asyncio.create_task(fill(player, range((MOST_CHUNKS + 2) * BLOCK)))
        await asyncio.sleep(0.05)
        assert not filling.done()
        for number in range(MOST_CHUNKS + 2):
            chunk = await player.take()
            assert chunk is not None and chunk.number == number
        await filling
        assert player.dropped == 0

    play(work, realtime=False)


def test_who_waits_for_a_block_gets_it_though_nobody_takes() -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        filling = asyncio.create_task(fill(player, range((MOST_CHUNKS + 2) * BLOCK)))
        await asyncio.sleep(0.05)
        assert not filling.done() and told == []
        player.hurry(True)
        await filling
        assert told[0].frame == MOST_CHUNKS * BLOCK - 1
        assert told[-1].frame == (MOST_CHUNKS + 2) * BLOCK - 1
        player.hurry(False)

    play(work, realtime=False)


def test_lost_frames_are_counted_and_stale_ones_are_not_shown() -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        for number in (0, 2, 3, 7, 8):
            await player.see(packet(number), 0)
        await player.see(packet(9, epoch=0), 0)
        found = []
        for _ in range(3):
            chunk = await player.take()
            assert chunk is not None
            found.append(chunk.indices)
        assert found == [(0, 2), (3,), (7, 8)] and player.dropped == 4
        assert told[-1].dropped == 4
        # A resumed walk may show its newest frame again.
        player.begin(epoch=2, fps=500.0, most=9)
        await fill(player, range(6, 9), epoch=2)
        chunk = await player.take()
        assert chunk is not None and chunk.epoch == 2 and player.dropped == 4

    play(work, realtime=False)


def test_a_new_walk_forgets_the_half_of_a_chunk() -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        await fill(player, range(2))
        player.begin(epoch=2, fps=500.0, most=9)
        await fill(player, range(BLOCK), epoch=2)
        chunk = await player.take()
        assert chunk is not None and (chunk.epoch, chunk.indices) == (2, (0, 1, 2))

    play(work, realtime=False)


def test_by_the_clock_frames_are_shown_one_by_one_and_kept_few() -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        playing = asyncio.create_task(player.play())
        for first in range(0, 20 * BLOCK, BLOCK):
            await fill(player, range(first, first + BLOCK))
            while not told or told[-1].frame < first + BLOCK - 1:
                await asyncio.sleep(0.001)
        assert [ack.frame for ack in told] == list(range(20 * BLOCK))
        chunk = await player.take()
        assert chunk is not None and chunk.number == 20 - MOST_CHUNKS
        assert player.screen is not None and player.screen.shown == 20 * BLOCK
        playing.cancel()

    play(work, realtime=True)


@pytest.mark.parametrize("realtime", [False, True])
def test_the_end_comes_after_what_is_there(realtime: bool) -> None:
    async def work(player: Player, told: list[Ack]) -> None:
        playing = asyncio.create_task(player.play())
        await fill(player, range(BLOCK))
        while realtime and len(told) < BLOCK:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(player.take()) for _ in range(2)]
        await asyncio.sleep(0.01)
        player.end()
        first, second = [await each for each in waiting]
        assert first is not None and second is None
        playing.cancel()

    play(work, realtime)

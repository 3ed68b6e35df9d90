"""The recordings of a session: one at a time, and those of a session that is over go in the end."""

import asyncio
from typing import Any

import numpy as np
import pytest

from worldrt.protocol.replies import Lens, Recording, WorldInfo
from worldrt.server import films as module
from worldrt.server.films import KEPT, Films
from worldrt.server.recording import Shelf

INFO = WorldInfo(
    name="tiny",
    summary="",
    fps=10.0,
    block_frames=4,
    lens=Lens(width=64, height=48, fx=32, fy=32),
    move_step=0.1,
    turn_step=5,
    pitch_limit=0,
    takes_text=False,
    starts=(),
    policy="window",
    policies=(),
)
FRAMES = np.zeros((4, 48, 64, 3), np.uint8)


def filming(work: Any) -> None:
    async def run() -> None:
        shelf, told = Shelf(), []
        films = Films(shelf, INFO, 10.0, told.append)

        async def until(holds: Any) -> None:
            while not (told and holds(told[-1])):
                await asyncio.sleep(0.002)

        async with asyncio.timeout(20):
            await work(films, shelf, told, until)
        shelf.close()

    asyncio.run(run())


def test_there_is_one_at_a_time_and_then_another() -> None:
    async def work(films: Films, shelf: Shelf, told: list[Recording], until: Any) -> None:
        films.record(False)
        films.add(FRAMES)
        assert told == [Recording(on=False, why="Nothing is being recorded.")]
        urls = set()
        for _ in range(2):
            films.record(True)
            films.record(True)
            films.add(FRAMES)
            films.record(False)
            await until(lambda how: how.url and how.url not in urls)
            assert told[-1].frames == 4
            urls.add(told[-1].url)
        assert len(urls) == 2 and all(shelf.take(url) for url in urls)

    filming(work)


def test_what_a_session_leaves_behind_goes_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_S", 0.05)

    async def work(films: Films, shelf: Shelf, told: list[Recording], until: Any) -> None:
        films.record(True)
        films.add(FRAMES)
        films.close()
        await until(lambda how: how.url)
        await asyncio.sleep(0.2)
        assert shelf.take(told[-1].url) is None

    filming(work)


def test_only_the_newest_wait_to_be_fetched() -> None:
    async def work(films: Films, shelf: Shelf, told: list[Recording], until: Any) -> None:
        urls: list[str] = []
        for _ in range(KEPT + 2):
            films.record(True)
            films.add(FRAMES)
            films.record(False)
            await until(lambda how: how.url and how.url not in urls)
            urls.append(told[-1].url)
        assert [shelf.take(url) is None for url in urls] == [True] * 2 + [False] * KEPT

    filming(work)

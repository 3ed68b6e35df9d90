"""Sessions from wishes: the likeliest one is there before anybody asks."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldrt.actions import SUFFIX
from worldrt.errors import ConfigError, OutputError
from worldrt.protocol.requests import Start as Wish
from worldrt.server.engine import Engine
from worldrt.server.opening import Opener, check_bounded
from worldrt.session import Session
from worldrt.transcript import Transcript
from worldrt.world import World


def opening(world: World, work: Callable[[Opener, Engine], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        engine = Engine()
        opener = Opener(engine, world, "tiny", ("room",), context_frames=0, **more)
        try:
            async with asyncio.timeout(30):
                await work(opener, engine)
        finally:
            await opener.close()
            engine.close()

    asyncio.run(run())


def test_what_was_prepared_is_given_to_who_wishes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    prime = Session._prime
    monkeypatch.setattr(
        Session, "_prime", lambda session, start: (made.append(session), prime(session, start))[1]
    )

    async def work(opener: Opener, engine: Engine) -> None:
        opener.prepare(Wish(seed=5))
        opened = await opener.open(Wish(start="room", seed=5), opener.progress())
        assert made == [opened.session]
        assert opened.wish == Wish(start="room", seed=5, policy="window")
        again = await opener.open(Wish(start="room", seed=5), opener.progress())
        assert made == [opened.session, again.session]
        for each in (opened, again):
            each.session.close()

    opening(world, work)


def test_what_nobody_wished_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = Session.close
    monkeypatch.setattr(Session, "close", lambda session: (closed.append(session), close(session)))

    async def work(opener: Opener, engine: Engine) -> None:
        opener.prepare(Wish(seed=5))
        opened = await opener.open(Wish(seed=6), opener.progress())
        assert opened.wish.seed == 6
        while not closed:
            await asyncio.sleep(0.01)
        assert len(closed) == 1 and closed[0] is not opened.session
        opener.prepare(Wish(seed=7))
        await opener.close()
        await asyncio.wrap_future(engine.submit(lambda: None))
        assert len(closed) == 2
        opened.session.close()

    opening(world, work)


@pytest.mark.parametrize(
    "wish, sentence",
    [
        (Wish(start="roof"), "Unknown start 'roof': did you mean 'room'? choose one of room."),
        (Wish(policy="windo"), "Unknown policy 'windo': did you mean 'window'?"),
        (Wish(policy="full"), "Policy 'full' keeps every frame"),
    ],
)
def test_wishes_that_can_not_be_are_refused(world: World, wish: Wish, sentence: str) -> None:
    async def work(opener: Opener, engine: Engine) -> None:
        with pytest.raises(ConfigError) as refused:
            await opener.open(wish, opener.progress())
        assert str(refused.value).startswith(sentence)

    opening(world, work)


def test_progress_tells_what_is_done_and_learns_how_long_it_takes(world: World) -> None:
    async def work(opener: Opener, engine: Engine) -> None:
        progress = opener.progress()
        before = progress.message()
        opened = await opener.open(Wish(), progress)
        assert progress.stage == "Remembering what 'room' shows"
        after = opener.progress().message()
        assert before.eta_s is not None and after.eta_s is not None
        assert not np.isclose(before.eta_s, after.eta_s)
        opened.session.close()

    opening(world, work)


def test_logs_are_named_for_time_and_session_and_only_the_newest_are_kept(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldrt.server.opening.MOST_LOGS", 2)
    folder = tmp_path / "deep" / "logs"

    async def work(opener: Opener, engine: Engine) -> None:
        opened = await opener.open(Wish(), opener.progress())
        for name in ("aa", "bb", "cc"):
            log = await opener.log(opened, name)
            assert log is not None and log.path.name.endswith(f"-{name}{SUFFIX}")
            log.close()
        opened.session.close()

    opening(world, work, logs=folder)
    kept = sorted(path.name.rpartition("-")[2] for path in folder.iterdir())
    assert kept == [f"bb{SUFFIX}", f"cc{SUFFIX}"]


def test_without_a_folder_there_is_no_log(world: World) -> None:
    async def work(opener: Opener, engine: Engine) -> None:
        opened = await opener.open(Wish(), opener.progress())
        assert await opener.log(opened, "aa") is None
        opened.session.close()

    opening(world, work)


def test_a_live_session_is_bounded(world: World) -> None:
    check_bounded(world, "window:recent=8")
    with pytest.raises(ConfigError, match="Policy 'full' keeps every frame"):
        check_bounded(world, "full")
    with pytest.raises(ConfigError) as caught:
        check_bounded(world, "window:sink=0,recent=30000")
    assert str(caught.value) == (
        "Policy 'window:sink=0,recent=30000' keeps 30004 frames, a live session at most 256; ask "
        "for fewer."
    )


def test_logs_that_can_not_be_written_are_a_sentence(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def work(opener: Opener, engine: Engine) -> None:
        opened = await opener.open(Wish(), opener.progress())
        with pytest.raises(OutputError, match="for action logs can't be made"):
            await opener.log(opened, "aa")
        opened.session.close()

    opening(world, work, logs=tmp_path / "file" / "logs")


def test_a_log_tells_the_threads_that_the_walk_is_made_with(world: World, tmp_path: Path) -> None:
    async def work(opener: Opener, engine: Engine) -> None:
        opened = await opener.open(Wish(), opener.progress())
        log = await opener.log(opened, "aa")
        assert log is not None
        log.close()
        assert Transcript(log.path).header.threads == engine.threads
        opened.session.close()

    opening(world, work, logs=tmp_path)

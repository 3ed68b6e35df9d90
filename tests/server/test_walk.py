"""Sessions that are left, taken up again and looked on at, on a real socket."""

import asyncio
import gc
import io
import json
import urllib.error
import urllib.request
import weakref
from contextlib import AsyncExitStack
from pathlib import Path

import av
import pytest

from tests.server.guests import guest, live
from worldrt.protocol import replies, requests
from worldrt.protocol.packets import Coding, Flag
from worldrt.protocol.terms import Close, Codec
from worldrt.server.app import App
from worldrt.session import Session
from worldrt.starts import Start


@pytest.mark.parametrize("codec", Codec)
def test_a_lost_connection_is_taken_up_again(world_folder: Path, codec: Codec) -> None:
    async def work(app: App) -> None:
        async with guest(app, codecs=(codec,)) as one:
            welcome = await one.hear(replies.Welcome)
            await one.begin(seed=5)
            before = await one.walk(8)
            one.connection.transport.abort()
        await asyncio.sleep(0.3)
        async with guest(app, resume=welcome.resume, codecs=(codec,)) as two:
            again = await two.hear(replies.Welcome)
            assert again.session == welcome.session and again.resume != welcome.resume
            assert again.watch == welcome.watch
            ready = await two.hear(replies.Ready)
            assert (ready.epoch, ready.seed, ready.frame % 4) == (2, 5, 0)
            frames = await two.walk(9)
            heads = [each.header for each in frames]
            assert heads[0].frame == ready.frame - 1 >= 7
            assert [head.frame - heads[0].frame for head in heads] == list(range(9))
            assert [head.pts_us for head in heads] == [100_000 * index for index in range(9)]
            assert {head.epoch for head in heads} == {2}
            assert Flag.KEY in heads[0].flags and Flag.KEY in heads[1].flags
            assert before[-1].pose == frames[0].pose
        async with guest(app, resume=welcome.resume) as late:
            code, why = await late.closed()
            assert (code, why) == (Close.TOKEN, "That session is over, or never was.")

    live(work, world_folder)


def test_a_welcome_that_is_lost_locks_nobody_out(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            token = (await one.hear(replies.Welcome)).resume
            await one.begin()
            one.connection.transport.abort()
        async with guest(app, resume=token) as two:
            # It never reads what would take the session up the next time.
            await two.connection.recv()
            two.connection.transport.abort()
        async with guest(app, resume=token) as three:
            assert (await three.hear(replies.Ready)).epoch == 3
            await three.walk(5)

    live(work, world_folder)


def test_a_walk_stands_still_while_its_client_is_away(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            welcome = await one.hear(replies.Welcome)
            await one.say(requests.Settings(max_lead_ms=10_000))
            await one.begin()
            await one.walk(4)
            await one.say(requests.Input(seq=1, t_us=1, keys=1))
        await asyncio.sleep(0.1)
        async with guest(app, watch=welcome.watch) as spectator:
            frame = (await spectator.hear(replies.Ready)).frame
            await asyncio.sleep(1)
            async with guest(app, resume=welcome.resume) as two:
                ready = await two.hear(replies.Ready)
                assert ready.frame <= frame + 4
                frames = await two.walk(9)
                first, last = frames[0].pose, frames[-1].pose
                assert first and last and first.position == last.position, "no key is held"

    live(work, world_folder)


def test_another_connection_takes_the_place_of_the_older_one(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            welcome = await one.hear(replies.Welcome)
            await one.begin()
            async with guest(app, resume=welcome.resume) as two:
                assert await one.closed() == (
                    Close.REPLACED,
                    "The session goes on in another connection.",
                )
                await two.walk(5)
                assert app.health().sessions == 1

    live(work, world_folder)


def test_spectators_see_all_and_move_nothing(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            watch = (await one.hear(replies.Welcome)).watch
            await one.begin()
            await one.walk(8)
            async with guest(app, watch=watch) as two, guest(app, watch="nonsense") as three:
                assert (await three.closed())[0] == Close.TOKEN
                welcome = await two.hear(replies.Welcome)
                assert (welcome.driver, welcome.resume, welcome.watch) == (False, "", "")
                ready = await two.hear(replies.Ready)
                await two.say(requests.Input(seq=1, t_us=1, keys=1), requests.Pause(paused=True))
                await two.say(requests.Start(seed=9), requests.Policy(id=1, name="infinity"))
                driven = await one.walk(12)
                seen = [await two.packet() for _ in range(9)]
                assert seen[0].header.frame == ready.frame - 1
                same = {each.header.frame: each.picture for each in driven}
                assert sum(same.get(each.header.frame) == each.picture for each in seen) >= 8
                poses = [each.pose for each in driven]
                assert poses[0] == poses[-1]
                await one.say(requests.Pause(paused=True))
                assert (await two.hear(replies.Paused)).paused
                await one.hear(replies.Stats, lambda said: said.spectators == 1)
                async with guest(app, watch=watch) as four:
                    assert await four.closed() == (Close.FULL, "1 look on already.")
                await one.say(requests.Bye())
                assert await two.closed() == (
                    Close.ENDED,
                    "The session that you watched is over.",
                )

    live(work, world_folder, spectators=1)


def test_each_codec_is_coded_for_those_who_show_it(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            watch = (await one.hear(replies.Welcome)).watch
            await one.begin()
            await one.walk(8)
            async with guest(app, watch=watch, codecs=("h264",)) as two:
                assert (await two.hear(replies.Ready)).codec is Codec.H264
                driven = await one.walk(12)
                assert {each.header.coding for each in driven} == {Coding.JPEG}
                seen = [await two.packet() for _ in range(6)]
                assert {each.header.coding for each in seen} == {Coding.H264}
                # The newest one again by itself, then the next one of those that go on.
                assert [Flag.KEY in each.header.flags for each in seen] == [True] * 2 + [False] * 4

    live(work, world_folder)


def test_statistics_tell_of_cache_memory_and_speed(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.begin()
            await one.walk(24)
            stats = await one.hear(replies.Stats, lambda said: said.chunk >= 4)
            assert {part.name for part in stats.partitions} >= {"sink", "recent", "mid", "spatial"}
            assert sum(part.bytes for part in stats.partitions) > 0
            assert stats.memory_bytes > 0 and stats.points > 0 and stats.keyframes > 0
            assert 0 < stats.fps < 1.5 * stats.capacity_fps
            assert {"steps", "decode", "encode"} <= set(stats.stage_ms)
            assert stats.rss_bytes > 1e8 and stats.spectators == 0 and stats.dropped == 0

    live(work, world_folder)


def test_a_recording_is_fetched_once_and_holds_what_was_generated(world_folder: Path) -> None:
    async def work(app: App) -> None:
        def fetch(url: str) -> bytes:
            with urllib.request.urlopen(app.url.rstrip("/") + url) as answer:
                assert answer.headers["Content-Type"] == "video/mp4"
                return answer.read()

        async with guest(app) as one:
            await one.say(requests.Record(on=True))
            assert (await one.hear(replies.Recording)).why == "There is no walk yet to record."
            await one.begin()
            await one.say(requests.Record(on=True))
            await one.hear(replies.Recording, lambda said: said.on)
            await one.walk(12)
            await one.hear(replies.Recording, lambda said: said.frames >= 8)
            await one.say(requests.Record(on=False))
            done = await one.hear(replies.Recording, lambda said: not said.on)
            film = await asyncio.to_thread(fetch, done.url)
            with av.open(io.BytesIO(film), "r") as video:
                assert sum(1 for _ in video.decode(video=0)) == done.frames
                assert (video.streams.video[0].width, video.streams.video[0].height) == (512, 384)
            with pytest.raises(urllib.error.HTTPError, match="404"):
                await asyncio.to_thread(fetch, done.url)

    live(work, world_folder)


def test_a_recording_ends_by_itself(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.begin()
            await one.say(requests.Record(on=True))
            await one.walk(16)
            done = await one.hear(replies.Recording, lambda said: not said.on)
            assert (done.frames, done.why) == (6, "A recording is 6 frames long at most.")
            assert done.url.startswith("/recordings/")

    live(work, world_folder, record_s=0.6)


def test_actions_are_logged_and_the_log_is_named(world_folder: Path, tmp_path: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            ready = await one.begin(seed=4)
            await one.say(requests.Input(seq=1, t_us=1, keys=1))
            await one.walk(12)
            await one.say(requests.Bye())
            await one.closed()
        names.append(ready.log)

    names: list[str] = []
    live(work, world_folder, logs=tmp_path / "logs")
    (path,) = (tmp_path / "logs").iterdir()
    assert [path.name] == names
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert (lines[0]["world"], lines[0]["start"], lines[0]["seed"]) == (
        str(world_folder),
        "room",
        4,
    )
    assert [line["t"] for line in lines[1:]] == ["block"] * lines[-1]["blocks"] + ["end"]
    assert {line.get("keys", 0) for line in lines[1:-1]} >= {1}
    assert lines[-2]["poses"] != lines[1]["poses"]


def test_nothing_is_left_of_guests_that_came_and_went(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async def visit() -> None:
            async with AsyncExitStack() as there:
                one = await there.enter_async_context(guest(app))
                watch = (await one.hear(replies.Welcome)).watch
                await one.begin()
                two = await there.enter_async_context(guest(app, watch=watch))
                await two.hear(replies.Ready)
                await one.walk(4)
                await one.say(requests.Bye())
                await one.closed()
                await two.closed()

        await visit()
        await asyncio.sleep(0.2)
        before = {repr(task.get_coro()) for task in asyncio.all_tasks()}
        for _ in range(3):
            await visit()
        await asyncio.sleep(0.2)
        assert {repr(task.get_coro()) for task in asyncio.all_tasks()} == before
        assert app._house.engine.seats == 0
        assert app.health().sessions == app.health().spectators == 0

    live(work, world_folder)


def test_a_session_that_is_over_takes_no_memory(
    world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even until garbage is looked for: each may hold gigabytes."""
    sessions: list[weakref.ref[Session]] = []
    prime = Session._prime

    def note(session: Session, start: Start) -> None:
        sessions.append(weakref.ref(session))
        prime(session, start)

    monkeypatch.setattr(Session, "_prime", note)

    async def work(app: App) -> None:
        gc.collect()
        gc.disable()
        try:
            for _ in range(2):
                async with guest(app) as one:
                    await one.say(requests.Settings(plan=True))
                    await one.begin()
                    await one.walk(4)
                    await one.begin(seed=8)
                    await one.walk(4)
                    await one.say(requests.Bye())
                    await one.closed()
            while any(each() for each in sessions):
                await asyncio.sleep(0.05)
        finally:
            gc.enable()
        assert len(sessions) >= 4

    live(work, world_folder, limit_s=30)

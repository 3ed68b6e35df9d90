"""What a server makes of messages, on a real socket with a world for tests."""

import math
from pathlib import Path

import numpy as np
import pytest
from msgspec import convert

from tests.server.guests import Guest, guest, live
from worldrt.geometry.camera import Camera
from worldrt.protocol import replies, requests
from worldrt.protocol.packets import DIOPTRE, Coding, Flag
from worldrt.protocol.terms import KEYMAP, Close, Codec, Delivery, State
from worldrt.server.app import App


async def answer(one: Guest, request: requests.FromClient) -> list[replies.Receipt]:
    """All receipts for a request, the last one final."""
    await one.say(request)
    found = [await one.hear(replies.Receipt)]
    if found[0].state is State.RECEIVED:
        found.append(await one.hear(replies.Receipt))
    return found


def test_switch_policy_and_prompt_get_receipts(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            early = await answer(one, requests.Switch(id=7, mode="cut"))
            assert early[0].why == "There is no walk yet; begin one first."
            ready = await one.begin()
            assert ready.policy == "window"
            await one.walk(4)
            received, applied = await answer(one, requests.Switch(id=8, mode="keep"))
            assert (received.state, received.id, applied.id) == (State.RECEIVED, 8, 8)
            assert applied.state is State.APPLIED and applied.chunk is not None
            assert 1 <= applied.chunk <= 2
            refused = (await answer(one, requests.Switch(id=9, mode="cutt")))[-1]
            assert refused.state is State.REFUSED
            assert refused.why.startswith("Unknown switch mode 'cutt': did you mean 'cut'?")
            refused = (await answer(one, requests.Policy(id=10, name="full")))[-1]
            assert refused.why == (
                "Policy 'full' keeps every frame, and a live session has no end; choose another "
                "one."
            )
            applied = (await answer(one, requests.Policy(id=11, name="infinity")))[-1]
            assert applied.state is State.APPLIED
            refused = await answer(one, requests.Prompt(id=12, text="a canyon"))
            assert [each.state for each in refused] == [State.REFUSED]
            assert refused[0].why == "World 'tiny' takes no text; walk on without it."
            await one.walk(8)

    live(work, world_folder)


@pytest.mark.parametrize(
    "wish, sentence",
    [
        ({"start": "roof"}, "Unknown start 'roof': did you mean 'room'? choose one of room."),
        ({"start": "../../etc/passwd.png"}, "Unknown start '../../etc/passwd.png'"),
        ({"policy": "windo"}, "Unknown policy 'windo': did you mean 'window'?"),
        ({"policy": "full"}, "Policy 'full' keeps every frame"),
    ],
)
def test_a_start_that_can_not_be_is_a_sentence(
    world_folder: Path, wish: dict[str, str], sentence: str
) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.say(convert(wish, requests.Start))
            fault = await one.hear(replies.Fault)
            assert fault.text.startswith(sentence)
            await one.begin()
            await one.walk(4)

    live(work, world_folder)


def test_an_input_is_applied_once_and_frames_say_so(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.begin()
            await one.walk(4)
            await one.say(requests.Input(seq=5, t_us=1, keys=1))
            frames = await one.walk(12)
            applied = await one.hear(replies.Applied)
            assert applied.seq == 5
            assert applied.received_us <= applied.latched_us <= applied.done_us
            cutover = [each.header for each in frames if Flag.CUTOVER in each.header.flags]
            assert [(head.seq, head.chunk, head.index) for head in cutover][:1] == [
                (5, applied.chunk, 0)
            ]
            assert {head.header.seq for head in frames} <= {0, 5}

    live(work, world_folder)


def test_frames_carry_pose_times_and_depth(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            lens = (await one.hear(replies.Welcome)).world.lens
            await one.say(requests.Settings(depth=True))
            await one.begin()
            frames = await one.walk(8)
            heads = [each.header for each in frames]
            assert [head.frame for head in heads] == list(range(8))
            assert [head.pts_us for head in heads] == [100_000 * index for index in range(8)]
            assert [head.index for head in heads] == [0, 1, 2, 3] * 2
            assert [Flag.LAST in head.flags for head in heads] == ([False] * 3 + [True]) * 2
            assert all(head.flags & Flag.KEY and head.coding is Coding.JPEG for head in heads)
            assert (heads[0].width, heads[0].height) == (lens.width, lens.height) == (64, 48)
            assert all(head.sent_us >= heads[0].sent_us > 0 for head in heads)
            for each in frames:
                assert each.depth is not None and each.depth.shape == (12, 16)
                near = each.depth[each.depth > 0] / DIOPTRE
                assert 1 / 20 < np.median(near) < 1
                assert each.pose is not None
                assert math.isclose(np.linalg.norm(each.pose.quaternion), 1, rel_tol=1e-6)
                assert math.isclose(math.tan(each.pose.fov / 2), 24 / 38.4, rel_tol=1e-6)
                assert each.pose.position[1] == 0

    live(work, world_folder)


def test_h264_is_sent_to_who_shows_it_and_to_nobody_else(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app, codecs=("jpeg", "av1", "h264")) as one:
            assert (await one.begin()).codec is Codec.JPEG
            assert (await one.packet()).header.coding is Coding.JPEG
            await one.say(requests.Settings(codec=Codec.H264))
            await one.say(requests.Ack(epoch=1, frame=3, shown_us=1))
            while (packet := (await one.walk(1))[0]).header.coding is Coding.JPEG:
                pass
            assert Flag.KEY in packet.header.flags and packet.picture.startswith(b"\0\0\0\1")
            # The newest frame again, then a key frame and those that hang on it.
            following = await one.walk(8)
            keys = [Flag.KEY in each.header.flags for each in following]
            assert keys == [True] + [False] * 7
        async with guest(app) as two:
            await two.say(requests.Settings(codec=Codec.H264))
            assert (await two.begin()).codec is Codec.JPEG

    live(work, world_folder, places=2)


def test_the_clock_is_told(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.say(requests.Clock(t0_us=77))
            told = await one.hear(replies.ClockIs)
            assert told.t0_us == 77 and 0 < told.t1_us <= told.t2_us

    live(work, world_folder)


def test_a_paused_walk_stands_still_but_for_steps(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.say(requests.Pause(paused=True))
            assert (await one.begin()).paused
            frames = await one.walk(4)
            await one.say(requests.Step(), requests.Step())
            frames += await one.walk(4)
            await one.hear(replies.Stats, lambda said: said.chunk == 1)
            await one.hear(replies.Stats)
            assert one.packets == [], "two steps at once are one"
            await one.say(requests.Pause(paused=False))
            await one.hear(replies.Paused, lambda said: not said.paused)
            frames += await one.walk(8)
            assert [each.header.frame for each in frames] == list(range(16))

    live(work, world_folder)


def test_nothing_is_made_beyond_what_was_shown_and_the_lead(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.say(requests.Settings(max_lead_ms=1200, delivery=Delivery.LOSSLESS))
            ready = await one.begin()
            assert (ready.max_lead_ms, ready.delivery) == (1200, Delivery.LOSSLESS)
            told = [await one.hear(replies.Stats) for _ in range(3)]
            assert told[-1].chunk == 2, "twelve frames at ten a second"

    live(work, world_folder)


def test_starting_again_is_another_epoch(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            first = await one.begin(seed=1)
            await one.walk(6)
            again = await one.begin(seed=2, policy="infinity")
            assert (first.epoch, again.epoch) == (1, 2)
            assert (again.seed, again.policy, again.frame) == (2, "infinity", 0)
            one.packets = [each for each in one.packets if each.header.epoch == 2]
            new = await one.walk(6)
            assert [each.header.frame for each in new] == list(range(6))

    live(work, world_folder)


def test_bye_ends_the_session(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.begin()
            await one.say(requests.Bye())
            assert await one.closed() == (Close.ENDED, "You have left.")
            assert app.health().sessions == 0

    live(work, world_folder)


def test_the_view_of_a_camera() -> None:
    from worldrt.server.coding import vertical_fov

    camera = Camera(width=10, height=20, fx=5.0, fy=10.0, cx=5.0, cy=10.0)
    assert math.isclose(vertical_fov(camera), math.pi / 2)


def test_one_change_at_a_time(world_folder: Path) -> None:
    """The model thread makes blocks for others as well."""

    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.begin()
            await one.walk(4)
            count = 40
            names = ("window", "infinity")
            await one.say(*(requests.Policy(id=id, name=names[id % 2]) for id in range(count)))
            last = [await one.hear(replies.Receipt, _decided) for _ in range(count)]
            states = {receipt.state for receipt in last}
            assert states == {State.APPLIED, State.REFUSED}
            why = {receipt.why for receipt in last if receipt.state is State.REFUSED}
            assert why == {"Another change is under way; ask again when it is done."}
            assert (await one.walk(8))[-1].header.frame > 8

    live(work, world_folder)


def _decided(receipt: replies.Receipt) -> bool:
    return receipt.state is not State.RECEIVED


def test_taps_of_a_pause_are_not_walked_after_it(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.begin()
            await one.walk(4)
            await one.say(requests.Pause(paused=True))
            await one.hear(replies.Paused)
            await one.say(
                requests.Input(seq=1, t_us=1, keys=KEYMAP["W"], look=(60.0, 0.0)),
                requests.Input(seq=2, t_us=2, look=(60.0, 0.0)),
                requests.Pause(paused=False),
            )
            poses = [each.pose for each in await one.walk(12)]
            assert len({pose for pose in poses if pose is not None}) == 1

    live(work, world_folder)


def test_a_recording_is_for_the_one_who_drives(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            watch = (await one.hear(replies.Welcome)).watch
            await one.begin()
            async with guest(app, watch=watch) as two:
                await two.hear(replies.Ready)
                await one.say(requests.Record(on=True))
                await one.walk(8)
                await one.say(requests.Record(on=False))
                assert (await one.hear(replies.Recording, lambda how: how.url)).frames > 0
                await two.say(requests.Clock(t0_us=1))
                await two.hear(replies.ClockIs)
                assert not any(isinstance(each, replies.Recording) for each in two.messages)

    live(work, world_folder)

"""Pictures of the memory come to those who asked for them, and to nobody else."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.server.guests import guest, live
from worldrt.protocol import replies, requests
from worldrt.protocol.packets import Coding, Kind, Plan, Recalled
from worldrt.server.app import App


def test_plan_and_recalled_frames_are_pictures_with_notes(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            watch = (await one.hear(replies.Welcome)).watch
            await one.say(requests.Settings(plan=True))
            ready = await one.begin()
            async with guest(app, watch=watch) as two:
                await two.hear(replies.Ready)
                await one.walk(12)
                plan = await one.packet(Kind.PLAN)
                assert plan.header.coding is Coding.PNG and plan.header.epoch == ready.epoch
                assert isinstance(plan.notes, Plan) and plan.notes.keyframes
                image = Image.open(io.BytesIO(plan.picture))
                assert image.size == (plan.header.width, plan.header.height)
                strip = await one.packet(Kind.RECALLED)
                assert isinstance(strip.notes, Recalled) and strip.notes.frames
                image = Image.open(io.BytesIO(strip.picture))
                assert image.size == (64 * len(strip.notes.frames), 48)
                assert image.size == (strip.header.width, strip.header.height)
                assert np.asarray(image).std() > 5
                # Its pictures go on while it walks.
                await one.walk(12)
                later = await one.packet(Kind.PLAN)
                assert later.header.frame > plan.header.frame
                await two.hear(replies.Stats)
                assert {each.header.kind for each in two.packets} == {Kind.VIDEO}

    live(work, world_folder)


def test_a_walk_that_stands_still_is_not_drawn_again_and_again(world_folder: Path) -> None:
    async def work(app: App) -> None:
        async with guest(app) as one:
            watch = (await one.hear(replies.Welcome)).watch
            await one.say(requests.Settings(plan=True), requests.Pause(paused=True))
            await one.begin()
            await one.walk(4)
            await one.packet(Kind.PLAN)
            one.messages.clear()
            for _ in range(5):
                await one.hear(replies.Stats)
            assert Kind.PLAN not in {each.header.kind for each in one.packets}
            async with guest(app, watch=watch) as two:
                await two.say(requests.Settings(plan=True))
                await two.packet(Kind.PLAN)

    live(work, world_folder)

"""The Python client and the real server, in the tiny world."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import av
import numpy as np
import pytest

from worldrt.client.chunk import Chunk
from worldrt.client.stream import connect
from worldrt.errors import ServerError
from worldrt.protocol.packets import Plan
from worldrt.protocol.replies import Queue
from worldrt.protocol.terms import Close, Codec, State
from worldrt.server.app import running
from worldrt.server.house import Serving


@asynccontextmanager
async def served(folder: Path, **how: Any) -> AsyncIterator[str]:
    """The address of a server."""
    async with running(Serving(world=str(folder), port=0, context_frames=4, **how)) as app:
        await app.loaded
        yield app.url.replace("http", "ws", 1)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(90):
            await work

    asyncio.run(bounded())


def moved(chunk: Chunk) -> bool:
    return not np.allclose(chunk.poses[0], chunk.poses[-1])


@pytest.mark.parametrize("codec", Codec)
def test_a_walk(world_folder: Path, codec: Codec) -> None:
    async def work() -> None:
        wishes: dict[str, Any] = {"depth": True, "plan": True, "seed": 5}
        async with served(world_folder) as url, connect(url, codec=codec, **wishes) as walk:
            lens, block = walk.welcome.world.lens, walk.welcome.world.block_frames
            assert (walk.ready.seed, walk.ready.codec) == (5, codec)
            first = await anext(walk)
            assert first.indices == tuple(range(block)) and not moved(first)
            assert first.frames.shape == (block, lens.height, lens.width, 3)
            assert first.depth is not None and (first.depth > 0).any()
            rotations = first.poses[:, :3, :3]
            assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-6)
            walk.hold("L")
            while (chunk := await anext(walk)).seq < walk.seq:
                assert not moved(chunk)
            assert moved(chunk)
            walk.hold("")
            while moved(await anext(walk)):
                pass
            walk.look(-3 * walk.welcome.world.turn_step)
            while not moved(await anext(walk)):
                pass
            while walk.plan is None or walk.stats is None:
                await anext(walk)
            assert isinstance(walk.plan.notes, Plan) and walk.samples[0].stages is not None

    run(work())


def test_what_can_be_asked_for(world_folder: Path) -> None:
    async def work() -> None:
        async with served(world_folder) as url, connect(url) as walk:
            world = walk.welcome.world
            ours = next(each for each in world.policies if each.name == walk.ready.policy)
            receipt = await walk.switch(ours.modes[-1])
            assert receipt.state is State.APPLIED and receipt.chunk is not None
            other = next(each.name for each in world.policies if each.name != walk.ready.policy)
            assert (await walk.policy(other)).state is State.APPLIED
            for refused, why in (
                (walk.policy("nowhere"), "Unknown policy 'nowhere'"),
                (walk.prompt("A garden."), "takes no text"),
            ):
                with pytest.raises(ServerError, match=why):
                    await refused
            assert await walk.record(True) == ""
            for _ in range(3):
                await anext(walk)
            film = await walk.record(False)
            data = await asyncio.to_thread(lambda: urlopen(film).read())
            with av.open(BytesIO(data), "r") as container:
                frames = sum(1 for _ in container.decode(video=0))
            assert frames >= world.block_frames
            last = await anext(walk)
            await walk.pause()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        last = await anext(walk)
            walk.step()
            assert (await anext(walk)).number == last.number + 1
            await walk.go_on()
            await anext(walk)
            ready = await walk.restart(seed=9)
            assert (ready.seed, ready.epoch) == (9, 2)
            while (chunk := await anext(walk)).epoch == 1:
                pass
            assert chunk.indices[0] == 0

    run(work())


def test_looking_on_waiting_and_coming_back(world_folder: Path) -> None:
    async def work() -> None:
        told: list[Any] = []
        async with served(world_folder, token="oak") as url:
            with pytest.raises(ServerError) as caught:
                async with connect(url):
                    pass
            assert caught.value.code == Close.TOKEN
            async with connect(url, token="oak") as walk:
                await anext(walk)
                watching = connect(url, token="oak", watch=walk.welcome.watch)
                async with watching as friend:
                    seen = await anext(friend)
                    assert not friend.welcome.driver and seen.epoch == walk.ready.epoch
                waiting = asyncio.create_task(
                    connect(url, token="oak", waiting=told.append).__aenter__()
                )
                while not told:
                    await anext(walk)
                assert isinstance(told[0], Queue) and told[0].position == 1
                token = await walk.detach()
            async with connect(url, token="oak", resume=token) as walk:
                assert (await anext(walk)).epoch == 2
            guest = await waiting
            assert (await anext(guest)).indices[0] == 0
            await guest.__aexit__(None, None, None)

    run(work())

"""The client and the real server with a bad line between them: the walk goes on, no key sticks."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.client.lines import Line, forgetful
from worldrt.client.chunk import Chunk
from worldrt.client.stream import Walk, connect
from worldrt.server.app import running
from worldrt.server.house import Serving

PATIENCE_S = 90


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work

    asyncio.run(bounded())


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[int]:
    """The port of a server of the tiny world."""
    async with running(Serving(world=str(folder), port=0, context_frames=4)) as app:
        await app.loaded
        yield int(app.url.rstrip("/").rpartition(":")[2])


def yaws(chunk: Chunk) -> np.ndarray:
    """[F] degrees right of +z."""
    ahead = chunk.poses[:, :3, 2]
    return np.degrees(np.arctan2(ahead[:, 0], ahead[:, 2]))


async def stands(walk: Walk, chunks: int = 3) -> None:
    """Wait until the camera has not turned for so many chunks."""
    still, last = 0, None
    while still < chunks:
        found = yaws(await anext(walk))
        before = found[0] if last is None else last
        still = still + 1 if np.allclose(found, before, atol=1e-3) else 0
        last = found[-1]


def test_cuts_in_the_middle_of_a_chunk_do_not_end_the_walk(world_folder: Path) -> None:
    """Wherever a byte stream breaks off, the next connection goes on with the same walk: frames
    count on, and the camera is never further from where it was than the frames between allow."""

    async def work() -> None:
        random = Random(3)
        async with served(world_folder) as port, Line(port).open() as line:
            async with connect(line.url, seed=4) as walk:
                session, step = walk.welcome.session, walk.welcome.world.turn_step
                walk.hold("L")
                last = await anext(walk)
                for _ in range(6):
                    line.budget = random.randrange(1, 20_000)
                    epoch = last.epoch
                    while last.epoch == epoch:
                        chunk = await anext(walk)
                        gone = chunk.indices[0] - last.indices[-1]
                        assert gone >= 0 or chunk.epoch > last.epoch
                        turned = (yaws(chunk)[0] - yaws(last)[-1] + 180) % 360 - 180
                        assert abs(turned) <= step * max(abs(gone), 1) + 1e-3
                        last = chunk
                assert (walk.welcome.session, walk.ready.seed) == (session, 4)
                assert last.indices[-1] > 6

    run(work())


@pytest.mark.parametrize("heard", [0, 150, 400, 900, 2500])
def test_a_line_that_breaks_again_while_the_walk_is_taken_up(
    world_folder: Path, heard: int
) -> None:
    """The second connection is cut after `heard` bytes, before, in and after the welcome."""

    async def work() -> None:
        async with served(world_folder) as port, Line(port).open() as line:
            async with connect(line.url) as walk:
                session = walk.welcome.session
                await anext(walk)
                line.cut()
                line.budget = heard
                while (await anext(walk)).epoch == 1:
                    pass
                while line.calls < 3:
                    await anext(walk)
                for _ in range(3):
                    await anext(walk)
                assert walk.welcome.session == session

    run(work())


def test_a_late_line_is_known_to_be_late(world_folder: Path) -> None:
    async def work() -> None:
        async with served(world_folder) as port, Line(port).open() as line:
            line.delay_s = 0.15
            async with connect(line.url) as walk:
                while len(walk.samples) < 2:
                    walk.hold("" if walk.seq % 2 else "L")
                    await anext(walk)
                assert walk.clock.round_trip_us >= 2 * 0.15e6
                # One machine, one clock: what is off is no more than the lines are uneven.
                assert abs(walk.clock.here(0)) <= walk.clock.round_trip_us / 2
                assert all(sample.lag_ms >= 300 for sample in walk.samples)

    run(work())


@pytest.mark.slow
def test_a_line_of_a_tenth_still_obeys_within_a_few_chunks(world_folder: Path) -> None:
    """What is under way is bounded by what was shown, not by what buffers hold."""

    async def work() -> None:
        async with served(world_folder) as port, Line(port).open() as line:
            async with connect(line.url, max_lead_ms=50) as walk:
                first = await anext(walk)
                world = walk.welcome.world
                need = line.passed / len(first.indices) * world.fps
                line.bytes_per_s = need / 10
                walk.hold("L")
                chunks = 1
                while (await anext(walk)).seq < walk.seq:
                    chunks += 1
                assert chunks <= 4

    run(work())


@pytest.mark.parametrize("seed", range(3))
def test_inputs_lost_doubled_and_swapped_stick_no_key(world_folder: Path, seed: int) -> None:
    """A tenth of each. The camera turns while a key is held and comes to rest when it is not."""

    async def work() -> None:
        async with served(world_folder) as port, forgetful(port, seed, 0.1) as url:
            async with connect(url) as walk:
                await stands(walk)
                for keys in ("L", "J", "L"):
                    walk.hold(keys)
                    before = yaws(await anext(walk))[-1]
                    while np.isclose(yaws(await anext(walk))[-1], before):
                        pass
                    walk.hold("")
                    await stands(walk)

    run(work())

"""From blocks to connections: each is coded once a codec, in a pool, and goes to all who look."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from worldrt.geometry.camera import Camera
from worldrt.protocol.terms import Codec
from worldrt.server.coding import Coded, Coder, Telling, coder, shots
from worldrt.server.link import Link
from worldrt.server.seat import Seen

log = logging.getLogger(__name__)


class _Order(NamedTuple):
    """A block and what its headers say; `only`: the newest frame again, for one who has come."""

    seen: Seen
    told: Telling
    only: Link | None


class Publisher:
    """Codes the blocks of one walk in their order.

    What waits here is bounded by the pacer: a block is not made before those before it are shown.

    Args:
        camera: of the frames.
        fps: frames a second.
        pool: where coding is done.
        audience: who looks on, asked anew for each block.
        coded: told the seconds that a block took to code.
        fail: told why no further block will be coded.
    """

    def __init__(
        self,
        camera: Camera,
        fps: float,
        pool: Executor,
        audience: Callable[[], Iterable[Link]],
        coded: Callable[[float], None],
        fail: Callable[[BaseException], object],
    ) -> None:
        self._camera, self._fps, self._pool = camera, fps, pool
        self._audience, self._coded = audience, coded
        self._orders: asyncio.Queue[_Order] = asyncio.Queue()
        self._coders: dict[Codec, Coder] = {}
        self._newest: _Order | None = None
        self._epoch = 0
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())
        self._fail = fail
        self._task.add_done_callback(self._ended)

    def begin(self) -> None:
        """Another walk: what was made before is not shown any more."""
        while not self._orders.empty():
            self._orders.get_nowait()
        self._newest = None

    def publish(self, seen: Seen, epoch: int, first: int) -> None:
        """Send a block.

        Args:
            seen: the block.
            epoch: that its frames belong to.
            first: frame of the epoch that has the time 0.
        """
        before = self._newest
        newer = seen.latched.seq > (before.seen.latched.seq if before else 0)
        cutover = newer and (
            before is None or not np.array_equal(seen.latched.axes, before.seen.latched.axes)
        )
        told = Telling(epoch, first, self._fps, seen.index, seen.latched.seq, cutover, seen.done)
        self._newest = _Order(seen, told, None)
        self._orders.put_nowait(self._newest)

    def repeat(self, link: Link, epoch: int, first: int, now: float) -> None:
        """Send the newest frame once more, to one who has come."""
        if self._newest is None:
            return
        seen, told, _ = self._newest
        sight = seen.sight
        last = slice(len(sight.frames) - 1, None)
        sight = replace(
            sight,
            frames=sight.frames[last],
            depth=sight.depth[last],
            poses=sight.poses[last],
            first=sight.first + last.start,
        )
        told = told._replace(epoch=epoch, first=first, cutover=False, done=now)
        self._orders.put_nowait(_Order(replace(seen, sight=sight), told, link))

    def close(self) -> None:
        """Stop; what waits is not sent."""
        self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a block could not be coded", exc_info=error)
            self._fail(error)

    async def _run(self) -> None:
        while True:
            order = await self._orders.get()
            if order.only is not None:
                # A coder of its own: the others' goes on without a key frame that they don't need.
                alone = coder(order.only.codec, self._camera, self._fps)
                await self._code(order, alone, [order.only], fresh=True)
                order.only.mailbox.wants_key = True
                continue
            if order.told.epoch != self._epoch:
                # What came before is not shown any more: nothing may be told as a change to it.
                self._coders.clear()
                self._epoch = order.told.epoch
            links: dict[Codec, list[Link]] = {}
            for link in self._audience():
                links.setdefault(link.codec, []).append(link)
            for codec in set(self._coders) - set(links):
                del self._coders[codec]
            for codec, watching in links.items():
                known = self._coders.setdefault(codec, coder(codec, self._camera, self._fps))
                fresh = any(link.mailbox.wants_key for link in watching)
                await self._code(order, known, watching, fresh)

    async def _code(self, order: _Order, coder: Coder, links: list[Link], fresh: bool) -> None:
        deep = any(link.depth for link in links)

        def show(coded: Coded) -> None:
            for link in links:
                link.show(coded.deep if link.depth else coded.plain)

        def work() -> float:
            spent, sight = 0.0, order.seen.sight
            for coded in shots(sight, self._camera, order.told, coder, fresh, deep):
                self._loop.call_soon_threadsafe(show, coded)
                spent = coded.plain.since - order.told.done
            return spent

        self._coded(await self._loop.run_in_executor(self._pool, work))

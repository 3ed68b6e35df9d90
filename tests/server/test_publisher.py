"""Blocks become packets in order, once a codec."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.server.test_coding import CAM, chunk
from worldrt.protocol.packets import Coding, Flag, Header, read_packet
from worldrt.protocol.terms import Codec, Delivery
from worldrt.server.coding import Jpeg, Shot
from worldrt.server.inputs import Latched
from worldrt.server.mailbox import Mailbox
from worldrt.server.publisher import Publisher
from worldrt.server.seat import Seen


class Screen:
    """A connection that keeps what it is shown."""

    def __init__(self, codec: Codec = Codec.JPEG) -> None:
        self.codec, self.depth = codec, False
        self.mailbox = Mailbox(8, Delivery.LATEST)
        self.heads: list[Header] = []

    def show(self, shot: Shot) -> None:
        self.mailbox.show(shot)
        while isinstance(out := self.mailbox.take(), Shot):
            self.heads.append(read_packet(out.packet).header)


def seen(index: int, seq: int = 0, ahead: float = 0.0) -> Seen:
    axes = np.zeros((4, 4))
    axes[:, 1] = ahead
    return Seen(chunk(4, first=4 * index), Latched(axes, 0, seq, 0), index, began=0.0, done=0.1)


def publishing(
    screens: list[Screen], work: Callable[[Publisher, Callable[[int], Awaitable[None]]], Any]
) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(2) as pool:
            coded: list[float] = []
            failed: list[BaseException] = []
            links: Any = screens
            publisher = Publisher(CAM, 10.0, pool, lambda: links, coded.append, failed.append)

            async def until(count: int) -> None:
                while len(coded) < count:
                    await asyncio.sleep(0.002)
                await asyncio.sleep(0)

            async with asyncio.timeout(20):
                await work(publisher, until)
            publisher.close()

    asyncio.run(run())


def test_blocks_come_in_order() -> None:
    screen = Screen()

    async def work(publisher: Publisher, until: Callable[[int], Awaitable[None]]) -> None:
        for index in range(5):
            publisher.publish(seen(index), 1, 0)
        await until(5)

    publishing([screen], work)
    assert [head.frame for head in screen.heads] == list(range(20))
    assert {head.epoch for head in screen.heads} == {1}


def test_a_change_of_what_is_held_is_flagged_and_a_heartbeat_is_not() -> None:
    screen = Screen()

    async def work(publisher: Publisher, until: Callable[[int], Awaitable[None]]) -> None:
        for index, (seq, ahead) in enumerate([(0, 0.0), (3, 1.0), (4, 1.0), (4, 0.0), (5, 0.0)]):
            publisher.publish(seen(index, seq, ahead), 1, 0)
        await until(5)

    publishing([screen], work)
    cutover = [head.chunk for head in screen.heads if Flag.CUTOVER in head.flags]
    assert cutover == [1]
    assert all(head.index == 0 for head in screen.heads if Flag.CUTOVER in head.flags)


def test_each_block_is_coded_once_for_all_who_show_a_codec(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    code = Jpeg.__call__
    monkeypatch.setattr(
        Jpeg, "__call__", lambda self, frame, key: (calls.append(1), code(self, frame, key))[1]
    )
    screens = [Screen(), Screen(), Screen(Codec.H264)]
    screens[1].depth = True

    async def work(publisher: Publisher, until: Callable[[int], Awaitable[None]]) -> None:
        publisher.publish(seen(0), 1, 0)
        await until(2)

    publishing(screens, work)
    assert len(calls) == 4
    assert [len(screen.heads) for screen in screens] == [4, 4, 4]
    assert [Flag.DEPTH in screen.heads[0].flags for screen in screens] == [False, True, False]
    assert screens[2].heads[0].coding is Coding.H264


def test_who_comes_late_begins_with_a_key_frame() -> None:
    early, late = Screen(Codec.H264), Screen(Codec.H264)
    screens = [early]

    async def work(publisher: Publisher, until: Callable[[int], Awaitable[None]]) -> None:
        publisher.publish(seen(0), 1, 0)
        await until(1)
        screens.append(late)
        publisher.repeat(late, 1, 0, 0.2)  # type: ignore[arg-type]
        publisher.publish(seen(1), 1, 0)
        await until(3)

    publishing(screens, work)
    assert [head.frame for head in late.heads] == [3, 4, 5, 6, 7]
    keys = [head.frame for head in late.heads if Flag.KEY in head.flags]
    assert keys == [3, 4], "what it was shown alone is no base for what follows"
    assert [head.frame for head in early.heads] == list(range(8))


def test_another_epoch_begins_with_a_key_frame_and_its_own_time() -> None:
    screen = Screen(Codec.H264)

    async def work(publisher: Publisher, until: Callable[[int], Awaitable[None]]) -> None:
        publisher.publish(seen(0), 1, 0)
        publisher.publish(seen(1), 2, 3)
        await until(2)

    publishing([screen], work)
    keys = [(head.epoch, head.frame) for head in screen.heads if Flag.KEY in head.flags]
    assert keys == [(1, 0), (2, 4)]
    assert screen.heads[4].pts_us == 100_000


def test_another_walk_repeats_nothing_of_the_one_before() -> None:
    screen = Screen()

    async def work(publisher: Publisher, until: Callable[[int], Awaitable[None]]) -> None:
        publisher.publish(seen(0), 1, 0)
        await until(1)
        publisher.begin()
        publisher.repeat(screen, 2, 0, 0.2)  # type: ignore[arg-type]
        publisher.publish(seen(0), 2, 0)
        await until(2)

    publishing([screen], work)
    assert [(head.epoch, head.frame) for head in screen.heads[4:]] == [(2, n) for n in range(4)]

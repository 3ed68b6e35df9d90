"""Figures of a walk, from blocks whose times are known."""

from typing import Any

import numpy as np
import pytest

from tests.server.test_coding import chunk
from worldrt.memory.occupancy import Occupancy
from worldrt.memory.slots import Region
from worldrt.server.course import Course
from worldrt.server.inputs import Latched
from worldrt.server.seat import Made, Seen

CALM: dict[str, Any] = dict(lead_ms=40.0, dropped=3, spectators=2, rss_bytes=99)


def made(index: int, began: float, done: float) -> Made:
    from dataclasses import replace

    shown = replace(chunk(), partitions={Region.SINK: Occupancy(1, 12, 345)}, evicted=17)
    return Made(
        chunk=shown,
        seen=Seen(shown, Latched(np.zeros((4, 4)), 0, 0, 0), index, began, done - 0.001),
        ended=done,
        points=5,
        keyframes=6,
        memory_bytes=7,
    )


def test_there_are_none_before_a_block() -> None:
    assert Course(4).stats(1.0, **CALM) is None


def test_speed_is_what_was_made_and_capacity_what_could_be() -> None:
    course = Course(4)
    for index in range(11):
        course.add(made(index, index, index + 0.1))
    stats = course.stats(10.1, **CALM)
    assert stats is not None
    assert stats.fps == pytest.approx(4) and stats.capacity_fps == pytest.approx(40)
    assert stats.chunk == 10
    late = course.stats(20.1, **CALM)
    assert late is not None and late.fps == pytest.approx(2), "a walk that stands slows down"


def test_all_else_is_told_as_it_is() -> None:
    course = Course(4)
    course.add(made(0, 0.0, 0.1))
    course.coded(0.004)
    stats = course.stats(0.1, **CALM)
    assert stats is not None
    assert stats.stage_ms == {"steps": 40.0, "decode": 7.0, "encode": 4.0}
    (part,) = stats.partitions
    assert (part.name, part.frames, part.tokens, part.bytes) == ("sink", 1, 12, 345)
    assert (stats.evicted, stats.points, stats.keyframes, stats.memory_bytes) == (17, 5, 6, 7)
    assert (stats.lead_ms, stats.dropped, stats.spectators, stats.rss_bytes) == (40, 3, 2, 99)


def test_it_keeps_one_block() -> None:
    course = Course(4)
    for index in range(100):
        course.add(made(index, index, index + 0.1))
    assert course.newest is not None and course.newest.seen.index == 99 and len(course._took) <= 32

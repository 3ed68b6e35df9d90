"""A walked course: the session's own frames, what they cost, and where a walk ends early."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import look, room_start, standing
from worldrt.bench.course import Course
from worldrt.bench.metrics import psnr
from worldrt.bench.policy_walk import walk
from worldrt.errors import ConfigError
from worldrt.session import Session
from worldrt.world import World

TOKENS = 12
"""Of a frame of the tiny world."""


def room_course(frames: int) -> Course:
    """A turn on through the room of the tests; the left half of each frame passes for seen."""
    poses = np.stack([standing(0.3, -1.0, 100.0 + 10 * frame) for frame in range(frames)])
    truth = np.stack([look(pose)[0] for pose in poses])
    seen = np.zeros(truth.shape[:3], np.bool_)
    seen[..., :32] = True
    seen[-1] = True
    return Course(start=room_start(8), poses=poses, truth=truth, seen=seen)


def dreamt(world: World, course: Course, policy: str) -> NDArray[np.uint8]:
    """The course as a session shows it."""
    padded = np.concatenate([course.poses, course.poses[-1:].repeat(3, axis=0)])
    with Session(world, course.start, policy=policy) as session:
        chunks = [
            session.follow(padded[first : first + 4]) for first in range(0, len(course.poses), 4)
        ]
    return np.concatenate([chunk.frames for chunk in chunks])[: len(course.poses)]


def test_frames_are_the_sessions_own(world: World) -> None:
    course = room_course(10)
    found = walk(world, course, "window", 100)
    assert found.whole and len(found.blocks) == 3
    np.testing.assert_array_equal(found.frames, dreamt(world, course, "window"))


def test_every_frame_is_scored_against_its_truth(world: World) -> None:
    course = room_course(8)
    found = walk(world, course, "window", 100)
    for number, (image, truth) in enumerate(zip(found.frames, course.truth, strict=True)):
        assert found.psnr[number] == pytest.approx(psnr(image, truth))
        if number < 7:
            parts = psnr(image[:, :32], truth[:, :32]), psnr(image[:, 32:], truth[:, 32:])
            assert found.psnr_seen[number] == pytest.approx(parts[0])
            assert found.psnr_novel[number] == pytest.approx(parts[1])
    assert np.isnan(found.psnr_novel[7]) and found.psnr_seen[7] == pytest.approx(found.psnr[7])


def test_context_is_what_was_there_before_the_block(world: World) -> None:
    """Two blocks of real frames come first; then four frames of sink and eight recent ones."""
    found = walk(world, room_course(20), "window", 100)
    assert [block.context for block in found.blocks] == [8 * TOKENS] + [12 * TOKENS] * 4
    assert len({block.bytes for block in found.blocks}) == 1
    assert all(block.milliseconds > block.policy_ms >= 0 for block in found.blocks)


def test_walk_ends_where_the_context_has_grown_too_long(world: World) -> None:
    course = room_course(30)
    found = walk(world, course, "full", 16)
    assert [block.context for block in found.blocks] == [8 * TOKENS, 12 * TOKENS, 16 * TOKENS, 240]
    assert not found.whole and len(found.frames) == len(found.psnr) == 16
    np.testing.assert_array_equal(found.frames, dreamt(world, course, "full")[:16])


def test_unknown_policy_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="Unknown policy 'windw'"):
        walk(world, room_course(4), "windw", 10)

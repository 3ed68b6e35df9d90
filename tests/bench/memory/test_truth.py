"""What the simulator draws along a course, with and without things that move."""

from dataclasses import replace

import numpy as np
import pytest

from tests.tiny import CAMERA as CONFIG
from worldrt.bench.memory.course import courses
from worldrt.bench.memory.truth import Truth
from worldrt.config import MotionConfig
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import yaw_pitch

pytest.importorskip("vizdoom")
CAMERA = Camera.centred(CONFIG)
MOTION = MotionConfig(move_step=0.22, turn_step=5.0)


def test_return_shows_what_the_way_out_showed() -> None:
    course = courses("S1", 3, MOTION, 6)[0]
    asked = []

    def progress(frames):
        for frame in frames:
            asked.append(frame)
            yield frame

    truth = Truth.render(course, CAMERA, progress=progress)
    assert asked == list(range(13))
    assert truth.rgb.shape == (13, 48, 64, 3) and truth.depth.shape == (13, 48, 64)
    np.testing.assert_array_equal(truth.rgb, truth.rgb[::-1])
    np.testing.assert_array_equal(truth.depth, truth.depth[::-1])
    assert (truth.ids == -1).all() and truth.still is truth.depth
    some, same = Truth.render(course, CAMERA, [5, 2]), truth.at(np.array([5, 2]))
    for name in ("rgb", "depth", "ids", "poses"):
        np.testing.assert_array_equal(getattr(some, name), getattr(same, name))


def test_things_move_and_hide_what_is_behind() -> None:
    course = next(c for c in courses("S6", 3, MOTION, 40) if c.name == "S6-exit-moving-40")
    end = len(course.poses) - 1
    frames = [0, 31, end]
    truth = Truth.render(course, CAMERA, frames)
    empty = Truth.render(replace(course, movers=None), CAMERA, frames)
    assert set(np.unique(truth.ids[0])) == {-1, 0, 1, 2, 3}
    assert not np.array_equal(truth.rgb[2], truth.rgb[1])
    np.testing.assert_array_equal(empty.rgb[0], empty.rgb[2])
    there = truth.ids >= 0
    assert (truth.depth[there] < empty.depth[there]).all()
    np.testing.assert_array_equal(truth.depth[~there], empty.depth[~there])
    np.testing.assert_array_equal(truth.still, np.where(there, 0, empty.depth))


def test_a_town_is_looked_at_up_and_down() -> None:
    """Seen twice from one pose it is the same, and looking up there is more sky."""
    course = courses("S4", 3, MOTION)[1]
    assert course.in_town and len(course.poses) == 164
    high, low = (int(pick(yaw_pitch(course.poses[:82])[1])) for pick in (np.argmax, np.argmin))
    truth = Truth.render(course, CAMERA, [high, low, 82 + high])
    np.testing.assert_array_equal(truth.rgb[0], truth.rgb[2])
    np.testing.assert_array_equal(truth.depth[0], truth.depth[2])
    assert (truth.depth[0] == 0).mean() > (truth.depth[1] == 0).mean() + 0.1
    assert (truth.ids == -1).all()
    other = Truth.render(replace(course, seed=4), CAMERA, [high])
    assert (other.depth[0] != truth.depth[0]).any(), "each seed has its own"

"""Scores of what moved while nobody looked, on squares that slide before a grey wall."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import CAMERA as CONFIG
from worldrt.bench.memory.course import courses
from worldrt.bench.memory.moving import Return, figures, lag, liveness
from worldrt.bench.memory.truth import Truth
from worldrt.config import MotionConfig
from worldrt.geometry.camera import Camera
from worldrt.simulators.movers import Movers

CAMERA = Camera(width=40, height=30, fx=20.0, fy=20.0, cx=20.0, cy=15.0)
FRAMES = 5
SIDE = 6
NOWHERE = -99


def scene(*columns: int) -> Truth:
    """A red square a frame, its left column given, before a textured wall; NOWHERE: none."""
    random = np.random.default_rng(0)
    rgb = random.integers(90, 110, (30, 40, 3)).astype(np.uint8)[None].repeat(FRAMES, axis=0)
    depth = np.full((FRAMES, 30, 40), 4.0, np.float32)
    ids = np.full((FRAMES, 30, 40), -1, np.int8)
    for frame, column in enumerate(columns):
        if column != NOWHERE:
            cut = frame, slice(10, 10 + SIDE), slice(column, column + SIDE)
            rgb[cut], depth[cut], ids[cut] = (220, 20, 20), 2.0, 0
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    return Truth(rgb=rgb, depth=depth, ids=ids, poses=poses, camera=CAMERA)


TRUTH = scene(8, 9, 10, 11, 12)
FROZEN = scene(*[18] * FRAMES)
EMPTY = scene()
BACK = Return(truth=TRUTH, frozen=FROZEN, empty=EMPTY)


def test_the_truth_is_perfect() -> None:
    told = figures(TRUTH.rgb, BACK, 0)
    assert told == {"liveness": 1, "iou": 1, "stale": 0, "position": 0, "colour": 0}


def test_a_frozen_memory_has_no_life() -> None:
    told = figures(FROZEN.rgb, BACK, 0)
    assert told["liveness"] == 0 and told["iou"] == 0 and told["stale"] == 1
    # 10 to 6 columns off; a column at 2 m is 2/20 m.
    assert told["position"] == pytest.approx((10 + 9 + 8 + 7 + 6) / 5 * 2 / 20)
    assert "colour" not in told


def test_an_empty_maze_is_half_right() -> None:
    """Of a thing's two places, where it is and was, one is as it should be."""
    told = figures(EMPTY.rgb, BACK, 0)
    assert (
        told["liveness"] == pytest.approx(0.5, abs=0.01) and told["iou"] == 0 and told["stale"] == 0
    )
    assert "position" not in told


def test_both_places_at_once_is_a_ghost() -> None:
    both = np.where((FROZEN.ids == 0)[..., None], FROZEN.rgb, TRUTH.rgb)
    told = figures(both, BACK, 0)
    assert told["stale"] == 1 and told["iou"] == pytest.approx(0.5)
    assert told["liveness"] == pytest.approx(0.5, abs=0.01)


def test_a_little_late_is_nearly_alive() -> None:
    late = scene(7, 8, 9, 10, 11).rgb
    told = figures(late, BACK, 0)
    assert told["position"] == pytest.approx(2 / 20)
    assert told["iou"] == pytest.approx(5 / 7)
    # One column of six is missing where it was.
    assert told["liveness"] == pytest.approx(1 - 1 / 12, abs=0.02)


def test_colour_error_is_a_share_of_white() -> None:
    tinted = TRUTH.rgb.copy()
    tinted[TRUTH.ids == 0] -= np.array([51, 0, 0], np.uint8)
    assert figures(tinted, BACK, 0)["colour"] == pytest.approx(0.2 / 3)


def test_worse_than_frozen_is_negative() -> None:
    white = np.full_like(TRUTH.rgb, 255)
    assert liveness(white, BACK, 0) < 0


def test_what_cannot_be_told_is_left_out() -> None:
    nothing = Return(truth=TRUTH, frozen=TRUTH, empty=EMPTY)
    assert math.isnan(liveness(EMPTY.rgb, nothing, 0)), "the frozen one is right already"
    assert math.isnan(liveness(EMPTY.rgb, BACK, 1)), "there is no such thing"
    assert figures(EMPTY.rgb, BACK, 1) == {}


def test_another_thing_in_its_place_is_no_ghost() -> None:
    truth = scene(8, 9, 10, 11, 12)
    other = np.zeros((FRAMES, 30, 40), np.bool_)
    other[:, 10 : 10 + SIDE, 18 : 18 + SIDE] = True
    truth.rgb[other], truth.ids[other] = (20, 220, 20), 1
    back = Return(truth=truth, frozen=FROZEN, empty=EMPTY)
    told = figures(truth.rgb, back, 0)
    assert told["iou"] == 1 and "stale" not in told


@pytest.mark.parametrize(
    ("shown", "frames"),
    [(EMPTY.rgb, 0), (FROZEN.rgb, 5), (np.r_[FROZEN.rgb[:2], EMPTY.rgb[2:]], 2)],
)
def test_lag_of_what_vanished(shown: NDArray[np.uint8], frames: int) -> None:
    assert lag(shown, Return(truth=EMPTY, frozen=FROZEN, empty=EMPTY), 0) == frames


@pytest.mark.parametrize(
    ("shown", "frames"),
    [(FROZEN.rgb, 0), (EMPTY.rgb, 5), (np.r_[EMPTY.rgb[:3], FROZEN.rgb[3:]], 3)],
)
def test_lag_of_what_appeared(shown: NDArray[np.uint8], frames: int) -> None:
    assert lag(shown, Return(truth=FROZEN, frozen=EMPTY, empty=EMPTY), 0) == frames


@pytest.mark.parametrize("name", ["S6-exit-moving-40", "S6-back-replaced-40"])
def test_a_recorded_return_is_frozen_as_last_seen(name: str) -> None:
    pytest.importorskip("vizdoom")
    camera = Camera.centred(CONFIG)
    motion = MotionConfig(move_step=0.22, turn_step=5.0)
    course = next(one for one in courses("S6", 3, motion, 40) if one.name == name)
    truth = Truth.render(course, camera)
    back = Return.record(course, truth)
    scored = np.flatnonzero(course.scored)
    np.testing.assert_array_equal(back.truth.rgb, truth.rgb[scored])
    assert (back.empty.ids == -1).all()
    np.testing.assert_array_equal(back.frozen.rgb, back.frozen.rgb[:1].repeat(32, axis=0))
    assert course.movers is not None and course.hidden is not None
    for thing, mover in enumerate(course.movers.movers):
        shown = bool((back.frozen.ids == thing).any())
        assert shown == (mover.kind != "added")
        if name == "S6-exit-moving-40":
            seen = np.flatnonzero((truth.ids[: course.hidden.start] == thing).any(axis=(1, 2)))
            _, _, alone = Movers([mover]).draw(
                back.empty.rgb[0], back.empty.depth[0], course.poses[0], camera, int(seen[-1])
            )
            found = back.frozen.ids[0]
            free = (found < 0) | (found == thing)  # elsewhere another may hide it
            np.testing.assert_array_equal((alone == 0)[free], (found == thing)[free])
    told = [figures(back.truth.rgb, back, thing) for thing in range(len(course.movers))]
    assert all(one.get("liveness", 1) == 1 and one.get("iou", 1) == 1 for one in told)

"""Laps that close to the last bit, and the truth along them."""

import math
from pathlib import Path

import numpy as np
import pytest

from worldrt.bench.course import Course, laps
from worldrt.bench.metrics import psnr
from worldrt.config import MotionConfig
from worldrt.errors import ConfigError
from worldrt.simulators.doom.maze import generate
from worldrt.world import World

MOTION = MotionConfig(move_step=0.2, turn_step=10.0)
LAP = 60
SEED = 4


def test_every_lap_is_the_first_one_again() -> None:
    start = generate(SEED).start()
    poses = laps(generate(SEED), start, LAP, 2 * LAP + 17, MOTION, SEED)
    assert poses.shape == (2 * LAP + 17, 4, 4)
    np.testing.assert_array_equal(poses[LAP:], poses[:-LAP])
    np.testing.assert_array_equal(poses[LAP - 1], start)
    assert len({pose.tobytes() for pose in poses}) == LAP


@pytest.mark.parametrize("turn_step", [5.0, 10.0, 7.0])
def test_no_step_is_larger_than_the_motion_allows(turn_step: float) -> None:
    motion = MotionConfig(move_step=0.2, turn_step=turn_step)
    maze = generate(SEED)
    poses = np.concatenate([maze.start()[None], laps(maze, maze.start(), 98, 200, motion, SEED)])
    moved = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
    cosines = np.einsum("fi,fi->f", poses[1:, :3, 2], poses[:-1, :3, 2])
    turned = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    assert moved.max() <= 0.2 + 1e-9 and turned.max() <= turn_step + 1e-4
    assert moved.sum() > 5 and all(maze.free(pose[:3, 3]) for pose in poses)


def test_lap_comes_back_looking_the_other_way() -> None:
    maze = generate(SEED)
    places = laps(maze, maze.start(), LAP, LAP, MOTION, SEED)[:, :3, 3]
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    # Half turns at both ends stand still, all other places are passed twice.
    assert ((apart < 1e-9).sum(axis=0) >= 2).all()
    assert apart.max() > 1


@pytest.mark.parametrize("lap", [0, 35, 36, 61])
def test_laps_that_cannot_close_are_refused(lap: int) -> None:
    with pytest.raises(ConfigError, match=f"above 36, two half turns, got {lap}"):
        laps(generate(SEED), generate(SEED).start(), lap, 10, MOTION, SEED)


def test_course_holds_what_is_really_there(world: World, tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    course = Course.record(world, SEED, context=6, lap=LAP, frames=LAP + 8)
    assert course.truth.shape == (LAP + 8, 48, 64, 3) and course.seen.shape == (LAP + 8, 48, 64)
    assert len(course.start.poses) == 7
    np.testing.assert_array_equal(course.truth[LAP:], course.truth[:8])
    # The lap ends where the last real frame stood, and all that shows was seen from there.
    assert psnr(course.truth[LAP - 1], course.start.rgb[-1]) > 60
    assert course.seen[LAP - 1].mean() > 0.99 > course.seen.mean() > 0.1
    yaw = math.degrees(math.acos(course.poses[0, :3, 2] @ course.start.poses[-1][:3, 2]))
    assert yaw <= MOTION.turn_step

    course.write(tmp_path / "course.npz")
    again = Course.read(tmp_path / "course.npz")
    for name in ("poses", "truth", "seen"):
        np.testing.assert_array_equal(getattr(again, name), getattr(course, name))
    for name in ("rgb", "depth", "poses"):
        np.testing.assert_array_equal(getattr(again.start, name), getattr(course.start, name))

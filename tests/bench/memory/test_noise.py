"""Noise of the size it states, level, seeded, and the same however a course is cut."""

import numpy as np
import pytest

from worldrt.bench.memory.course import courses
from worldrt.bench.memory.noise import CHUNK, noisy, noisy_depth
from worldrt.config import MotionConfig
from worldrt.geometry.se3 import check_pose, inverse, yaw_pitch

MOTION = MotionConfig(move_step=0.22, turn_step=5.0)
COURSE = courses("S7", 2, MOTION, 500)[-1]


def test_each_step_is_off_by_a_little() -> None:
    off = []
    for seed in range(20):
        told = noisy(COURSE, seed)
        np.testing.assert_array_equal(told[0], COURSE.poses[0])
        steps, true = (inverse(poses[:-1]) @ poses[1:] for poses in (told, COURSE.poses))
        off.append(inverse(true) @ steps)
    off = np.concatenate(off)
    length = np.tile(np.linalg.norm(np.diff(COURSE.poses[:, :3, 3], axis=0), axis=1), 20)
    assert np.abs(off[length == 0][:, :3, 3]).max() < 1e-9, "who stands does not slip"
    slip = off[length > 0][:, :3, 3] / length[length > 0][:, None]
    np.testing.assert_allclose(slip[:, [0, 2]].std(axis=0), 0.005, rtol=0.05)
    assert np.abs(slip[:, 1]).max() < 1e-9
    assert np.degrees(yaw_pitch(off)[0]).std() == pytest.approx(0.05, rel=0.05)


def test_errors_add_up_and_poses_stay_level() -> None:
    apart = [
        np.linalg.norm(noisy(COURSE, seed)[:, :3, 3] - COURSE.poses[:, :3, 3], axis=1)
        for seed in range(10)
    ]
    assert np.mean(apart, axis=0)[-1] > 3 * np.mean(apart, axis=0)[300] > 0
    for pose in noisy(COURSE, 3)[::100]:
        check_pose(pose)
        assert pose[1, 3] == pytest.approx(COURSE.poses[0, 1, 3], abs=1e-9)
        np.testing.assert_allclose(pose[1, :3], [0, 1, 0], atol=1e-9)


def test_seeds_of_poses() -> None:
    np.testing.assert_array_equal(noisy(COURSE, 4), noisy(COURSE, 4))
    assert not np.array_equal(noisy(COURSE, 4), noisy(COURSE, 5))


def test_depth_noise_has_its_size_and_a_scale_a_chunk() -> None:
    depth = np.full((40 * CHUNK, 9, 11), 3.0, np.float32)
    told = noisy_depth(depth, 0, 1)
    assert told.dtype == np.float32
    scale = (told / depth).mean(axis=(1, 2)).reshape(40, CHUNK)
    assert scale.std(axis=1).max() < 0.01 < 0.03 < scale.mean(axis=1).std() < 0.07
    within = told / told.mean(axis=(1, 2), keepdims=True)
    assert within.std() == pytest.approx(0.02, rel=0.05)


def test_depth_noise_does_not_depend_on_the_cut() -> None:
    depth = np.random.default_rng(0).uniform(1, 5, (37, 5, 7)).astype(np.float32)
    depth[:, 2, 3] = 0
    whole = noisy_depth(depth, 10, 1)
    np.testing.assert_array_equal(whole[20:], noisy_depth(depth[20:], 30, 1))
    assert (whole[:, 2, 3] == 0).all() and (whole[depth > 0] > 0).all()
    assert not np.array_equal(whole, noisy_depth(depth, 10, 2))

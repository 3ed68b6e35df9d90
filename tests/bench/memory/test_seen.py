"""What was seen before, against a test of every pixel in every frame, one at a time."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.bench.memory import ways
from worldrt.bench.memory.seen import METRES, SHARE, Past
from worldrt.bench.memory.truth import Truth
from worldrt.config import MotionConfig
from worldrt.geometry.camera import Camera
from worldrt.simulators.doom.depth import cast
from worldrt.simulators.doom.maze import generate

CAMERA = Camera(width=27, height=21, fx=14.0, fy=15.0, cx=13.2, cy=10.1)
MOTION = MotionConfig(move_step=0.22, turn_step=5.0)


def still_life(poses: NDArray[np.float64], depth: NDArray[np.floating]) -> Truth:
    depth = np.asarray(depth, np.float32)
    return Truth(
        rgb=np.zeros((*depth.shape, 3), np.uint8),
        depth=depth,
        ids=np.full(depth.shape, -1, np.int8),
        poses=poses,
        camera=CAMERA,
    )


def in_maze(seed: int, frames: int) -> Truth:
    maze = generate(seed)
    poses = ways.random_walk(maze, frames, MOTION, np.random.default_rng(seed))
    depth = [
        cast(maze.heights, CAMERA, pose[:3, 3], math.atan2(pose[0, 2], pose[2, 2]))
        for pose in poses
    ]
    return still_life(poses, np.stack(depth))


def brute_force(truth: Truth, frame: int, known: list[int]) -> NDArray[np.bool_]:
    """The rule, pixel by pixel."""
    found = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
    clean = np.where(np.isfinite(truth.depth) & (truth.ids < 0), truth.depth, 0)
    points = CAMERA.unproject(clean[frame], truth.poses[frame])
    for other in known:
        pixels, z = CAMERA.project(points, truth.poses[other])
        for y, x in np.argwhere((clean[frame] > 0) & (z > 0)):
            column, row = pixels[y, x]
            if not (0 <= column < CAMERA.width and 0 <= row < CAMERA.height):
                continue
            around = [
                clean[other, i, j]
                for i in (int(row + 0.5) - 1, int(row + 0.5))
                for j in (int(column + 0.5) - 1, int(column + 0.5))
                if 0 <= i < CAMERA.height and 0 <= j < CAMERA.width and clean[other, i, j] > 0
            ]
            slack = 0.01 * z[y, x] + 0.02
            if around and min(around) - slack <= z[y, x] <= max(around) + slack:
                found[y, x] = True
    return found


@pytest.mark.parametrize("seed", range(6))
def test_against_brute_force_in_a_maze(seed: int) -> None:
    truth = in_maze(seed, 120)
    past = Past(truth)
    random = np.random.default_rng(seed)
    share = []
    for frame in (119, 60, 31):
        known = sorted(random.choice(frame, 9, replace=False).tolist())
        found = past.seen(frame, np.array(known))
        np.testing.assert_array_equal(found, brute_force(truth, frame, known))
        share.append(found.mean())
    assert max(share) > 0.05


def test_against_brute_force_in_rubble() -> None:
    """Random depths, tilted cameras, holes: every tile is a mess and no ball is small."""
    random = np.random.default_rng(5)
    frames = 8
    depth = random.uniform(0.3, 6, (frames, CAMERA.height, CAMERA.width))
    depth[random.random(depth.shape) < 0.1] = 0
    depth[random.random(depth.shape) < 0.05] = np.inf
    depth[random.random(depth.shape) < 0.05] = np.nan
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for pose in poses:
        pose[:3, :3] = np.linalg.qr(random.normal(size=(3, 3)))[0]
        pose[:3, :3] *= np.sign(np.linalg.det(pose[:3, :3]))
        pose[:3, 3] = random.normal(size=3)
    truth = still_life(poses, depth)
    found = Past(truth).seen(7, np.arange(7))
    np.testing.assert_array_equal(found, brute_force(truth, 7, list(range(7))))
    assert 0.02 < found.mean() < 0.98


def test_only_earlier_frames_count_and_their_order_does_not() -> None:
    past = Past(in_maze(2, 60))
    known = np.array([40, 3, 59, 17, 30])
    found = past.seen(30, known)
    np.testing.assert_array_equal(found, past.seen(30, np.array([3, 17])))
    np.testing.assert_array_equal(found, past.seen(30, np.array([17, 3])))
    assert not past.seen(30, np.array([30, 31])).any()
    assert not past.seen(0, np.arange(60)).any()


def test_a_frame_with_the_same_pose_shows_everything() -> None:
    truth = in_maze(2, 5)
    truth.poses[4], truth.depth[4] = truth.poses[0], truth.depth[0]
    past = Past(truth)
    assert past.seen(4, np.array([0])).all()
    everything = np.ones((CAMERA.height, CAMERA.width), np.bool_)
    assert past.explained(4, np.array([0]), everything) == 1
    assert past.explained(4, np.array([], np.int64), everything) == 0
    assert math.isnan(past.explained(4, np.array([0]), ~everything))


def test_what_moves_is_never_seen_and_hides_what_is_behind() -> None:
    truth = in_maze(2, 3)
    truth.poses[:], truth.depth[:] = truth.poses[0], truth.depth[0]
    truth.ids[0, 5:9, 7:12] = 0
    truth.ids[2, 10:12, 3:5] = 1
    found = Past(truth).seen(2, np.array([0]))
    assert not found[10:12, 3:5].any()
    # Between the four pixels around it, one at the rim of a hole is still seen.
    assert not found[6:8, 8:11].any() and found[:4].all() and found[13:].all()


@pytest.mark.parametrize(("off", "hit"), [(0.9, True), (1.1, False), (-0.9, True), (-1.1, False)])
@pytest.mark.parametrize("depth", [0.5, 1.0, 7.0])
def test_slack_is_one_per_cent_and_two_centimetres(depth: float, off: float, hit: bool) -> None:
    slack = SHARE * depth + METRES
    walls = np.full((2, CAMERA.height, CAMERA.width), depth)
    walls[0] += off * slack
    found = Past(still_life(np.tile(np.eye(4), (2, 1, 1)), walls)).seen(1, np.array([0]))
    assert found.all() == found.any() == hit

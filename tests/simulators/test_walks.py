"""Walks: free, level, within the largest step, the same for a seed, and back where they say."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.config import MotionConfig
from worldrt.errors import ConfigError
from worldrt.simulators import walks
from worldrt.simulators.doom import maze
from worldrt.simulators.doom.maze import EYE, Maze

SLOW = MotionConfig(move_step=0.1, turn_step=5)
WORLDS = [maze.generate(seed) for seed in (0, 5, 9)]


def yaws(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """[F] radians, without jumps of a full turn."""
    return np.unwrap(np.arctan2(path[:, 0, 2], path[:, 2, 2]))


WALKS: dict[str, Callable[[Maze, int, MotionConfig, int], NDArray[np.float64]]] = {
    "wander": walks.wander,
    "look_around": lambda world, *rest: walks.look_around(world, world.start(), *rest),
    "explore_and_revisit": lambda world, *rest: walks.explore_and_revisit(
        world, world.start(), *rest
    ),
}
each_walk = pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())


@each_walk
@pytest.mark.parametrize("motion", [walks.BRISK, SLOW], ids=["brisk", "slow"])
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: str(world.seed))
def test_every_pose_can_be_taken(
    walk: Callable[[Maze, int, MotionConfig, int], NDArray[np.float64]],
    motion: MotionConfig,
    world: Maze,
) -> None:
    path = walk(world, 151, motion, 4)
    assert path.shape == (151, 4, 4) and path.dtype == np.float64
    assert all(world.free(place) for place in path[:, :3, 3])
    level = np.broadcast_to([0.0, 1, 0], (151, 3))
    np.testing.assert_array_equal(path[:, :3, 1], level)
    np.testing.assert_array_equal(path[:, 1, :3], level)
    np.testing.assert_array_equal(path[:, 1, 3], -EYE)
    turns = path[:, :3, :3] @ path[:, :3, :3].swapaxes(1, 2)
    np.testing.assert_allclose(turns, np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
    assert steps.max() <= motion.move_step + 1e-9
    assert np.abs(np.diff(yaws(path))).max() <= math.radians(motion.turn_step) + 1e-9
    assert steps.max() > 0.1 * motion.move_step, "it moves"


@each_walk
def test_a_seed_is_a_walk(
    walk: Callable[[Maze, int, MotionConfig, int], NDArray[np.float64]],
) -> None:
    one = walk(WORLDS[0], 90, walks.BRISK, 1)
    np.testing.assert_array_equal(walk(WORLDS[0], 90, walks.BRISK, 1), one)
    others = [walk(WORLDS[0], 90, walks.BRISK, seed) for seed in range(2, 8)]
    assert any(not np.array_equal(other, one) for other in others)


@each_walk
@pytest.mark.parametrize("frames", [1, 2, 3, 24, 25])
def test_any_length(
    walk: Callable[[Maze, int, MotionConfig, int], NDArray[np.float64]], frames: int
) -> None:
    assert len(walk(WORLDS[1], frames, walks.BRISK, 0)) == frames


@each_walk
@pytest.mark.parametrize("frames", [0, -3])
def test_no_frames_are_no_walk(
    walk: Callable[[Maze, int, MotionConfig, int], NDArray[np.float64]], frames: int
) -> None:
    with pytest.raises(ConfigError, match=f"at least 1 frame, got {frames}"):
        walk(WORLDS[0], frames, walks.BRISK, 0)


def test_looking_around_sees_all_sides() -> None:
    start = WORLDS[0].start()
    path = walks.look_around(WORLDS[0], start, 72, walks.BRISK, 3)
    np.testing.assert_array_equal(path[0], start)
    turned = yaws(path)
    assert abs(turned[-1] - turned[0]) == pytest.approx(math.tau * 71 / 72)
    assert np.linalg.norm(path[:, :3, 3] - start[:3, 3], axis=1).max() < 2.0
    sides = {
        np.sign(yaws(walks.look_around(WORLDS[0], start, 9, SLOW, seed))[-1] - turned[0])
        for seed in range(12)
    }
    assert sides == {-1.0, 1.0}


@pytest.mark.parametrize("frames", [120, 161], ids=str)
def test_a_revisit_comes_back_through_the_same_places(frames: int) -> None:
    start = WORLDS[2].start()
    path = walks.explore_and_revisit(WORLDS[2], start, frames, walks.BRISK, 6)
    half_turn = math.ceil(180 / walks.BRISK.turn_step)
    out = (frames - half_turn + 2) // 2
    way, back = path[:out], path[out + half_turn :]
    np.testing.assert_array_equal(path[0], start)
    standing = path[out - 1 : out + half_turn, :3, 3]
    np.testing.assert_array_equal(standing, np.broadcast_to(standing[0], standing.shape))
    np.testing.assert_allclose(back[:, :3, 3], way[-2::-1, :3, 3][: len(back)])
    np.testing.assert_allclose(back[:, :3, 2], -way[-2::-1, :3, 2][: len(back)], atol=1e-12)
    assert len(way) - len(back) in (1, 2), "nearly all the way back"
    assert np.linalg.norm(way[-1, :3, 3] - start[:3, 3]) > 4


def test_wandering_mixes_going_spinning_and_resting() -> None:
    still, spinning, straight, cells = [], [], [], []
    for seed in range(8):
        path = walks.wander(WORLDS[seed % 3], 200, walks.BRISK, seed)
        step = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
        turn = np.abs(np.diff(yaws(path)))
        still.append((step < 0.01) & (turn < 0.01))
        spinning.append((step < 0.02) & (turn > 0.05))
        straight.append((step > 0.1) & (turn < 0.05))
        cells.append(len({maze.cell_at(place) for place in path[:, :3, 3]}))
    assert 0.01 < np.mean(still) < 0.3
    assert 0.05 < np.mean(spinning) < 0.6
    assert 0.2 < np.mean(straight) < 0.8
    assert np.mean(cells) > 4


def test_goals_are_reached() -> None:
    world = WORLDS[1]
    for goal in world.cells[::9]:
        walk = walks._Walk(world, world.start(), 600, walks.BRISK, np.random.default_rng(2))
        walk.go(goal)
        x, z = maze.centre(goal)
        place = walk.path()[-1, :3, 3]
        assert math.hypot(place[0] - x, place[2] - z) < 2.1, goal

"""Ways through mazes: equal steps, closed rounds, rounds about rock, excursions that come back."""

import math

import numpy as np
import pytest

from worldrt.bench.memory import ways
from worldrt.config import MotionConfig
from worldrt.simulators.doom.maze import Maze, centre, generate

MOTION = MotionConfig(move_step=0.22, turn_step=5.0)
SEEDS = (0, 3, 11, 33)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def check_steps(way: ways.Way) -> None:
    """No frame goes farther or turns more than the motion allows."""
    assert np.linalg.norm(np.diff(way[:, :2], axis=0), axis=1).max() <= MOTION.move_step + 1e-9
    turned = np.abs((np.diff(way[:, 2]) + np.pi) % (2 * np.pi) - np.pi)
    assert np.degrees(turned).max() <= MOTION.turn_step + 1e-9


def check_free(maze: Maze, way: ways.Way) -> None:
    assert all(maze.free(pose[:3, 3]) for pose in ways.poses(way))


@pytest.mark.parametrize(
    ("yaw", "to", "frames"),
    [(0.0, 90.0, 18), (10.0, -10.0, 4), (170.0, -170.0, 4), (0.0, 1.0, 1), (5.0, 365.0, 0)],
)
def test_turn_takes_the_shorter_way_and_arrives(yaw: float, to: float, frames: int) -> None:
    at = np.array([3.0, 5.0, math.radians(yaw)])
    way = ways.turn(at, math.radians(to), MOTION)
    assert way.shape == (frames, 3)
    if frames:
        check_steps(np.concatenate([at[None], way]))
        assert (way[:, :2] == at[:2]).all()
        assert math.cos(way[-1, 2] - math.radians(to)) == pytest.approx(1)


@pytest.mark.parametrize(("metres", "frames"), [(0.22, 1), (0.23, 2), (4.0, 19), (0.0, 0)])
def test_line_has_equal_steps_and_ends_on_its_goal(metres: float, frames: int) -> None:
    at, to = np.array([1.3, 2.1, 0.4]), np.array([1.3 + metres * 0.6, 2.1 - metres * 0.8])
    way = ways.line(at, to, MOTION)
    assert way.shape == (frames, 3)
    if frames:
        steps = np.linalg.norm(np.diff(np.concatenate([at[None], way])[:, :2], axis=0), axis=1)
        np.testing.assert_allclose(steps, metres / frames)
        np.testing.assert_array_equal(way[-1], [*to, 0.4])


def test_poses_are_those_of_the_maze() -> None:
    from worldrt.simulators.doom.maze import pose

    way = np.array([[1.5, 7.0, 0.3], [2.0, 8.0, -3.0]])
    np.testing.assert_allclose(ways.poses(way), [pose(*row) for row in way], atol=1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_walk_looks_where_it_goes(seed: int) -> None:
    maze = generate(seed)
    cells = list(maze.explore(maze.cells[0]))
    start = ways.stand(cells[0], 0.3)
    way = ways.walk(start, maze.route(cells[0], cells[-1]), MOTION)
    whole = np.concatenate([start[None], way])
    check_steps(whole)
    check_free(maze, whole)
    np.testing.assert_array_equal(way[-1, :2], centre(cells[-1]))
    moved = np.diff(whole[:, :2], axis=0)
    moving = np.linalg.norm(moved, axis=1) > 0
    ahead = np.stack([np.sin(way[:, 2]), np.cos(way[:, 2])], axis=1)
    along = (moved * ahead).sum(axis=1)[moving]
    np.testing.assert_allclose(along, np.linalg.norm(moved, axis=1)[moving])
    assert not ways.walk(start, [cells[0]], MOTION).size


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_are_straight_open_and_as_long_as_they_go(seed: int) -> None:
    maze = generate(seed)
    free, runs = set(maze.cells), ways.runs(maze)
    assert [len(run) for run in runs] == sorted(map(len, runs), reverse=True)
    for run in runs:
        assert set(run) <= free
        if len(run) > 1:
            steps = np.diff(run, axis=0)
            assert (steps == steps[0]).all()
            assert tuple(np.add(run[-1], steps[0]).tolist()) not in free
            assert tuple(np.subtract(run[0], steps[0]).tolist()) not in free
    assert len(ways.longest_run(maze, rng())) == len(runs[0])


def winding(cells: list[tuple[int, int]], about: tuple[int, int]) -> float:
    """Turns that a closed round makes about a cell, by the sum of angles."""
    away = np.array([*cells, cells[0]]) - np.array(about)
    angles = np.arctan2(away[:, 0], away[:, 1])
    return float(((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi))


@pytest.mark.parametrize("seed", range(40))
def test_loop_is_closed_and_surrounds_rock(seed: int) -> None:
    maze = generate(seed)
    cells = ways.loop(maze)
    assert len(set(cells)) == len(cells) and set(cells) <= set(maze.cells)
    for a, b in zip(cells, cells[1:] + cells[:1], strict=True):
        assert abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1
    rock = [(int(r), int(c)) for r, c in np.argwhere(~maze.open_cells)]
    assert any(abs(winding(cells, cell)) > 0.5 for cell in rock)


@pytest.mark.parametrize("seed", SEEDS)
def test_closed_round_is_back_after_its_last_frame(seed: int) -> None:
    maze = generate(seed)
    for cells in (ways.square(maze, rng(seed)), ways.loop(maze)):
        way = ways.closed(cells, MOTION)
        twice = np.tile(way, (2, 1))
        check_steps(twice)
        check_free(maze, way)
        assert len(np.unique(ways.poses(way).reshape(len(way), -1), axis=0)) == len(way)


def test_square_is_clockwise_in_one_room() -> None:
    for seed in range(20):
        maze = generate(seed)
        cells = ways.square(maze, rng(seed))
        way = ways.closed(cells, MOTION)
        labels = {int(maze.labels[int(z), int(x)]) for x, z, _ in way}
        assert len(labels) == 1 and labels.pop() > 0
        # Yaw grows to the right.
        assert np.diff(way[:, 2]).min() > -1e-9
        sides = np.linalg.norm(np.diff([*cells, cells[0]], axis=0), axis=1) * 4
        assert set(sides) <= {4.0, 8.0}


@pytest.mark.parametrize("seed", SEEDS)
def test_hidden_cells_are_those_that_no_line_reaches(seed: int) -> None:
    maze = generate(seed)
    here = maze.cells[0]
    hidden = set(ways.hidden_cells(maze, here))
    assert 0 < len(hidden) < len(maze.cells) and here not in hidden
    for run in ways.runs(maze):  # along a straight row of cells one sees to its end
        if here in run:
            assert not hidden & set(run)


@pytest.mark.parametrize("frames", [60, 301, 500, 1000])
@pytest.mark.parametrize("seed", SEEDS)
def test_excursion_is_back_on_the_frame_after_its_last(seed: int, frames: int) -> None:
    maze = generate(seed)
    at = ways.stand(maze.cells[-1], 0.7)
    goals = ways.hidden_cells(maze, maze.cells[-1])
    way = ways.excursion(maze, at, frames, goals, MOTION, rng())
    assert way.shape == (frames, 3)
    check_steps(np.concatenate([at[None], way, at[None]]))
    check_free(maze, way)
    again = ways.excursion(maze, at, frames, goals, MOTION, rng())
    np.testing.assert_array_equal(way, again)
    if frames >= 500:
        assert {ways.cell_of(place) for place in way} & set(goals)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_walk_keeps_to_its_rules(seed: int) -> None:
    maze = generate(seed)
    poses = ways.random_walk(maze, 403, MOTION, rng(seed))
    assert poses.shape == (403, 4, 4)
    assert all(maze.free(pose[:3, 3]) for pose in poses)
    moved = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    turned = np.degrees(np.arccos(np.clip((poses[1:, :3, 2] * poses[:-1, :3, 2]).sum(1), -1, 1)))
    # Either a whole step ahead or a whole turn, five frames long.
    forward = moved > 0.1
    np.testing.assert_allclose(moved, np.where(forward, 0.22, 0), atol=1e-9)
    np.testing.assert_allclose(turned, np.where(forward, 0, 5), atol=1e-5)
    actions = forward[:400].reshape(80, 5)
    assert (actions == actions[:, :1]).all()
    assert 0.2 < forward.mean() < 0.8

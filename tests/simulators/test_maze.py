"""Mazes: closed, connected, looped, walkable, and the same for the same seed."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldrt.errors import ConfigError, SimulatorError
from worldrt.simulators.doom import maze, textures
from worldrt.simulators.doom.maze import CELL, CELLS, EYE, PILLAR, RADIUS, SOLID, Maze

MAZES = {seed: maze.generate(seed) for seed in (0, 1, 7, 12, 1_000_003)}
each_maze = pytest.mark.parametrize("world", MAZES.values(), ids=MAZES.keys())
seeds = st.integers(0, 2**63 - 1)


def test_a_seed_is_a_maze() -> None:
    again = maze.generate(7)
    assert np.array_equal(again.labels, MAZES[7].labels)
    assert (again.regions, again.floor, again.pillar) == (
        MAZES[7].regions,
        MAZES[7].floor,
        MAZES[7].pillar,
    )
    layouts = {world.labels.tobytes() for world in MAZES.values()}
    assert len(layouts) == len(MAZES)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ConfigError, match=f"got {seed}"):
        maze.generate(seed)


@settings(max_examples=15)
@given(seeds)
def test_layout(seed: int) -> None:
    world = maze.generate(seed)
    assert world.labels.shape == (CELL * CELLS, CELL * CELLS)
    rim = np.ones_like(world.labels, dtype=bool)
    rim[CELL:-CELL, CELL:-CELL] = False
    assert np.all(world.labels[rim] == SOLID)
    pieces, _ = cv2.connectedComponents(world.open_cells.astype(np.uint8), connectivity=4)
    assert pieces == 2, "rock and one connected way"
    islands, _ = cv2.connectedComponents((~world.open_cells).astype(np.uint8), connectivity=8)
    assert islands > 2, "no loop"
    assert len(world.rooms) >= 4
    assert len(world.regions) == len(world.rooms) + 1
    taken = np.zeros((CELLS, CELLS), dtype=bool)
    for number, room in enumerate(world.rooms, start=1):
        assert not np.any(taken[room.cells(margin=1)]), "rooms touch"
        taken[room.cells()] = True
        rows, columns = (slice(CELL * s.start, CELL * s.stop) for s in room.cells())
        inside = set(np.unique(world.labels[rows, columns]).tolist())
        assert inside in ({number}, {number, PILLAR})
    assert {region.wall for region in world.regions} <= set(textures.WALLS)
    assert len({region.wall for region in world.regions}) == len(world.regions)
    assert 224 <= world.light <= 255
    assert np.all((world.heights == 0) == (world.labels < 0))
    assert world.heights.max() <= 4.0


@each_maze
def test_ways_between_neighbours_are_free(world: Maze) -> None:
    for cell in world.cells:
        for near in ((cell[0] + 1, cell[1]), (cell[0], cell[1] + 1)):
            if near in world.cells:
                line = np.linspace(maze.centre(cell), maze.centre(near), 9)
                assert all(world.free(np.array([x, -EYE, z])) for x, z in line), (cell, near)


@each_maze
def test_pillars_leave_room(world: Maze) -> None:
    pillars, _ = cv2.connectedComponents((world.labels == PILLAR).astype(np.uint8))
    assert np.sum(world.labels == PILLAR) == 4 * (pillars - 1), "2x2 m each, apart"


def test_some_maze_has_pillars() -> None:
    assert any(np.any(world.labels == PILLAR) for world in MAZES.values())


@each_maze
def test_start_is_an_open_view_in_a_room(world: Maze) -> None:
    pose = world.start()
    assert np.array_equal(pose, world.start())
    assert world.free(pose[:3, 3])
    row, column = maze.cell_at(pose[:3, 3])
    assert world.labels[CELL * row + 1, CELL * column + 1] > 0
    ahead = pose[:3, 3] + pose[:3, 2] * 3
    assert world.free(ahead), "one can take a few steps"


@pytest.mark.parametrize(
    ("yaw", "right", "ahead"),
    [(0, (1, 0, 0), (0, 0, 1)), (math.pi / 2, (0, 0, -1), (1, 0, 0))],
)
def test_pose_axes(
    yaw: float, right: tuple[float, float, float], ahead: tuple[float, float, float]
) -> None:
    pose = maze.pose(3, 5, yaw)
    np.testing.assert_allclose(pose[:3, 0], right, atol=1e-15)
    np.testing.assert_array_equal(pose[:3, 1], (0, 1, 0))
    np.testing.assert_allclose(pose[:3, 2], ahead, atol=1e-15)
    np.testing.assert_array_equal(pose[:, 3], (3, -EYE, 5, 1))


@given(st.integers(0, CELLS - 1), st.integers(0, CELLS - 1))
def test_a_centre_lies_in_its_cell(row: int, column: int) -> None:
    x, z = maze.centre((row, column))
    assert maze.cell_at(np.array([x, 0, z])) == (row, column)


@each_maze
def test_slide(world: Maze) -> None:
    place = world.start()[:3, 3]
    goal = place + world.start()[:3, 2]
    reached, collided = world.slide(place, goal)
    assert not collided and np.array_equal(reached, goal)
    reached, collided = world.slide(place, place + [100, 0.5, 3])
    assert collided and world.free(reached) and reached[1] == place[1] + 0.5


@each_maze
def test_free_keeps_the_radius(world: Maze) -> None:
    wall_x = int(np.argmax(world.labels[maze.CELL * world.cells[0][0] + 1] >= 0))
    z = maze.CELL * world.cells[0][0] + 2.0
    assert world.free(np.array([wall_x + RADIUS, 0, z]))
    assert not world.free(np.array([wall_x + RADIUS - 0.01, 0, z]))


@each_maze
def test_routes_are_shortest(world: Maze) -> None:
    start = world.cells[0]
    order = list(world.explore(start))
    assert sorted(order) == world.cells
    lengths = {goal: len(world.route(start, goal)) for goal in order}
    assert list(lengths.values()) == sorted(lengths.values())
    way = world.route(start, order[-1])
    assert way[0] == start and way[-1] == order[-1]
    assert all(math.dist(a, b) == 1 for a, b in zip(way, way[1:], strict=False))
    assert world.route(order[-1], start)[0] == order[-1]
    for cell in world.cells:
        near = [n for n in lengths if math.dist(n, cell) == 1]
        assert all(abs(lengths[n] - lengths[cell]) <= 1 for n in near)


@pytest.mark.parametrize(("start", "goal"), [((0, 0), None), (None, (0, 0)), ((99, 3), None)])
def test_routes_need_open_cells(
    start: tuple[int, int] | None, goal: tuple[int, int] | None
) -> None:
    world = MAZES[0]
    bad = start or goal
    with pytest.raises(SimulatorError, match=rf"Cell \({bad[0] if bad else 0}, "):
        world.route(start or world.cells[0], goal or world.cells[0])

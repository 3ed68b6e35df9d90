"""A disc among squares: where there is room, and that no step ends inside something."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from worldrt.simulators.doom import collision

RADIUS = 0.8125
places = st.floats(1.0, 12.0)


def grid(*rows: str) -> NDArray[np.int8]:
    """Squares from a drawing: # is solid. The first line is row 0."""
    return np.array([[-1 if square == "#" else 0 for square in row] for row in rows], np.int8)


HALL = grid("#########", *["#.......#"] * 7, "#########")
POST = grid("#########", *["#.......#"] * 3, "#...#...#", *["#.......#"] * 3, "#########")
MAZE = np.where(np.random.default_rng(5).random((13, 13)) < 0.12, -1, 0).astype(np.int8)
MAZE[[0, -1]] = MAZE[:, [0, -1]] = -1


def distance(labels: NDArray[np.int8], x: float, z: float) -> float:
    """To the nearest solid square, over all of them."""
    squares = np.argwhere(labels < 0)
    gap = np.maximum(np.maximum(squares - [z, x], [z, x] - squares - 1), 0)
    return float(np.hypot(*gap.T).min())


@given(places, places)
def test_nearest_is_the_nearest_of_all(x: float, z: float) -> None:
    away_x, away_z, found = collision.nearest(MAZE, x, z)
    true = distance(MAZE, x, z)
    if true < 1:
        assert found == pytest.approx(true)
        assert math.hypot(away_x, away_z) == pytest.approx(found)
        assert distance(MAZE, x - away_x, z - away_z) == pytest.approx(0, abs=1e-12)
    else:
        assert found >= true
    assert collision.clear(MAZE, x, z, RADIUS) == (true >= RADIUS)


@pytest.mark.parametrize(
    "place", [(-0.1, 3.0), (3.0, -0.1), (9.0, 3.0), (3.0, 9.0), (1e9, 3.0), (math.nan, 3.0)]
)
def test_outside_nothing_is_clear(place: tuple[float, float]) -> None:
    assert not collision.clear(np.zeros((9, 9), np.int8), *place, 0.1)


@pytest.mark.parametrize(
    ("start", "goal", "end"),
    [
        ((3, 3), (4.25, 5.5), (4.25, 5.5)),
        ((3, 3), (3, 9), (3, 8 - RADIUS)),
        ((3, 3), (5, 9), (5, 8 - RADIUS)),
        ((3, 3), (9, 9), (8 - RADIUS, 8 - RADIUS)),
        ((3, 3), (-500, 3), (1 + RADIUS, 3)),
        ((3, 3), (3, 3), (3, 3)),
    ],
    ids=["free", "head on", "glancing", "into a corner", "no tunnel", "still"],
)
def test_ends_of_steps(
    start: tuple[float, float], goal: tuple[float, float], end: tuple[float, float]
) -> None:
    numbers = (float(number) for number in (*start, *goal))
    assert collision.slide(HALL, RADIUS, *numbers) == pytest.approx(end, abs=1e-6)


def test_a_post_is_gone_round() -> None:
    x, z = 4.0, 1.9
    for _ in range(60):
        x, z = collision.slide(POST, RADIUS, x, z, x + 0.05, z + 0.2)
    assert z > 5.5, "the disc stuck at the post"


@given(places, places, st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), max_size=20))
def test_no_step_ends_inside(x: float, z: float, moves: list[tuple[float, float]]) -> None:
    if not collision.clear(MAZE, x, z, RADIUS):
        assert collision.slide(MAZE, 0.5, 0.5, 0.5, 0.6, 0.5) == (0.5, 0.5), "rock lets go"
        return
    for dx, dz in moves:
        was = x, z
        x, z = collision.slide(MAZE, RADIUS, x, z, x + dx, z + dz)
        assert distance(MAZE, x, z) >= RADIUS - 2e-6
        assert math.dist(was, (x, z)) <= math.hypot(dx, dz) * 1.5 + 1e-6

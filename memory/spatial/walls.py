"""Walls that have been seen, as what a body can't walk through.

What reaches into a band about the eye's height is a wall: floor and ceiling never do, however high
the eye stands. The band is looked at in vertical columns; one that holds enough points over enough
height is solid, a few stray points are not. The body is a disc that glides along solid columns.

Cost of a step: 28 bytes a page of the map, and the points of the pages within the body's reach.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.voxels import PAGE

BODY = 0.7
"""Metres that a body keeps from walls, if nothing else is said. The shipped world's own walks kept
26 / 32 m: at that, a wall remembered a little too near would stop them."""
BAND = 0.4
"""Metres above and below the eye in which walls are looked for; a low eye still clears a floor."""
CELL = 0.1
"""Metres of a column's side."""
LEAST_POINTS = 4
LEAST_HEIGHT = 0.25
"""Points, and metres between the highest and the lowest of them, of a column and the eight about it
that make it solid."""
SLACK = 0.02
"""Metres by which a body may lean into a wall: a row of points is no smooth surface."""
LEAN = 0.1
"""Share of its way by which a wedged body may come nearer to a wall."""
LEG = 0.5
"""Metres of a step for which the columns are counted at once."""
STRIDE = 0.1
"""Metres that the body moves between looks."""
PUSHES = 8
"""A corner needs two; the others are for the bumps of a row of points."""
ROUNDING = 1e-9


class Walls:
    """Lets one walk where nothing solid has been seen; a `Step` of `geometry.trajectory`.

    One who stands in a wall already, since it has been seen only now, may move along it and away.

    Args:
        points: the map; the walls are those of the moment of each step.
        radius: metres of the body.
    """

    def __init__(self, points: Points, radius: float = BODY) -> None:
        self.points, self.radius = points, radius

    def __call__(
        self, here: NDArray[np.float64], there: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Where one comes to stand.

        Args:
            here: [3] position, metres.
            there: [3] position wanted.

        Returns:
            [3] the position reached, at the height of `there`.
        """
        store = self.points
        x, z = _walk(
            store.position,
            store.weight,
            store.page_low,
            store.page_high,
            store.page_count,
            here,
            there,
            self.radius,
        )
        if math.hypot(x - there[0], z - there[2]) < ROUNDING:
            return there.copy()
        return np.array([x, there[1], z])


@njit(cache=True, nogil=True)
def _walk(position, weight, low, high, count, here, there, radius):  # pragma: no cover
    """Leg by leg, until the goal or until nothing moves."""
    x, z = here[0], here[2]
    length = math.hypot(there[0] - x, there[2] - z)
    legs = max(1, int(math.ceil(length / LEG)))
    strides = int(math.ceil(length / legs / STRIDE))
    for _ in range(legs):
        dx, dz = (there[0] - here[0]) / legs, (there[2] - here[2]) / legs
        columns = _columns(position, weight, low, high, count, x, here[1], z, dx, dz, radius)
        for _ in range(strides):
            was_x, was_z = x, z
            x, z = _stride(columns, x, z, dx / strides, dz / strides, radius)
            if x == was_x and z == was_z:
                return x, z
    return x, z


@njit(cache=True, nogil=True)
def _columns(position, weight, low, high, count, x, eye, z, dx, dz, radius):  # pragma: no cover
    """[n, 2] x and z of the solid columns that a body may touch on its way."""
    # A push may lead aside by as much as the way is long; the neighbours of a column count too.
    reach = radius + math.hypot(dx, dz) + 2 * CELL
    side = int(math.ceil(2 * reach / CELL)) + 1
    first_x, first_z = math.floor((x - reach) / CELL), math.floor((z - reach) / CELL)
    left, right = first_x * CELL, (first_x + side) * CELL
    front, back = first_z * CELL, (first_z + side) * CELL
    many = np.zeros((side, side), np.int32)
    total = np.zeros((side, side, 2))
    top = np.full((side, side), np.inf)
    bottom = np.full((side, side), -np.inf)
    for page in range(len(count)):
        if (
            count[page] == 0
            or high[page, 0] < left
            or low[page, 0] > right
            or high[page, 2] < front
            or low[page, 2] > back
            or high[page, 1] < eye - BAND
            or low[page, 1] > eye + BAND
        ):
            continue
        for p in range(page * PAGE, page * PAGE + count[page]):
            y = np.float64(position[p, 1])
            if weight[p] == 0 or not abs(y - eye) <= BAND:
                continue
            px, pz = np.float64(position[p, 0]), np.float64(position[p, 2])
            column = int(math.floor(px / CELL) - first_x)
            row = int(math.floor(pz / CELL) - first_z)
            if 0 <= column < side and 0 <= row < side:
                many[row, column] += 1
                total[row, column, 0] += px
                total[row, column, 1] += pz
                top[row, column] = min(top[row, column], y)
                bottom[row, column] = max(bottom[row, column], y)
    found = np.empty((side * side, 2))
    size = 0
    for row in range(1, side - 1):
        for column in range(1, side - 1):
            if many[row, column] == 0:
                continue
            around, highest, lowest = 0, np.inf, -np.inf
            for r in range(row - 1, row + 2):
                for c in range(column - 1, column + 2):
                    around += many[r, c]
                    highest = min(highest, top[r, c])
                    lowest = max(lowest, bottom[r, c])
            if around >= LEAST_POINTS and lowest - highest >= LEAST_HEIGHT:
                found[size, 0] = total[row, column, 0] / many[row, column]
                found[size, 1] = total[row, column, 1] / many[row, column]
                size += 1
    return found[:size]


@njit(cache=True, nogil=True)
def _nearest(columns, x, z):  # pragma: no cover
    """Vector from the nearest column to (x, z), and its length."""
    away_x, away_z, distance = 0.0, 0.0, np.inf
    for n in range(len(columns)):
        gap_x, gap_z = x - columns[n, 0], z - columns[n, 1]
        gap = math.hypot(gap_x, gap_z)
        if gap < distance:
            away_x, away_z, distance = gap_x, gap_z, gap
    return away_x, away_z, distance


@njit(cache=True, nogil=True)
def _clearance(columns, x, z, to_x, to_z):  # pragma: no cover
    """Least distance of a column from a straight line."""
    dx, dz = to_x - x, to_z - z
    square = dx * dx + dz * dz
    least = np.inf
    for n in range(len(columns)):
        gap_x, gap_z = columns[n, 0] - x, columns[n, 1] - z
        share = min(max((gap_x * dx + gap_z * dz) / square, 0.0), 1.0) if square > 0 else 0.0
        least = min(least, math.hypot(gap_x - share * dx, gap_z - share * dz))
    return least


@njit(cache=True, nogil=True)
def _stride(columns, x, z, dx, dz, radius):  # pragma: no cover
    """Move a disc, pushing it out of the columns that it enters; it stays where that fails."""
    distance = _nearest(columns, x, z)[2]
    # Within a wall already: no nearer than that, and a little farther where one pushes against it.
    free = distance >= radius - SLACK
    enough = (radius if free else distance) - ROUNDING
    target = min(radius, distance + SLACK)
    to_x, to_z = x + dx, z + dz
    for _ in range(PUSHES):
        away_x, away_z, gap = _nearest(columns, to_x, to_z)
        if gap >= enough or gap == 0:
            break
        to_x += away_x * (target / gap - 1)
        to_z += away_z * (target / gap - 1)
    if _nearest(columns, to_x, to_z)[2] < min(radius - SLACK, distance) - ROUNDING:
        # Wedged, between walls that leave less room than the body: along them it may go on.
        to_x, to_z = x + dx, z + dz
        if free or _nearest(columns, to_x, to_z)[2] < distance - LEAN * math.hypot(dx, dz):
            return x, z
    # A chord may cut a bump, but never a wall.
    if _clearance(columns, x, z, to_x, to_z) < min(radius, distance) / 2:
        return x, z
    return to_x, to_z

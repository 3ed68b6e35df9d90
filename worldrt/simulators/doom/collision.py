"""A disc among solid one-metre squares: is there room, and where does a step end.

`labels` [Z, X] is negative where a square is solid; lengths are metres; a radius is below 1.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def nearest(labels: NDArray[np.int8], x: float, z: float) -> tuple[float, float, float]:
    """Vector from the nearest solid point within a metre to (x, z), and its length (9 if none)."""
    away_x, away_z, distance = 0.0, 0.0, 9.0
    rows, columns = labels.shape
    for row in range(max(int(z) - 1, 0), min(int(z) + 2, rows)):
        for column in range(max(int(x) - 1, 0), min(int(x) + 2, columns)):
            if labels[row, column] < 0:
                gap_x = x - min(max(x, column), column + 1)
                gap_z = z - min(max(z, row), row + 1)
                gap = math.hypot(gap_x, gap_z)
                if gap < distance:
                    away_x, away_z, distance = gap_x, gap_z, gap
    return away_x, away_z, distance


@numba.njit(cache=True)
def clear(labels: NDArray[np.int8], x: float, z: float, radius: float) -> bool:
    """Whether a disc touches nothing solid; outside the grid nothing is clear."""
    rows, columns = labels.shape
    if not (0 <= x < columns and 0 <= z < rows):
        return False
    return nearest(labels, x, z)[2] >= radius


@numba.njit(cache=True)
def slide(
    labels: NDArray[np.int8],
    radius: float,
    from_x: float,
    from_z: float,
    to_x: float,
    to_z: float,
) -> tuple[float, float]:
    """Move a disc in steps shorter than its radius, pushing it out of what it enters."""
    steps = max(1, int(math.ceil(math.hypot(to_x - from_x, to_z - from_z) / (0.3 * radius))))
    x, z = from_x, from_z
    for _ in range(steps):
        near_x, near_z = x, z
        x += (to_x - from_x) / steps
        z += (to_z - from_z) / steps
        for _ in range(4):  # a corner needs two pushes; the others are for rounding
            away_x, away_z, distance = nearest(labels, x, z)
            if distance >= radius - 1e-9 or distance == 0:
                break
            x += away_x * (radius / distance - 1)
            z += away_z * (radius / distance - 1)
        if not clear(labels, x, z, radius - 1e-6):
            x, z = near_x, near_z
        if x == near_x and z == near_z:  # stuck: further steps would be the same
            break
    return x, z

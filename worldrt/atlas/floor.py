"""The memory seen from above: floors, walls, and what was only imagined, cell by cell.

Cost: one pass over the points at about 10 ns each, and what their cells take.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import IMAGINED, REAL
from worldrt.memory.spatial.voxels import PAGE
from worldrt.memory.spatial.walls import BAND

STRAY = 0.001
"""Share of the points at either end of an axis that bounds leave out."""
ABOVE = 0.5
"""Metres above the eye from which on nothing is shown: ceilings."""
FINEST = 0.1
"""Metres of a cell, at least."""
COARSER = (4, 2, 1)
"""Cells that are drawn as one, from first to last: what was seen from afar is far apart."""
PAPER, WALL = np.array([24, 24, 28], np.float64), np.array([255, 255, 255], np.float64)
"""RGB of what is unknown, and of walls, half and half with their own."""
_SAMPLE = 2**15
"""Points, about, from which a sheet's bounds are read."""


class Floor(NamedTuple):
    """A floor plan, x to the right and z up."""

    image: NDArray[np.uint8]
    """[Y, X, 3] RGB."""
    left: float
    far: float
    """x and z, metres, of the upper left corner of pixel (0, 0)."""
    cell: float
    """Metres a pixel."""

    def at(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """[..., 2] column and row of places [..., 3]."""
        return np.stack([place[..., 0] - self.left, self.far - place[..., 2]], axis=-1) / self.cell


def paint(memory: SpatialMap, side: int) -> Floor | None:
    """The memory seen from above, without ceilings.

    Floors have their colours, walls at the eye's height are paler, what was only imagined is
    darker.

    Args:
        memory: what is drawn. A writer beside it is neither waited for nor kept waiting: a slot
            that is used again meanwhile may lend a cell a colour of another place.
        side: most pixels of the longer side, above 2; a cell is FINEST or what it takes.

    Returns:
        The plan; None: there is no point.
    """
    points = memory.points
    ids = np.flatnonzero(points.weight.copy())  # one moment of it
    if not len(ids):
        return None
    some = points.position[ids[:: max(1, len(ids) // _SAMPLE)]]
    poses = memory.keyframes.candidates().poses
    eye = float(np.median(poses[:, 1, 3] if len(poses) else some[:, 1]))
    low, high = np.quantile(some[:, [0, 2]], [STRAY, 1 - STRAY], axis=0)
    cell = max(FINEST, float((high - low).max()) / (side - 2))
    columns, rows = (min(math.ceil(each / cell) + 2, side) for each in (high - low).tolist())
    left, far = float(low[0]) - cell, float(high[1]) + cell
    # Real and imagined, of each all and walls.
    counts = np.zeros((2, 2, rows, columns), np.int64)
    sums = np.zeros((2, 2, rows, columns, 3), np.int64)
    arrays = points.position, points.colour, points.weight, points.page_block, points.page_count
    _add(*arrays, left, far, cell, eye, counts, sums)

    image = np.full((rows, columns, 3), PAPER)
    for count, total, share, ground, coarser in (
        (counts[IMAGINED, 0], sums[IMAGINED, 0], 0.5, PAPER, COARSER),
        (counts[REAL, 0], sums[REAL, 0], 1.0, PAPER, COARSER),
        (counts[:, 1].sum(axis=0), sums[:, 1].sum(axis=0), 0.5, WALL, (1,)),
    ):
        for size in coarser:
            _draw(count, total, size, share, ground, image)
    return Floor(np.rint(image).astype(np.uint8), left, far, cell)


@njit(cache=True, nogil=True)
def _add(  # pragma: no cover
    position, colour, weight, page_block, page_count, left, far, cell, eye, counts, sums
):
    """Add each living point below ABOVE to its cell, and to that of walls if it is one."""
    rows, columns = counts.shape[2:]
    for page in range(len(page_count)):
        layer = page_block[page, 0]
        for p in range(page * PAGE, page * PAGE + page_count[page]):
            up = position[p, 1] - eye
            if weight[p] == 0 or up <= -ABOVE:
                continue
            row = math.floor((far - position[p, 2]) / cell)
            column = math.floor((position[p, 0] - left) / cell)
            if 0 <= row < rows and 0 <= column < columns:
                for part in range(2 if abs(up) <= BAND else 1):
                    counts[layer, part, row, column] += 1
                    for channel in range(3):
                        sums[layer, part, row, column, channel] += colour[p, channel]


@njit(cache=True, nogil=True)
def _draw(count, total, size, share, ground, image):  # pragma: no cover
    """Draw the mean colours of squares of so many cells that have any, over a ground."""
    rows, columns = count.shape
    for top in range(0, rows, size):
        for left in range(0, columns, size):
            bottom, right = min(top + size, rows), min(left + size, columns)
            points = red = green = blue = 0
            for row in range(top, bottom):
                for column in range(left, right):
                    points += count[row, column]
                    red += total[row, column, 0]
                    green += total[row, column, 1]
                    blue += total[row, column, 2]
            if points == 0:
                continue
            for channel, value in enumerate((red, green, blue)):
                shown = share * (value / points) + (1 - share) * ground[channel]
                image[top:bottom, left:right, channel] = shown

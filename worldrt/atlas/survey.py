"""What a saved spatial memory holds: in figures, and as a floor plan."""

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.atlas.manifest import Manifest, read_file, read_manifest
from worldrt.errors import CorruptFile, InputError
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import IMAGINED
from worldrt.memory.spatial.voxels import PAGE
from worldrt.memory.spatial.walls import BAND

STRAY = 0.001
"""Share of the points at either end of an axis that the bounds leave out."""
ABOVE = 0.5
"""Metres above the eye from which on a plan shows nothing: ceilings."""
FINEST = 0.1
"""Metres of a plan's cell, at least."""
COARSER = (4, 2, 1)
"""Cells that are drawn as one, from first to last: what was seen from afar is far apart."""
SIDE = 960
"""Pixels of a plan's longer side, about."""
PAPER, WALL = np.array([24, 24, 28], np.float32), np.array([255, 255, 255], np.float32)
INK = (255, 96, 64)
"""RGB of what is unknown, of walls, half and half with their own, and of the keyframes."""


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """A saved memory in figures."""

    folder: str
    version: int
    points: int
    imagined: int
    """Of the points, those that were never really seen."""
    keyframes: int
    frames: tuple[int, int] | None
    """Indices of the first and the last keyframe; None: there is none."""
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    """Metres: a box about all points but a few strays; zeros if there is no point."""
    budget_bytes: int
    disk_bytes: int
    deltas: int
    """Files of changes since the last save."""
    damaged: tuple[str, ...]
    """Files that only other programs read and that are not as they were written."""


def survey(folder: Path, memory: SpatialMap) -> Survey:
    """The figures of a memory.

    Args:
        folder: that it was loaded from.
        memory: the memory.

    Raises:
        InputError, CorruptFile: the folder is no longer what was loaded.
    """
    manifest = read_manifest(folder)
    place, _, imagined = _living(memory)
    index = memory.keyframes.candidates().index
    low, high = np.quantile(place, [STRAY, 1 - STRAY], axis=0) if len(place) else np.zeros((2, 3))
    return Survey(
        folder=str(folder),
        version=manifest.version,
        points=len(place),
        imagined=int(np.count_nonzero(imagined)),
        keyframes=len(index),
        frames=(int(index[0]), int(index[-1])) if len(index) else None,
        low=(float(low[0]), float(low[1]), float(low[2])),
        high=(float(high[0]), float(high[1]), float(high[2])),
        budget_bytes=manifest.budget_bytes,
        disk_bytes=manifest.ply.bytes + sum(file.bytes for file in manifest.state),
        deltas=manifest.deltas,
        damaged=_damaged(folder, manifest),
    )


def floor_plan(memory: SpatialMap) -> NDArray[np.uint8]:
    """The memory seen from above, x to the right and z up, without ceilings.

    Floors have their colours, walls at the eye's height are paler, what was only imagined is
    darker; each keyframe is a dot with a line the way it looks.

    Args:
        memory: with at least one point.

    Returns:
        [Y, X, 3] RGB.

    Raises:
        InputError: there is nothing to draw.
    """
    place, colour, imagined = _living(memory)
    if not len(place):
        raise InputError("The memory has 0 points, a floor plan needs at least 1; walk first.")
    poses = memory.keyframes.candidates().poses
    eye = float(np.median(poses[:, 1, 3] if len(poses) else place[:, 1]))
    sheet = _Sheet.of(place)
    below = place[:, 1] > eye - ABOVE
    wall = np.abs(place[:, 1] - eye) <= BAND
    image = np.full((sheet.rows, sheet.columns, 3), PAPER, np.float32)
    layers = (  # points, how much of their colour shows, over what
        (below & imagined, 0.5, PAPER, COARSER),
        (below & ~imagined, 1.0, PAPER, COARSER),
        (wall, 0.5, WALL, (1,)),
    )
    for chosen, share, ground, coarser in layers:
        for size in coarser:
            mean, drawn = sheet.mean(place[chosen], colour[chosen], size)
            image[drawn] = share * mean[drawn] + (1 - share) * ground
    scale = max(1, SIDE // max(sheet.rows, sheet.columns))
    picture = np.rint(image).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    for pose in poses:
        start = sheet.at(pose[:3, 3]) * scale
        end = sheet.at(pose[:3, 3] + 0.6 * pose[:3, 2]) * scale
        ends = [tuple(np.rint(point).astype(int).tolist()) for point in (start, end)]
        cv2.circle(picture, ends[0], max(2, scale), INK, -1, cv2.LINE_AA)
        cv2.line(picture, ends[0], ends[1], INK, max(1, scale // 2), cv2.LINE_AA)
    return picture


class _Sheet(NamedTuple):
    """Cells of a plan."""

    left: float
    far: float
    cell: float
    rows: int
    columns: int

    @classmethod
    def of(cls, place: NDArray[np.float32]) -> "_Sheet":
        low, high = np.quantile(place[:, [0, 2]], [STRAY, 1 - STRAY], axis=0)
        cell = max(FINEST, float((high - low).max()) / SIDE)
        columns, rows = (math.ceil(extent / cell) + 2 for extent in (high - low).tolist())
        return cls(float(low[0]) - cell, float(high[1]) + cell, cell, rows, columns)

    def at(self, place: NDArray[np.floating]) -> NDArray[np.float64]:
        """[..., 2] column and row of places [..., 3]."""
        across, up = place[..., 0] - self.left, self.far - place[..., 2]
        return np.stack([across, up], axis=-1).astype(np.float64) / self.cell

    def mean(
        self, place: NDArray[np.float32], colour: NDArray[np.uint8], size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Mean colours [Y, X, 3] of points in squares of so many cells; which [Y, X] have any."""
        column, row = np.floor(self.at(place) / size).astype(int).T
        rows, columns = -(-self.rows // size), -(-self.columns // size)
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        cell = (row * columns + column)[inside]
        count = np.bincount(cell, minlength=rows * columns)
        sums = [np.bincount(cell, channel[inside], rows * columns) for channel in colour.T]
        mean = (np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None]).astype(np.float32)

        whole = np.arange(self.rows)[:, None] // size, np.arange(self.columns) // size
        shape = rows, columns
        return mean.reshape(*shape, 3)[whole], (count > 0).reshape(shape)[whole]


def _living(
    memory: SpatialMap,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Position, colour, and whether it was imagined, of each living point."""
    points = memory.points
    ids = np.flatnonzero(points.weight)
    imagined = points.page_block[ids // PAGE, 0] == IMAGINED
    return points.position[ids], points.colour[ids], imagined


def _damaged(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    try:
        read_file(folder, manifest.ply)
    except CorruptFile:
        return (manifest.ply.name,)
    return ()

"""What a saved spatial memory holds: in figures, and as a floor plan."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.atlas.floor import STRAY, paint
from worldrt.atlas.manifest import Manifest, read_file, read_manifest
from worldrt.errors import CorruptFile, InputError
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import IMAGINED
from worldrt.memory.spatial.voxels import PAGE

SIDE = 960
"""Pixels of a plan's longer side, about."""
INK = (255, 96, 64)
"""RGB of the keyframes."""


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
    points = memory.points
    ids = np.flatnonzero(points.weight)
    place, imagined = points.position[ids], points.page_block[ids // PAGE, 0] == IMAGINED
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
    """The memory seen from above, see `paint`; each keyframe is a dot with a line the way it looks.

    Args:
        memory: with at least one point.

    Returns:
        [Y, X, 3] RGB.

    Raises:
        InputError: there is nothing to draw.
    """
    floor = paint(memory, SIDE)
    if floor is None:
        raise InputError("The memory has 0 points, a floor plan needs at least 1; walk first.")
    scale = max(1, SIDE // max(floor.image.shape))
    picture = floor.image.repeat(scale, axis=0).repeat(scale, axis=1)
    for pose in memory.keyframes.candidates().poses:
        start = floor.at(pose[:3, 3]) * scale
        end = floor.at(pose[:3, 3] + 0.6 * pose[:3, 2]) * scale
        ends = [tuple(np.rint(point).astype(int).tolist()) for point in (start, end)]
        cv2.circle(picture, ends[0], max(2, scale), INK, -1, cv2.LINE_AA)
        cv2.line(picture, ends[0], ends[1], INK, max(1, scale // 2), cv2.LINE_AA)
    return picture


def _damaged(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    try:
        read_file(folder, manifest.ply)
    except CorruptFile:
        return (manifest.ply.name,)
    return ()

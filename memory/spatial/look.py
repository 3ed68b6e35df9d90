"""What a frame sees of the points, and which of its pixels they show already.

Cost: `look` reads 16 bytes a point of its spans and 16 bytes of one pixel's bounds; `covered` then
touches only what is near the frame's own surfaces, a quarter of it perhaps.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.kernels.splat import CLAIM, NEAR, TOLERANCE, pixels_within, turned_away
from worldrt.memory.spatial.keyframes import PART
from worldrt.memory.spatial.voxels import NONE


class Sight(NamedTuple):
    """Points as a frame finds them, in the order of the spans."""

    seen: NDArray[np.int32]
    """Points on its surfaces, on the side it sees."""
    pierced: NDArray[np.int32]
    """Points that it sees through."""
    near: NDArray[np.int32]
    """Points of its own layer that are not hidden; none where the frame is not real."""
    places: NDArray[np.float32]
    """[N, 3] column and row from the first pixel's centre, and metres along z, of each."""
    explained: NDArray[np.bool_]
    """[y, x] at a quarter of the resolution: it sees a point there that a keyframe has seen."""
    beyond: NDArray[np.bool_]
    """[Y, X] a hidden point of its own layer falls there."""


@njit(cache=True, nogil=True)
def look(
    position,
    weight,
    sources,
    facing,
    spans,
    own,
    lens,
    low,
    high,
    through,
    behind,
    explained,
    beyond,
):  # pragma: no cover
    """Sort points by what a frame sees of them.

    Args:
        position, weight, sources, facing, spans: points, and the runs of them to look at.
        own: [N] runs whose points go into `near`.
        lens: [14] of the frame.
        low, high, through, behind: [Y, X] its bounds; see `Bounds`.
        explained, beyond: to be filled.

    Returns:
        `seen`, `pierced`, `near` and `places` of a `Sight`.
    """
    one, half = np.float32(1), np.float32(0.5)
    height, width = low.shape
    rows, columns = explained.shape
    room = 0
    for run in range(len(spans)):
        room += spans[run, 1] - spans[run, 0]
    seen, pierced = np.empty(room, np.int32), np.empty(room, np.int32)
    near, places = np.empty(room, np.int32), np.empty((room, 3), np.float32)
    many, holes, close = 0, 0, 0
    for run in range(len(spans)):
        for p in range(spans[run, 0], spans[run, 1]):
            if weight[p] == 0:
                continue
            d0, d1, d2 = (
                position[p, 0] - lens[9],
                position[p, 1] - lens[10],
                position[p, 2] - lens[11],
            )
            z = lens[6] * d0 + lens[7] * d1 + lens[8] * d2
            if not z >= np.float32(NEAR):
                continue
            scale = one / z
            u = (lens[0] * d0 + lens[1] * d1 + lens[2] * d2) * scale + (lens[12] - half)
            v = (lens[3] * d0 + lens[4] * d1 + lens[5] * d2) * scale + (lens[13] - half)
            if not (-one < u < np.float32(width) and -one < v < np.float32(height)):
                continue
            row = min(int(v + one + half) - 1, height - 1)
            column = min(int(u + one + half) - 1, width - 1)
            inside = row >= 0 and column >= 0 and u < np.float32(width) - half
            inside &= v < np.float32(height) - half
            row, column = max(row, 0), max(column, 0)
            if z >= behind[row, column]:
                if own[run]:
                    beyond[row, column] = True
                continue
            away = turned_away(facing[p], d0, d1, d2)
            if own[run] and not away:
                near[close] = p
                places[close, 0], places[close, 1], places[close, 2] = u, v, z
                close += 1
            if not inside:
                continue
            if low[row, column] <= z <= high[row, column]:
                if away:
                    continue
                seen[many] = p
                many += 1
                if sources[p, 0] != NONE and row // PART < rows and column // PART < columns:
                    explained[row // PART, column // PART] = True
            elif z < through[row, column]:
                pierced[holes] = p
                holes += 1
    return seen[:many], pierced[:holes], near[:close], places[:close]


@njit(cache=True, nogil=True)
def covered(
    weight, source_depth, near, places, beyond, farthest, coarsest, least, shown
):  # pragma: no cover
    """Where unstretched points show a surface already: `splat` with a reach of 1, and its depth.

    Args:
        weight, source_depth: of the points.
        near, places, beyond: of a `Sight`; points that have died since don't count.
        farthest, coarsest: [Y, X] metres that the mean depth, and the mean source depth, of what is
            shown must stay below.
        least: weight that must be exceeded.
        shown: [Y, X] bool, to be filled.
    """
    one = np.float32(1)
    height, width = shown.shape
    front = np.full((height, width), np.float32(np.inf), np.float32)
    claim = np.float32(CLAIM)
    for n in range(len(near)):
        if weight[near[n]] == 0:
            continue
        u, v, z = places[n, 0], places[n, 1], places[n, 2]
        left, right = pixels_within(u, claim, width)
        top, bottom = pixels_within(v, claim, height)
        for row in range(top, bottom):
            for column in range(left, right):
                front[row, column] = min(front[row, column], z)
    front *= np.float32(1 + TOLERANCE)
    total = np.zeros((height, width, 4), np.float32)
    for n in range(len(near)):
        p = near[n]
        if weight[p] == 0:
            continue
        u, v, z = places[n, 0], places[n, 1], places[n, 2]
        left, right = pixels_within(u, one, width)
        top, bottom = pixels_within(v, one, height)
        source = source_depth[p]
        value = one / (source * source)
        for row in range(top, bottom):
            vertical = one - abs(np.float32(row) - v)
            for column in range(left, right):
                if z <= front[row, column]:
                    tent = vertical * (one - abs(np.float32(column) - u))
                    square = tent * tent
                    share = square * tent * value
                    total[row, column, 0] += share * z
                    total[row, column, 1] += share * source
                    total[row, column, 2] += share
                    total[row, column, 3] += square
    for row in range(height):
        for column in range(width):
            share = total[row, column, 2]
            # Through a gap between the near points one would see those beyond.
            closed = front[row, column] < np.inf or not beyond[row, column]
            shown[row, column] = (
                closed
                and total[row, column, 3] > least
                and total[row, column, 0] < farthest[row, column] * share
                and total[row, column, 1] < coarsest[row, column] * share
            )

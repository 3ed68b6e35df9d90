"""What a frame sees of the points, and which of its pixels they show already.

Cost: `look` reads 16 bytes a point and 16 bytes of one pixel's bounds, about 15 ns, of the runs
that do not lie wholly behind what the frame shows; `covered` then touches only what is near the
frame's own surfaces, about 20 ns a point; and `beyond` reads the runs that were passed over, if
one may be seen through a gap.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.kernels.outlines import hidden, outlines
from worldrt.kernels.splat import CLAIM, NEAR, TOLERANCE, turned_away
from worldrt.memory.spatial.keyframes import PART
from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.surface import Bounds
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
    veiled: NDArray[np.bool_]
    """[Y, X] a hidden point of its own layer falls there, one of no run in `behind`."""
    behind: NDArray[np.int32]
    """[N, 2] runs of its own layer of which all points are hidden."""
    outline: NDArray[np.int32]
    """[N, 4] where they lie, see `outlines`."""


def look(
    points: Points,
    pages: NDArray[np.int32],
    own: NDArray[np.bool_],
    lens: NDArray[np.float32],
    bounds: Bounds,
) -> Sight:
    """Sort points by what a frame sees of them.

    Args:
        points: the map's.
        pages: [N] those to look at.
        own: [N] those of the frame's layer.
        lens: [14] of the frame, see `lens` of `kernels.front`.
        bounds: its depths'.
    """
    size, spans = bounds.low.shape, points.spans(pages)
    explained = np.zeros((size[0] // PART, size[1] // PART), np.bool_)
    veiled = np.zeros(size, np.bool_)
    outline, nearest = outlines(points.boxes(pages), lens, size[1], size[0], 0)
    arrays = points.position, points.weight, points.sources, points.facing
    depths = bounds.low, bounds.high, bounds.through, bounds.behind
    seen, pierced, near, places, past = _look(
        *arrays, spans, own, outline, nearest, lens, *depths, explained, veiled
    )
    return Sight(seen, pierced, near, places, explained, veiled, spans[past], outline[past])


def covered(
    points: Points,
    sight: Sight,
    lens: NDArray[np.float32],
    farthest: NDArray[np.float32],
    coarsest: NDArray[np.float32],
    least: float,
) -> NDArray[np.bool_]:
    """Where unstretched points show a surface already: `splat` with a reach of 1, and its depth.

    Args:
        points: the map's; those that have died since the sight don't count.
        sight: of the frame.
        lens: [14] of the frame.
        farthest, coarsest: [Y, X] metres that the mean depth, and the mean source depth, of what is
            shown must stay below.
        least: weight that must be exceeded.

    Returns:
        [Y, X]
    """
    shown, gaps = np.empty((2, *farthest.shape), np.bool_)
    arrays = points.weight, points.source_depth, sight.near, sight.places
    _covered(*arrays, farthest, coarsest, np.float32(least), shown, gaps)
    _beyond(points.position, points.weight, sight.behind, sight.outline, lens, gaps, sight.veiled)
    return shown & ~(gaps & sight.veiled)


@njit(cache=True, nogil=True, error_model="numpy")
def _look(
    position,
    weight,
    sources,
    facing,
    spans,
    own,
    outline,
    nearest,
    lens,
    low,
    high,
    through,
    behind,
    explained,
    veiled,
):  # pragma: no cover
    """`look`; `explained` and `veiled` are to be filled. Returns its other images and the numbers
    of the runs that were passed over."""
    half = np.float32(0.5)
    height, width = low.shape
    last_x, last_y = np.float32(width) - half, np.float32(height) - half
    rows, columns = explained.shape
    room = 0
    for run in range(len(spans)):
        room += spans[run, 1] - spans[run, 0]
    seen, pierced = np.empty(room, np.int32), np.empty(room, np.int32)
    near, places = np.empty(room, np.int32), np.empty((room, 3), np.float32)
    passed = np.empty(len(spans), np.int32)
    many, holes, close, past = 0, 0, 0, 0
    for run in range(len(spans)):
        if hidden(behind, outline[run], nearest[run]):
            if own[run]:
                passed[past] = run
                past += 1
            continue
        for p in range(spans[run, 0], spans[run, 1]):
            if weight[p] == 0:
                continue
            u, v, z = _project(position[p], lens)
            row, column = _pixel(u, v, z, height, width)
            if row < 0:
                continue
            if z >= behind[row, column]:
                if own[run]:
                    veiled[row, column] = True
                continue
            d0, d1, d2 = (
                position[p, 0] - lens[9],
                position[p, 1] - lens[10],
                position[p, 2] - lens[11],
            )
            away = turned_away(facing[p], d0, d1, d2)
            if own[run] and not away:
                near[close] = p
                places[close, 0], places[close, 1], places[close, 2] = u, v, z
                close += 1
            if not (-half <= u < last_x and -half <= v < last_y):
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
    return seen[:many], pierced[:holes], near[:close], places[:close], passed[:past]


@njit(cache=True, nogil=True, error_model="numpy")
def _covered(
    weight, source_depth, near, places, farthest, coarsest, least, shown, gaps
):  # pragma: no cover
    """`covered`, and gaps: where it is shown by points beside it alone, and between them one would
    see whatever is farther."""
    one, claim, nothing = np.float32(1), np.float32(CLAIM), np.float32(np.inf)
    height, width = shown.shape
    # A border that nothing is before spares the loops a look whether a pixel is in the image.
    front = np.full((height + 2, width + 2), -nothing, np.float32)
    front[1:-1, 1:-1] = nothing
    for n in range(len(near)):
        if weight[near[n]] == 0:
            continue
        u, v, z = places[n, 0], places[n, 1], places[n, 2]
        # A sum that is rounded up must not leave the border.
        top, left = min(int(v + one), height), min(int(u + one), width)
        down, across = v + one - np.float32(top), u + one - np.float32(left)
        upper, lower = down <= claim, one - down <= claim
        before, after = across <= claim, one - across <= claim
        above, below = front[top], front[top + 1]
        above[left] = min(above[left], z if upper & before else nothing)
        above[left + 1] = min(above[left + 1], z if upper & after else nothing)
        below[left] = min(below[left], z if lower & before else nothing)
        below[left + 1] = min(below[left + 1], z if lower & after else nothing)
    front *= np.float32(1 + TOLERANCE)
    total = np.zeros((height + 2, width + 2, 4), np.float32)
    for n in range(len(near)):
        p = near[n]
        if weight[p] == 0:
            continue
        u, v, z = places[n, 0], places[n, 1], places[n, 2]
        top, left = min(int(v + one), height), min(int(u + one), width)
        source = source_depth[p]
        value = one / (source * source)
        far, origin = value * z, value * source
        for row in range(top, top + 2):
            vertical = one - abs(np.float32(row - 1) - v)
            for column in range(left, left + 2):
                if z <= front[row, column]:
                    tent = vertical * (one - abs(np.float32(column - 1) - u))
                    square = tent * tent
                    share = square * tent
                    here = total[row, column]
                    here[0] += share * far
                    here[1] += share * origin
                    here[2] += share * value
                    here[3] += square
    for row in range(height):
        for column in range(width):
            here = total[row + 1, column + 1]
            shown[row, column] = (
                here[3] > least
                and here[0] < farthest[row, column] * here[2]
                and here[1] < coarsest[row, column] * here[2]
            )
            gaps[row, column] = shown[row, column] and not front[row + 1, column + 1] < nothing


@njit(cache=True, nogil=True, error_model="numpy")
def _beyond(position, weight, spans, outline, lens, gaps, veiled):  # pragma: no cover
    """Veil the gaps that points of hidden runs fall into."""
    height, width = gaps.shape
    for run in range(len(spans)):
        top, bottom, left, right = outline[run]
        if not gaps[top:bottom, left:right].any():
            continue
        for p in range(spans[run, 0], spans[run, 1]):
            if weight[p] == 0:
                continue
            u, v, z = _project(position[p], lens)
            row, column = _pixel(u, v, z, height, width)
            if row >= 0:
                veiled[row, column] = True


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _project(place, lens):  # pragma: no cover
    """Column and row from the first pixel's centre, and metres along z."""
    half = np.float32(0.5)
    d0, d1, d2 = place[0] - lens[9], place[1] - lens[10], place[2] - lens[11]
    z = lens[6] * d0 + lens[7] * d1 + lens[8] * d2
    scale = np.float32(1) / z
    u = (lens[0] * d0 + lens[1] * d1 + lens[2] * d2) * scale + (lens[12] - half)
    v = (lens[3] * d0 + lens[4] * d1 + lens[5] * d2) * scale + (lens[13] - half)
    return u, v, z


@njit(cache=True, nogil=True, inline="always")
def _pixel(u, v, z, height, width):  # pragma: no cover
    """The pixel nearest to a place less than a pixel from the image's; -1, -1: it is farther."""
    one, half = np.float32(1), np.float32(0.5)
    inside = -one < u < np.float32(width) and -one < v < np.float32(height)
    if not (z >= np.float32(NEAR) and inside):
        return -1, -1
    row, column = int(v + one + half) - 1, int(u + one + half) - 1
    return min(max(row, 0), height - 1), min(max(column, 0), width - 1)

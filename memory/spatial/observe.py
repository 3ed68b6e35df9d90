"""The loops that take note of which points were seen, and by whom."""

import numpy as np
from numba import njit

from worldrt.memory.spatial.voxels import NONE, PAGE

APART = 64
"""Frames without it after which a place is come back to."""


@njit(cache=True, nogil=True)
def note(weight, page_seen, page_visits, seen, pierced, frame):  # pragma: no cover
    """Raise the weight of points that were seen and halve that of those seen through.

    Returns the ids of those whose weight has become 0, in their order; it is 1 still, for they are
    to be removed.
    """
    for n in range(len(seen)):
        p = seen[n]
        page = p // PAGE
        if weight[p] < 255:
            weight[p] += 1
        if page_seen[page] < frame:
            page_visits[page] += frame - page_seen[page] > APART
            page_seen[page] = frame
    dead = np.empty(len(pierced), np.int32)
    many = 0
    for n in range(len(pierced)):
        p = pierced[n]
        if weight[p] > 1:
            weight[p] //= 2
        else:
            dead[many] = p
            many += 1
    return dead[:many].copy()


@njit(cache=True, nogil=True)
def attribute(sources, position, ids, slot, centres):  # pragma: no cover
    """A keyframe joins the sources of points, the nearest first; the farthest gives way.

    Args:
        sources: [S, 4], in which the keyframe is not yet.
        position: [S, 3].
        ids: [N] points that it saw, none twice.
        slot: of the keyframe.
        centres: [K, 3] float32, where each keyframe's camera stood.
    """
    ranks = sources.shape[1]
    for n in range(len(ids)):
        p = ids[n]
        own = _squared(position[p], centres[slot])
        rank = ranks
        while rank > 0:
            other = sources[p, rank - 1]
            if other != NONE and _squared(position[p], centres[other]) <= own:
                break
            rank -= 1
        if rank < ranks:
            for later in range(ranks - 1, rank, -1):
                sources[p, later] = sources[p, later - 1]
            sources[p, rank] = slot


@njit(cache=True, nogil=True)
def unique(sources, weight, count):  # pragma: no cover
    """[count] living points that a keyframe alone has seen."""
    alone = np.zeros(count, np.int64)
    for p in range(len(sources)):
        if weight[p] > 0 and sources[p, 0] != NONE and sources[p, 1] == NONE:
            alone[sources[p, 0]] += 1
    return alone


@njit(cache=True, nogil=True)
def disown(sources, slot):  # pragma: no cover
    """A keyframe leaves all sources."""
    ranks = sources.shape[1]
    for p in range(len(sources)):
        for rank in range(ranks):
            if sources[p, rank] == slot:
                for later in range(rank, ranks - 1):
                    sources[p, later] = sources[p, later + 1]
                sources[p, ranks - 1] = NONE
                break


@njit(cache=True, nogil=True, inline="always")
def _squared(a, b):  # pragma: no cover
    d0, d1, d2 = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return d0 * d0 + d1 * d1 + d2 * d2

"""Which points make room when the map is full."""

import numpy as np
from numpy.typing import NDArray

from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.voxels import PAGE

SHARE = 32
"""A 32nd of all pages goes at once, so that what it costs to choose them is spread over many."""


def least(points: Points, kept: NDArray[np.int32], now: int) -> NDArray[np.int32]:
    """The pages of least value, a SHARE of all.

    A page is worth the mean weight of its points, times log2(1 + visits), over the frames since it
    was seen. Imagined ones go before real ones of the same value; those that are kept go last.

    Args:
        points: the map's.
        kept: pages in sight; those that frame `now` has seen or written are too.
        now: frame index.

    Returns:
        [n] pages, rising, at least one if one is in use.
    """
    used = np.flatnonzero(points.page_count)
    weight = points.weight.reshape(-1, PAGE)[used]
    mean = weight.sum(axis=1, dtype=np.int64) / np.count_nonzero(weight, axis=1)
    age = np.maximum(now - points.page_seen[used], 0)
    value = mean * np.log2(1 + points.page_visits[used]) / (1 + age)
    in_sight = np.isin(used, kept, assume_unique=True) | (points.page_seen[used] >= now)
    order = np.lexsort((-points.page_block[used, 0], value, in_sight))
    many = max(len(points.page_count) // SHARE, 1)
    return np.sort(used[order[:many]]).astype(np.int32)

"""How old what a memory shows and chooses is, as histograms."""

import numpy as np
from numpy.typing import NDArray

EDGES = tuple(2**power for power in range(3, 13))
"""Frames, 8 to 4,096: the first share is of what is younger, each other of what is as old."""
Counts = NDArray[np.int64]
"""[len(EDGES) + 1]"""


def count_ages(ages: NDArray[np.floating] | NDArray[np.integer]) -> Counts:
    """How many of the ages, in frames, lie between the edges."""
    places = np.searchsorted(EDGES, np.ravel(ages), side="right")
    return np.bincount(places, minlength=len(EDGES) + 1)


def shares(counts: Counts) -> list[float]:
    """The same as shares of all; empty where there is nothing."""
    total = int(counts.sum())
    return (counts / total).tolist() if total else []

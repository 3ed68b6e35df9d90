"""The frames whose cameras stand and look most like the query's.

Source: VMem, the "camera distance" baseline: the angle between the rotations, in radians,
and a tenth of the distance.

There a unit of length is the scene's; here a metre weighs `metre` radians. A frame is as near as it
is to the nearest of the query's views; of equals the newer is taken.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Nearest poses."""

    metre: float = 0.1
    """Radians that a metre weighs."""
    within: float = 180.0
    """Degrees; a camera turned by more from all views is not near at all."""

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`; the map is not looked at."""
        rows = free(query, candidates)
        angle, distance = apart(candidates.poses[rows], query.poses)
        near = np.where(angle <= math.radians(self.within), angle + self.metre * distance, np.inf)
        nearest = near.min(axis=1)
        order = np.lexsort((-candidates.index[rows], nearest))
        return [int(rows[k]) for k in order[: query.count] if np.isfinite(nearest[k])]


def apart(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far poses are from each other.

    Args:
        a: [N, 4, 4].
        b: [M, 4, 4].

    Returns:
        angle: [N, M] radians between the rotations, 0 to pi.
        distance: [N, M] metres between the places.
    """
    trace = np.einsum("nij,mij->nm", a[:, :3, :3], b[:, :3, :3])
    angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
    return angle, np.linalg.norm(a[:, None, :3, 3] - b[None, :, :3, 3], axis=-1)

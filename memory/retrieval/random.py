"""Frames drawn at random, all equally likely.

The control that any method must beat.
"""

from dataclasses import dataclass

import numpy as np

from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Frames at random, the same for the same seed and `now`."""

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`; `query.seed` alone decides."""
        rows = free(query, candidates)
        random = np.random.default_rng([query.seed, query.now])
        return [int(row) for row in random.permutation(rows)[: query.count]]

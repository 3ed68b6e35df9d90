"""The last frames before those that the context holds.

A control that knows no geometry: much of what one is about to see was just seen.
"""

from dataclasses import dataclass

from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The newest frames."""

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`; only the order of time is looked at."""
        rows = free(query, candidates)
        newest = rows[candidates.index[rows].argsort(kind="stable")[::-1]]
        return [int(row) for row in newest[: query.count]]

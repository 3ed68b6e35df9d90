"""The frames that together show most of what the query sees, by the map and their own depths.

The points in front vote for the frames that saw them; the `frames` with most votes are asked which
of the surface's pixels they see past what stands before it in their own depth; and those are chosen
one by one that add most to what the recent frames and the chosen ones show. So the cost depends on
what is in sight, not on how long one has walked. Where the map shows next to nothing of what is
asked, the nearest poses that look the same way are taken.

Source: Lyra 2, greedy coverage with depth; Memory Forcing, votes of visible points.
Lyra asks every keyframe and lets depths differ by 0.1 absolutely; neither minds how old a frame is
or whether the next one stands beside it.
"""

from dataclasses import dataclass

import numpy as np

from worldrt.errors import ConfigError
from worldrt.kernels.coverage import greedy, sees
from worldrt.memory.retrieval.nearest import Nearest
from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.retrieval.surface import surface, vote
from worldrt.memory.spatial.points import Points

LEAST_SEEN = 0.05
"""Share of the pixels that must be known for coverage to say anything."""
LEAST_GAIN = 0.0025
"""Share of the pixels that a frame must add."""
AHEAD = Nearest(within=60.0)
"""What is done where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Greedy coverage of what the map shows."""

    frames: int = 64
    """Frames whose own depth is looked at."""
    age: float = 0.2
    """What a pixel of the oldest frame is worth less than one of the newest."""

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 <= self.age < 1:
            raise ConfigError(
                "Coverage needs at least 1 frame and an age penalty from 0 to below 1, got "
                f"{self.frames} and {self.age:g}."
            )

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`.

        Raises:
            ConfigError: there is no map.
        """
        if points is None:
            raise ConfigError("Coverage needs the point map; insert the frames into one.")
        if len(candidates.ids) == 0:
            return []
        camera = candidates.camera
        total = np.zeros(int(candidates.ids.max()) + 1, np.int64)
        surfaces = [surface(points, pose, camera) for pose in query.poses]
        for seen, pose in zip(surfaces, query.poses, strict=True):
            total += vote(points, seen, pose, camera, len(total))
        places = np.concatenate([seen.places for seen in surfaces])
        votes = total[candidates.ids]
        rows = free(query, candidates)
        order = np.lexsort((-candidates.index[rows], -votes[rows]))[: self.frames]
        rows = np.sort(rows[order[votes[rows[order]] > 0]])
        held = np.flatnonzero((candidates.index >= query.now - query.recent) & (votes > 0))
        asked = np.concatenate([rows, held])
        bits = sees(places, candidates.poses[asked], candidates.depth[asked], camera)
        known = np.bitwise_count(np.bitwise_or.reduce(bits, axis=0)).sum()
        if known < LEAST_SEEN * len(places):
            return AHEAD.choose(query, candidates, points)
        covered = np.bitwise_or.reduce(bits[len(rows) :], axis=0)
        age = (query.now - candidates.index[rows]) / max(query.now, 1)
        least = max(1, int(np.ceil(LEAST_GAIN * len(places))))
        chosen = greedy(
            bits[: len(rows)],
            covered,
            1 - self.age * age,
            candidates.poses[rows],
            query.count,
            least,
        )
        return [int(rows[k]) for k in chosen]

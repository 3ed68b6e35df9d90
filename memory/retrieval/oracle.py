"""The frames that together show most of what the query's cameras truly see: the upper bound.

Source: Nemhauser, Wolsey and Fisher, An analysis of approximations for maximizing submodular set
functions, 1978: greedy set cover; here with the true depth, over all frames.
"""

from dataclasses import dataclass

import numpy as np

from worldrt.errors import ConfigError, ShapeError
from worldrt.kernels.coverage import greedy, sees
from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Greedy with the truth, which a world under way does not have."""

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`; what `query.truth` shows is covered until nothing more can be.

        Raises:
            ConfigError: the query has no truth.
            ShapeError: the truth is not of the views, or not of the candidates' camera.
        """
        if query.truth is None:
            raise ConfigError("The oracle needs the true depth of the views; pass Query.truth.")
        camera = candidates.camera
        size = len(query.poses), camera.height, camera.width
        if query.truth.shape != size:
            raise ShapeError("truth", query.truth.shape, str(list(size)))
        known = np.isfinite(query.truth) & (query.truth > 0)
        far = np.where(known, query.truth, np.nan)
        views = zip(far, query.poses, strict=True)
        places = np.concatenate([camera.unproject(*view).reshape(-1, 3) for view in views])
        rows = free(query, candidates)
        bits = sees(
            places.astype(np.float32),
            candidates.poses,
            candidates.depth.astype(np.float32, copy=False),
            camera,
        )
        held = np.setdiff1d(np.arange(len(bits)), rows)
        covered = np.bitwise_or.reduce(bits[held], axis=0)
        poses = candidates.poses[rows]
        chosen = greedy(bits[rows], covered, np.ones(len(rows)), poses, query.count, 1, alike=1.0)
        return [int(rows[k]) for k in chosen]

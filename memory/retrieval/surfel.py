"""Frames for which the surfels that the query sees vote, thinned out by pose.

Source: VMem and its released code: surfels are drawn with 0.65 of the focal
length, each pixel gives cos / (1 + depth) to all frames of its surfel, the K + 10 frames with most
votes are thinned out by pose (angle + 0.1 distance; the threshold is the median distance of pairs,
divided by 1.2 until K are left).

In the released code the first contribution counts twice, and what is left to hand out is set where
it should be added; both are mended. The map's points are the surfels: each knows at most four
frames, and is drawn as one pixel instead of a 16-gon. A normal is, as theirs, the cross product of
forward differences, here of the image drawn. Their rule for pure translations (nearest and latest
instead) is left out.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError
from worldrt.geometry.camera import Camera
from worldrt.memory.retrieval.nearest import apart
from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.retrieval.surface import Surface, surface
from worldrt.memory.spatial.points import Points

SPARE = 10
"""Frames beyond K that are thinned out."""
METRE = 0.1
"""Radians that a metre weighs."""
RELAX = 1.2
"""By what the threshold is divided while too few frames are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfel:
    """Votes of surfels."""

    zoom: float = 0.65
    """Focal length of the drawing, relative to the camera's: below 1 it sees more around."""

    def __post_init__(self) -> None:
        if not 0 < self.zoom <= 4:
            raise ConfigError(f"A surfel vote needs a zoom above 0 and up to 4, got {self.zoom:g}.")

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`.

        Raises:
            ConfigError: there is no map.
        """
        if points is None:
            raise ConfigError("Surfel votes need the point map; insert the frames into one.")
        rows = free(query, candidates)
        if len(rows) == 0:
            return []
        camera = candidates.camera
        wide = replace(camera, fx=self.zoom * camera.fx, fy=self.zoom * camera.fy)
        total = np.zeros(int(candidates.ids.max()) + 1)
        for pose in query.poses:
            seen = surface(points, pose, wide)
            shown = seen.front.id >= 0
            sources = points.sources[seen.front.id[shown]]  # [n, 4]
            worth = np.broadcast_to(_worth(seen, pose, wide)[shown][:, None], sources.shape)
            known = sources < len(total)
            np.add.at(total, sources[known], worth[known])
        votes = total[candidates.ids[rows]]
        order = np.lexsort((-candidates.index[rows], -votes))[: query.count + SPARE]
        order = order[votes[order] > 0]
        return [int(row) for row in _thinned(rows[order], candidates.poses, query.count)]


def _worth(seen: Surface, pose: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """[y, x] cos / (1 + depth) of each pixel; cos is 1 where a neighbour lacks."""
    places = seen.places.reshape(camera.height, camera.width, 3).astype(np.float64)
    across = np.diff(places, axis=1, append=np.nan)
    down = np.diff(places, axis=0, append=np.nan)
    normal = np.cross(across, down)
    ray = places - pose[:3, 3]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.abs((normal * ray).sum(-1)) / np.linalg.norm(normal, axis=-1)
        cosine = np.nan_to_num(cosine / np.linalg.norm(ray, axis=-1), nan=1.0)
    return cosine / (1 + seen.front.depth)


def _thinned(rows: NDArray[np.intp], poses: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """At most `count` of the rows, in their order, as far apart as can be."""
    if len(rows) <= count:
        return rows
    angle, distance = apart(poses[rows], poses[rows])
    gap = angle + METRE * distance
    threshold = float(np.median(gap[np.triu_indices(len(rows), 1)]))
    while True:
        kept: list[int] = []
        for row in range(len(rows)):
            if all(gap[row, other] >= threshold for other in kept):
                kept.append(row)
        if len(kept) >= count:
            return rows[kept[:count]]
        # Cameras at one place are never apart.
        threshold = threshold / RELAX if threshold > 1e-6 else 0.0

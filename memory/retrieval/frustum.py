"""Frames that see most of a grid in the query's frustum; walls hide nothing.

Source: Matrix-Game 3, its released code: for each target view, the frame that sees the
largest share of a 10 x 10 x 10 grid between 0.1 and 30, by a pinhole test.

The released code may give the same frame to several targets, so that memory slots are wasted; here
the views take turns and each takes the best frame that is still there. It pins the last slot to an
early frame, which here is the task of the cache's sink. Its field of view is 90 by 90 degrees; here
it is the camera's. It looks at every frame, so time is in proportion to the history.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError
from worldrt.geometry.camera import Camera
from worldrt.memory.retrieval.query import Candidates, Query, free
from worldrt.memory.spatial.points import Points


@dataclass(frozen=True, slots=True, kw_only=True)
class Frustum:
    """Overlap of frusta."""

    side: int = 10
    """Points along each side of the grid."""
    near: float = 0.1
    """Metres to the front of the grid."""
    far: float = 30.0
    """Metres to its back."""

    def __post_init__(self) -> None:
        if self.side < 1 or not 0 < self.near < self.far:
            raise ConfigError(
                "A frustum grid needs at least 1 point a side and 0 < near < far, got "
                f"{self.side}, {self.near:g} m and {self.far:g} m."
            )

    def choose(self, query: Query, candidates: Candidates, points: Points | None) -> list[int]:
        """See `Method.choose`; the map is not looked at."""
        rows = free(query, candidates)
        camera = candidates.camera
        grid = self._grid(camera)
        orders = []
        for view in query.poses:
            places = grid @ view[:3, :3].T + view[:3, 3]
            counts = [shown(places, pose, camera) for pose in candidates.poses[rows]]
            orders.append(np.lexsort((-candidates.index[rows], -np.array(counts, np.int64))))
        chosen: list[int] = []
        for turn in range(min(query.count, len(rows))):
            order = orders[turn % len(orders)]
            chosen.append(next(int(rows[k]) for k in order if int(rows[k]) not in chosen))
        return chosen

    def _grid(self, camera: Camera) -> NDArray[np.float64]:
        """[side^3, 3] points in camera axes: evenly over the image and in depth."""
        share = (np.arange(self.side) + 0.5) / self.side
        z, row, column = np.meshgrid(
            np.linspace(self.near, self.far, self.side),
            (share * camera.height - camera.cy) / camera.fy,
            (share * camera.width - camera.cx) / camera.fx,
            indexing="ij",
        )
        return np.stack([column * z, row * z, z], axis=-1).reshape(-1, 3)


def shown(places: NDArray[np.float64], pose: NDArray[np.float64], camera: Camera) -> int:
    """How many of the points [N, 3] fall into a camera's image."""
    pixels, depth = camera.project(places, pose)
    inside = (depth > 0) & (pixels >= 0).all(axis=1)
    return int(np.count_nonzero(inside & (pixels < (camera.width, camera.height)).all(axis=1)))

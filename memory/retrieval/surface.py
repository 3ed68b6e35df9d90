"""What the query's cameras see of the map."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.kernels.front import NEAR, Front, front, votes
from worldrt.memory.spatial.points import Points

FAR = 100.0
"""Metres; nothing farther is looked for."""
SLACK = 0.05
"""Metres, about half a voxel: points no farther behind the nearest are its surface."""


class Surface(NamedTuple):
    """One camera's view of the map."""

    front: Front
    places: NDArray[np.float32]
    """[y x, 3] world coordinates of the point at each pixel; NaN where there is none."""
    spans: NDArray[np.int32]
    """[N, 2] runs of points in the pages that meet the camera's frustum."""
    boxes: NDArray[np.float32]
    """[N, 2, 3] corners of each."""


def surface(points: Points, pose: NDArray[np.float64], camera: Camera) -> Surface:
    """The front of the map as a camera sees it."""
    pages = points.cull(pose, camera, NEAR, FAR, margin=0)
    spans, boxes = points.spans(pages), points.boxes(pages)
    seen = front(points.position, points.weight, spans, pose, camera, boxes)
    places = np.full((seen.id.size, 3), np.nan, np.float32)
    shown = seen.id.ravel() >= 0
    places[shown] = points.position[seen.id.ravel()[shown]]
    return Surface(seen, places, spans, boxes)


def vote(
    points: Points, seen: Surface, pose: NDArray[np.float64], camera: Camera, slots: int
) -> NDArray[np.int64]:
    """[slots] votes of what is seen for the keyframes that saw it; see `kernels.front.votes`."""
    return votes(
        points.position,
        points.weight,
        points.sources,
        seen.spans,
        seen.front.depth,
        pose,
        camera,
        SLACK,
        slots,
        seen.boxes,
    )

"""Two rooms without a door between them, walked with exact depth, and the map that comes of it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.kernels.coverage import sees
from worldrt.memory.retrieval.query import Candidates, Query
from worldrt.memory.spatial.keyframes import quarter, quartered
from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.voxels import NONE
from worldrt.simulators.doom.depth import cast

CAMERA = Camera(width=52, height=36, fx=26, fy=26, cx=26, cy=18)
SMALL = quarter(CAMERA)
EAST = math.pi / 2

HEIGHTS = np.zeros((8, 13))
HEIGHTS[1:7, 1:6] = HEIGHTS[1:7, 7:12] = 3.0
"""Open at x 1 to 6 and 7 to 12, z 1 to 7; solid between x = 6 and 7."""


class Walk(NamedTuple):
    """Frames of a walk, all of them candidates, and the points that they show."""

    candidates: Candidates
    points: Points

    def query(
        self, pose: NDArray[np.float64], count: int = 4, recent: int = 0, seed: int = 0
    ) -> Query:
        """What the frame after the last one asks."""
        now = int(self.candidates.index.max(initial=-1)) + 1
        truth = quartered(look(pose))[None]
        return Query(pose[None], count, now, recent, seed, truth)


def stand(x: float, z: float, yaw: float) -> NDArray[np.float64]:
    """A level camera at eye height."""
    return from_yaw_pitch(np.array([x, -1.0, z]), yaw, 0.0)


def look(pose: NDArray[np.float64]) -> NDArray[np.float32]:
    """[Y, X] true depth."""
    return cast(HEIGHTS, CAMERA, pose[:3, 3], math.atan2(pose[0, 2], pose[2, 2]))


def walk(poses: list[NDArray[np.float64]]) -> Walk:
    """Look from each pose; every point knows the four frames nearest to it that see it."""
    stack = np.array(poses).reshape(-1, 4, 4)
    depth = np.array([look(pose) for pose in stack], np.float32).reshape(-1, 36, 52)
    points = Points(400, CAMERA.fx)
    for index, pose in enumerate(stack):
        place = CAMERA.unproject(depth[index], pose).reshape(-1, 3).astype(np.float32)
        colour = np.zeros((len(place), 3), np.uint8)
        points.add(place, colour, depth[index].ravel(), index)
    living = np.flatnonzero(points.weight)
    bits = sees(points.position[living], stack, depth, CAMERA)
    seen = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, : len(living)] > 0
    gap = np.linalg.norm(stack[:, None, :3, 3] - points.position[living], axis=-1)
    gap = np.where(seen, gap, np.inf)
    order = np.argsort(gap, axis=0, kind="stable")[:4].T  # [n, up to 4]
    known = np.isfinite(np.take_along_axis(gap.T, order, axis=1))
    points.sources[living, : order.shape[1]] = np.where(known, order, NONE)
    small = np.array([quartered(image) for image in depth], np.float32)
    index = np.arange(len(stack))
    candidates = Candidates(index, index, stack, small.reshape(-1, 9, 13), SMALL)
    return Walk(candidates, points)


def both_rooms() -> Walk:
    """Four frames in each room: the western ones see one half of the wall between them."""
    western = [stand(x, z, EAST - 0.6) for x in (2.0, 4.0) for z in (3.0, 5.0)]
    eastern = [stand(x, z, EAST) for x in (8.0, 10.0) for z in (3.0, 5.0)]
    return walk(western + eastern)


def around(x: float, z: float, count: int) -> Walk:
    """A turn on the spot."""
    return walk([stand(x, z, 2 * math.pi * k / count) for k in range(count)])

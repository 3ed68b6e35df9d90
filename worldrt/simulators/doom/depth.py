"""Exact depth of a maze, ray-cast on its grid of one-metre squares."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera


def cast(
    heights: NDArray[np.float64], camera: Camera, position: NDArray[np.float64], yaw: float
) -> NDArray[np.float32]:
    """Depth along z of every pixel, as seen by a level camera above a floor at y = 0.

    Args:
        heights: [N, N] ceiling of each square above the floor, metres, row along z and column along
            x; 0 is solid. The outermost squares are solid.
        camera: pinhole intrinsics, pixels.
        position: [3] world coordinates in an open square, metres; y is minus the eye height.
        yaw: radians, positive to the right.

    Returns:
        [Y, X] metres.

    Source: Amanatides and Woo, A Fast Voxel Traversal Algorithm for Ray Tracing, 1987.
    """
    across = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    slopes = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    depth = np.empty((camera.height, camera.width), dtype=np.float32)
    x, y, z = position
    _cast(heights, across, slopes, x, z, -y, math.sin(yaw), math.cos(yaw), depth)
    return depth


@numba.njit(cache=True)
def _cast(
    heights: NDArray[np.float64],
    across: NDArray[np.floating],
    slopes: NDArray[np.floating],
    x: float,
    z: float,
    eye: float,
    sine: float,
    cosine: float,
    depth: NDArray[np.float32],
) -> None:
    """Walk each column's ray square by square, closing its rows from both ends to the horizon."""
    for column in range(across.size):
        dx = sine + across[column] * cosine
        dz = cosine - across[column] * sine
        square_x, square_z = int(math.floor(x)), int(math.floor(z))
        step_x, step_z = (1 if dx > 0 else -1), (1 if dz > 0 else -1)
        pace_x = abs(1 / dx) if dx != 0 else math.inf
        pace_z = abs(1 / dz) if dz != 0 else math.inf
        next_x = (square_x + 1 - x if dx > 0 else x - square_x) * pace_x if dx != 0 else math.inf
        next_z = (square_z + 1 - z if dz > 0 else z - square_z) * pace_z if dz != 0 else math.inf
        top, bottom = 0, slopes.size - 1
        while top <= bottom:
            rise = heights[square_z, square_x] - eye
            leave = min(next_x, next_z)
            while top <= bottom and rise <= -slopes[top] * leave:  # the ceiling of this square
                depth[top, column] = rise / -slopes[top]
                top += 1
            while top <= bottom and eye <= slopes[bottom] * leave:  # its floor
                depth[bottom, column] = eye / slopes[bottom]
                bottom -= 1
            if next_x < next_z:
                square_x += step_x
                next_x += pace_x
            else:
                square_z += step_z
                next_z += pace_z
            ahead = heights[square_z, square_x]
            if ahead == 0:
                depth[top : bottom + 1, column] = leave
                break
            while top <= bottom and ahead - eye < -slopes[top] * leave:  # the wall above an opening
                depth[top, column] = leave
                top += 1

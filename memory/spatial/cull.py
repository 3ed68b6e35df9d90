"""Which boxes a camera may see.

Cost: 28 bytes a box and at most six half-space tests, about 20 ns.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera

_SLACK = 1e-5
"""Relative; points are projected in float32, boxes in float64, and a box may not be stricter."""


def cull(
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    count: NDArray[np.int32],
    pose: NDArray[np.float64],
    camera: Camera,
    near: float,
    far: float,
    margin: float,
) -> NDArray[np.int32]:
    """Boxes that are not wholly outside one plane of a frustum.

    Args:
        low, high: [G, 3] corners, world coordinates in metres.
        count: [G] boxes of 0 are left out.
        pose: [4, 4] world_from_camera.
        camera: the image.
        near, far: metres along z.
        margin: pixels by which the image is widened on all sides.

    Returns:
        [n] int32, rising.

    Source: Gribb and Hartmann, Fast extraction of viewing frustum planes, 2001.
    """
    rotation = pose[:3, :3]
    across, down, ahead = rotation[:, 0], rotation[:, 1], rotation[:, 2]
    left, right = camera.cx + margin, camera.width + margin - camera.cx
    top, bottom = camera.cy + margin, camera.height + margin - camera.cy
    normals = np.stack(
        [
            camera.fx * across + left * ahead,
            right * ahead - camera.fx * across,
            camera.fy * down + top * ahead,
            bottom * ahead - camera.fy * down,
            ahead,
            -ahead,
        ]
    )
    at = normals @ pose[:3, 3]
    offsets = -at + np.array([0, 0, 0, 0, -near, far])
    return _cull(low, high, count, normals, offsets)


@njit(cache=True, nogil=True)
def _cull(low, high, count, normals, offsets):  # pragma: no cover
    found = np.empty(len(low), np.int32)
    many = 0
    for box in range(len(low)):
        if count[box] == 0:
            continue
        inside = True
        for plane in range(6):
            most = offsets[plane]
            size = abs(most) if most < np.inf else 0.0
            for axis in range(3):
                normal = normals[plane, axis]
                term = normal * np.float64(high[box, axis] if normal > 0 else low[box, axis])
                most += term
                size += abs(term)
            if most < -_SLACK * size:
                inside = False
                break
        if inside:
            found[many] = box
            many += 1
    return found[:many].copy()

"""What a depth image says of surfaces: where they are whole, between which depths they lie."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.kernels.fill import fill
from worldrt.memory.spatial.frame import Splat

BEND = 0.15
"""Largest second difference of inverse depth, relative to it, on one surface."""
SAME = 0.02
"""Relatively, how far off a surface's depths a point may lie and still be of it."""
CLEAR = 0.03
CLEAR_METRES = 0.02
"""How far before a surface, relatively and in metres, a point lies that is seen through."""

HIDDEN = 1.15
"""So many times a surface's depth, no point counts as its: more than AGREEMENT and the splat's
TOLERANCE together."""


class Bounds:
    """[Y, X] depths in metres that a point which projects into a pixel is judged by."""

    def __init__(self, depth: NDArray[np.float32], surface: NDArray[np.bool_]) -> None:
        """Bounds of an image.

        Args:
            depth: [Y, X] metres along z; 0 is unknown.
            surface: [Y, X] what `on_surface` says of it.
        """
        images = np.empty((4, *depth.shape), np.float32)
        self.low, self.high, self.through, self.behind = (images[n] for n in range(4))
        """From `low` to `high` it is of the surface; before `through`, the surface is seen through
        it. Nothing is either where the surface is not whole. From `behind` on it is hidden from
        this pixel and those beside it."""
        _bounds(depth, surface, self.low, self.high, self.through, self.behind)


def on_surface(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels away from depth edges, where colours and depths of two surfaces mix.

    Inverse depth is linear in the image of a plane, however steeply it is seen, so its second
    difference is 0 there; at a step it is as large as the step.

    Args:
        depth: [Y, X] metres along z; 0 is unknown and counts as infinitely far.

    Returns:
        [Y, X] whether the pixel and its neighbours lie on one surface.
    """
    inverse = 1 / np.where(depth > 0, depth, np.inf)
    across = np.pad(np.abs(np.diff(inverse, n=2, axis=1)), ((0, 0), (1, 1)), mode="edge")
    down = np.pad(np.abs(np.diff(inverse, n=2, axis=0)), ((1, 1), (0, 0)), mode="edge")
    return np.maximum(across, down) < BEND * inverse


def places(
    depth: NDArray[np.float32],
    chosen: NDArray[np.bool_],
    camera: Camera,
    pose: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Where pixels of an image lie in the world, as `camera.unproject` of them alone.

    Args:
        depth: [Y, X] metres along z; 0 is unknown.
        chosen: [Y, X] N pixels whose depth is known.
        camera: of the image.
        pose: [4, 4] world_from_camera.

    Returns:
        [N, 3] metres.
    """
    rows, columns = np.nonzero(chosen)
    found = np.empty((len(rows), 3), np.float32)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _places(depth, rows, columns, intrinsics, pose, found)
    return found


def normals(
    depth: NDArray[np.float32],
    chosen: NDArray[np.bool_],
    camera: Camera,
    pose: NDArray[np.float64],
) -> NDArray[np.int8]:
    """Which way the surface faces in pixels of an image.

    Args:
        depth: [Y, X] metres along z; 0 is unknown.
        chosen: [Y, X] N pixels whose depth is known.
        camera: of the image.
        pose: [4, 4] world_from_camera.

    Returns:
        [N, 3] normals towards the camera in world axes, of length 127; 0 0 0 where none of a
        pixel's neighbours in a row or a column is known.
    """
    rows, columns = np.nonzero(chosen)
    facing = np.empty((len(rows), 3), np.int8)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    _normals(depth, rows, columns, intrinsics, pose[:3, :3], facing)
    return facing


def filled(splat: Splat, near: float) -> NDArray[np.float32]:
    """The splat as a whole RGB-D image for the codec, its holes filled from their surroundings.

    Args:
        splat: V views.
        near: metres at which the inverse-depth channel saturates.

    Returns:
        [V, 4, Y, X]: RGB in [-1, 1] and 2 min(1, near / z) - 1; a view that shows nothing is 0.
    """
    # Linear across the image of a plane, which depth is not, so this is what may be averaged.
    inverse = np.minimum(1, near / np.where(splat.mask > 0, splat.depth, np.inf))
    channels = np.concatenate([np.moveaxis(splat.rgb, -1, 1), inverse[:, None]], axis=1)
    return 2 * fill(channels.astype(np.float32, copy=False), splat.mask) - 1


@njit(cache=True, nogil=True)
def _bounds(depth, surface, low, high, through, behind):  # pragma: no cover
    """A point lies anywhere in its pixel, so a steep surface is bounded by its neighbours'."""
    height, width = depth.shape
    low[:] = np.inf
    high[:] = -np.inf
    through[:] = -np.inf
    for row in range(height):
        for column in range(width):
            least = most = nearest = farthest = depth[row, column]
            whole = 0 < row < height - 1 and 0 < column < width - 1
            for y in range(max(row - 1, 0), min(row + 2, height)):
                for x in range(max(column - 1, 0), min(column + 2, width)):
                    beside = depth[y, x]
                    if not beside > 0:
                        whole = False
                        continue
                    nearest, farthest = min(nearest, beside), max(farthest, beside)
                    if y == row or x == column:
                        least, most = min(least, beside), max(most, beside)
            behind[row, column] = farthest * np.float32(HIDDEN)
            if not surface[row, column]:
                continue
            low[row, column] = least * np.float32(1 - SAME)
            high[row, column] = most * np.float32(1 + SAME)
            if whole:
                clear = max(nearest * np.float32(CLEAR), np.float32(CLEAR_METRES))
                through[row, column] = nearest - clear


@njit(cache=True, nogil=True)
def _places(depth, rows, columns, intrinsics, pose, found):  # pragma: no cover
    fx, fy, cx, cy = intrinsics
    for n in range(len(rows)):
        z = np.float64(depth[rows[n], columns[n]])
        x, y = (columns[n] + 0.5 - cx) / fx * z, (rows[n] + 0.5 - cy) / fy * z
        for axis in range(3):
            local = pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2] * z
            found[n, axis] = np.float32(local + pose[axis, 3])


@njit(cache=True, nogil=True)
def _normals(depth, rows, columns, intrinsics, rotation, facing):  # pragma: no cover
    """The cross product of the central differences in a row and in a column."""
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    step = np.zeros((2, 3))
    for n in range(len(rows)):
        row, column = rows[n], columns[n]
        own = depth[row, column]
        for axis in range(2):
            down, across = axis, 1 - axis
            y0, x0 = max(row - down, 0), max(column - across, 0)
            y1, x1 = min(row + down, height - 1), min(column + across, width - 1)
            z0, z1 = np.float64(depth[y0, x0]), np.float64(depth[y1, x1])
            if not z0 > 0:
                y0, x0, z0 = row, column, np.float64(own)
            if not z1 > 0:
                y1, x1, z1 = row, column, np.float64(own)
            step[axis, 0] = z1 * (x1 + 0.5 - cx) / fx - z0 * (x0 + 0.5 - cx) / fx
            step[axis, 1] = z1 * (y1 + 0.5 - cy) / fy - z0 * (y0 + 0.5 - cy) / fy
            step[axis, 2] = z1 - z0
        # Down times across points towards the camera.
        a, b = step[1], step[0]
        n0 = a[1] * b[2] - a[2] * b[1]
        n1 = a[2] * b[0] - a[0] * b[2]
        n2 = a[0] * b[1] - a[1] * b[0]
        length = np.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
        scale = 127 / length if length > 0 else 0.0
        for axis in range(3):
            component = rotation[axis, 0] * n0 + rotation[axis, 1] * n1 + rotation[axis, 2] * n2
            facing[n, axis] = np.int8(np.rint(component * scale))

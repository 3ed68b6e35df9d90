"""A mesh of what a spatial memory shows, by fusing its views into signed distances.

The views are those of the memory's keyframes: from where something was seen, it is seen best. Needs
Open3D.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.atlas.ply import encode
from worldrt.config import check
from worldrt.errors import BackendUnavailable, InputError
from worldrt.geometry.se3 import inverse
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.surface import on_surface

TRUSTED = 0.5
"""Least mask of a pixel whose depth is fused."""
FINER = 4
"""Samples a side of each pixel. Between pixels inverse depth is linear on a plane; without it, a
floor seen at a slant becomes a staircase with a step a pixel."""
BLOCK = 8
"""Voxels a side of what Open3D allocates at once."""
BAND = 4
"""Voxels before and behind a surface in which its distance is kept."""
SEEN = 0.5
"""Views that have seen a voxel, at least: one is enough."""


class Mesh(NamedTuple):
    """Triangles with a colour at each corner."""

    vertices: NDArray[np.float32]
    """[P, 3] world coordinates, metres."""
    colours: NDArray[np.uint8]
    """[P, 3] RGB."""
    triangles: NDArray[np.int32]
    """[N, 3] vertices, anticlockwise for whom sees them."""

    def ply(self) -> bytes:
        """The mesh as a PLY file."""
        x, y, z = self.vertices.T
        red, green, blue = self.colours.T
        columns = {"x": x, "y": y, "z": z, "red": red, "green": green, "blue": blue}
        return encode(columns, self.triangles)


def fuse(memory: SpatialMap, voxel: float) -> Mesh:
    """The surfaces that a memory shows.

    Args:
        memory: with at least one keyframe.
        voxel: metres of a cell's edge, above 0.

    Raises:
        ConfigError: the voxel is not positive.
        InputError: the memory has no keyframe, or its cells are too large for a surface.
        BackendUnavailable: Open3D is not installed.

    Source: Curless and Levoy, A volumetric method for building complex models from range images,
    SIGGRAPH 1996; Dong et al., ASH: A modern framework for parallel spatial hashing, 2021.
    """
    check(0 < voxel < np.inf, f"A voxel's edge is some metres, got {voxel:g}; say 0.05.")
    poses = memory.keyframes.candidates().poses
    if not len(poses):
        raise InputError(
            f"The memory has {len(memory)} points and 0 keyframes, a mesh needs at least 1 to be "
            "seen from; walk first."
        )
    o3d, camera = open3d(), memory.camera.scaled(FINER)
    tensor, image = o3d.core.Tensor, o3d.t.geometry.Image
    kinds = o3d.core.float32, o3d.core.uint16, o3d.core.uint16
    names, channels = ("tsdf", "weight", "color"), ((1,), (1,), (3,))
    grid = o3d.t.geometry.VoxelBlockGrid(names, kinds, channels, voxel, BLOCK, 1000)
    # Here Open3D takes the pixel in which a point falls, so the first one's centre is (0.5, 0.5).
    pinhole = tensor(
        np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], np.float64)
    )
    for pose in poses:
        depth, rgb = _finer(memory.view(pose[None]))
        if not depth.any():
            continue
        pictures, where = (image(depth), image(rgb)), tensor(inverse(pose))
        scale = 1.0, float(depth.max()) + 1, float(BAND)
        blocks = grid.compute_unique_block_coordinates(pictures[0], pinhole, where, *scale)
        grid.integrate(blocks, *pictures, pinhole, pinhole, where, *scale)
    mesh = grid.extract_triangle_mesh(SEEN)
    if not len(mesh.triangle.indices):
        raise InputError(
            f"The memory's {len(memory)} points make 0 triangles in cells of {voxel:g} m; take "
            "smaller ones."
        )
    return Mesh(
        mesh.vertex.positions.numpy().astype(np.float32),
        np.rint(mesh.vertex.colors.numpy()).astype(np.uint8),
        mesh.triangle.indices.numpy().astype(np.int32),
    )


def _finer(seen: Splat) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth in metres, 0 where it is not trusted, and RGB from 0 to 255, of a single view."""
    depth = np.where(seen.mask[0] >= TRUSTED, seen.depth[0], 0).astype(np.float32)
    nearness = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    # Within a surface a pixel's neighbours are known, so what is interpolated is.
    known = on_surface(depth).repeat(FINER, axis=0).repeat(FINER, axis=1)
    fine = _enlarged(nearness)
    return (
        np.divide(1, fine, out=np.zeros_like(fine), where=known & (fine > 0)),
        _enlarged(255 * seen.rgb[0]),
    )


def _enlarged(image: NDArray[np.float32]) -> NDArray[np.float32]:
    large = cv2.resize(image, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR)
    return large.astype(np.float32, copy=False)


def open3d() -> Any:
    """Open3D, which is loaded when it is needed: it is large.

    Raises:
        BackendUnavailable: it is not installed, or a library of the system that it needs.
    """
    try:
        import open3d
    except ImportError as error:
        raise BackendUnavailable(
            f"Open3D ({error})",
            "install it with: pip install 'worldrt[memory]' and, on Debian and Ubuntu, "
            "apt-get install libusb-1.0-0 libgl1 libegl1 libx11-6 libgomp1",
        ) from error
    return open3d

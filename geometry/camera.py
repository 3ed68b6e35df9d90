"""Pinhole cameras: intrinsics in pixels, OpenCV axes (x right, y down, z forward)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldrt.config import CameraConfig
from worldrt.errors import ShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Pinhole intrinsics in pixels; the first pixel's centre is (0.5, 0.5).

    Source: Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 6.1.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def centred(cls, config: CameraConfig) -> "Camera":
        """The camera of `config`, its principal point in the middle of the image."""
        return cls(
            width=config.width,
            height=config.height,
            fx=config.fx,
            fy=config.fy,
            cx=config.width / 2,
            cy=config.height / 2,
        )

    def scaled(self, factor: float) -> "Camera":
        """The same view on a grid `factor` times as fine (0.5: half as many pixels a side)."""
        return Camera(
            width=round(self.width * factor),
            height=round(self.height * factor),
            fx=self.fx * factor,
            fy=self.fy * factor,
            cx=self.cx * factor,
            cy=self.cy * factor,
        )

    def directions(self) -> NDArray[np.float64]:
        """Directions through the pixels' centres in camera axes, [Y, X, 3], third component 1."""
        x = (np.arange(self.width, dtype=np.float64) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height, dtype=np.float64) + 0.5 - self.cy) / self.fy
        columns, rows = np.meshgrid(x, y)
        return np.stack([columns, rows, np.ones_like(columns)], axis=-1)

    def project(
        self, points: NDArray[np.floating], world_from_camera: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project world points into the image.

        Args:
            points: [..., 3] world coordinates, metres.
            world_from_camera: [4, 4] pose.

        Returns:
            pixels: [..., 2] column and row; meaningless where depth is not positive.
            depth: [...] metres along z; not positive is behind the camera.

        Raises:
            ShapeError: the last axis of points is not 3.
        """
        if points.shape[-1:] != (3,):
            raise ShapeError("points", points.shape, "[..., 3]")
        rotation, origin = world_from_camera[:3, :3], world_from_camera[:3, 3]
        local = (points - origin) @ rotation
        depth = local[..., 2]
        safe = np.where(np.abs(depth) > 1e-12, depth, 1e-12)
        column = self.fx * local[..., 0] / safe + self.cx
        row = self.fy * local[..., 1] / safe + self.cy
        return np.stack([column, row], axis=-1), depth

    def unproject(
        self, depth: NDArray[np.floating], world_from_camera: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """World points seen at each pixel.

        Args:
            depth: [Y, X] metres along z.
            world_from_camera: [4, 4] pose.

        Returns:
            [Y, X, 3] world coordinates, metres.

        Raises:
            ShapeError: depth is not [height, width].
        """
        if depth.shape != (self.height, self.width):
            raise ShapeError("depth", depth.shape, f"[{self.height}, {self.width}]")
        local = self.directions() * depth[..., None]
        return local @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]

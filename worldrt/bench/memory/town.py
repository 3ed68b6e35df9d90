"""A town of boxes on a plain, ray-cast: room for a map of a million points, and for looking up.

A ray is tested against every box: 400 boxes and 256x144 pixels are 15 million tests, some 60 ms.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.config import CameraConfig
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch

CAMERA = CameraConfig(width=256, height=144, fx=128.0, fy=128.0)
"""The camera that the targets are told for: 90 degrees across."""
BLOCK = 16.0
"""Metres from street to street."""
EYE = 1.6
"""Metres above the ground."""
FAR = 200.0
"""Metres beyond which there is sky."""
CROSSING = 6
"""Houses a side of a town with a crossing in its middle where one nods."""
NOD, NODS = math.radians(15), 2
"""Radians up and down of a nod, and nods in a turn."""


class Town:
    """Houses on a grid of streets.

    Args:
        blocks: houses a side, at least 1.
        seed: of their sizes and colours.
        camera: that looks; None: of 256x144 pixels.
    """

    def __init__(self, blocks: int = 20, seed: int = 0, camera: Camera | None = None) -> None:
        random = np.random.default_rng(seed)
        self.blocks, self.camera = blocks, camera or Camera.centred(CAMERA)
        rows, columns = (grid.reshape(-1) for grid in np.mgrid[:blocks, :blocks])
        count = blocks * blocks
        middles = BLOCK * (np.stack([columns, rows], axis=1) + 0.5)
        halves = random.uniform(3.5, 5.5, (count, 2))
        heights = random.uniform(3, 14, count)
        self._boxes = np.empty((count, 2, 3), np.float32)
        self._boxes[:, 0, [0, 2]], self._boxes[:, 1, [0, 2]] = middles - halves, middles + halves
        self._boxes[:, 0, 1], self._boxes[:, 1, 1] = -heights, 0
        self._colours = random.uniform(60, 220, (count + 1, 3)).astype(np.float32)
        self._colours[count] = 120  # the ground

    def look(self, pose: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """What is seen from a pose [4, 4]: RGB [Y, X, 3] and depth [Y, X], 0 in the sky."""
        rays = (self.camera.directions() @ pose[:3, :3].T).astype(np.float32)
        rgb = np.empty((*rays.shape[:2], 3), np.uint8)
        depth = np.empty(rays.shape[:2], np.float32)
        _cast(rays, pose[:3, 3].astype(np.float32), self._boxes, self._colours, rgb, depth)
        return rgb, depth

    def walk(self, frames: int, step: float = 0.6) -> NDArray[np.float64]:
        """[F, 4, 4]: up one street, down the next, looking left and right by turns."""
        length = BLOCK * self.blocks
        way = step * np.arange(frames)
        street, along = np.divmod(way, length)
        street %= self.blocks + 1
        up = street % 2 == 0
        position = np.zeros((frames, 3))
        position[:, 0] = BLOCK * street  # the first one runs along the town's rim
        position[:, 1] = -EYE
        position[:, 2] = np.where(up, along, length - along)
        look = np.radians(70) * np.sin(0.15 * np.arange(frames))
        return from_yaw_pitch(position, np.where(up, 0, np.pi) + look, np.zeros(frames))


def nodding(turn_step: float) -> NDArray[np.float64]:
    """[F, 4, 4] one turn at the crossing of a town of CROSSING blocks, looking up and down.

    Args:
        turn_step: degrees that no step turns by more than.
    """
    # Yaw and pitch together are at most this much longer than the yaw.
    longer = math.hypot(1, NODS * NOD)
    frames = math.ceil(360 * longer / turn_step - 1e-9)
    yaw = math.tau * np.arange(frames) / frames
    middle = CROSSING // 2 * BLOCK
    position = np.tile([middle, -EYE, middle], (frames, 1))
    return from_yaw_pitch(position, yaw, NOD * np.sin(NODS * yaw))


@njit(cache=True, nogil=True)
def _cast(rays, origin, boxes, colours, rgb, depth):  # pragma: no cover
    height, width = depth.shape
    for row in range(height):
        for column in range(width):
            ray = rays[row, column]
            best, hit, face = np.float32(FAR), -1, 1
            if ray[1] > 0 and -origin[1] / ray[1] < best:
                best, hit = -origin[1] / ray[1], len(boxes)
            for b in range(len(boxes)):
                enter, leave, axis = np.float32(0.0), best, 0
                for a in range(3):
                    if abs(ray[a]) < np.float32(1e-9):
                        if not boxes[b, 0, a] < origin[a] < boxes[b, 1, a]:
                            leave = np.float32(-1.0)
                        continue
                    near = (boxes[b, 0, a] - origin[a]) / ray[a]
                    far = (boxes[b, 1, a] - origin[a]) / ray[a]
                    if near > far:
                        near, far = far, near
                    if near > enter:
                        enter, axis = near, a
                    leave = min(leave, far)
                if enter < leave and enter > 0:
                    best, hit, face = enter, b, axis
            if hit < 0:
                depth[row, column] = 0
                rgb[row, column] = (150, 190, 230)
                continue
            depth[row, column] = best
            # Bricks: a hash of the half-metre cell, and a shade by which way the face looks.
            cell = 0
            for a in range(3):
                cell = (cell ^ int(np.floor((origin[a] + best * ray[a]) * 2 + 0.25))) * 73856093
                cell = (cell ^ (cell >> 13)) & 0xFFFFFFFF
            shade = (0.7 + 0.15 * face) * (0.7 + 0.3 * (cell % 97) / 97)
            for c in range(3):
                rgb[row, column, c] = np.uint8(colours[hit, c] * shade)

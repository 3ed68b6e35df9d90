"""Rooms of boxes that are ray-cast exactly."""

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap

CAMERA = Camera(width=64, height=48, fx=32, fy=38.4, cx=32, cy=24)
ODD = Camera(width=63, height=45, fx=31, fy=33, cx=30.7, cy=22.9)
ROOM = (-4.0, -1.5, -5.0), (4.0, 1.3, 5.0)
PILLAR = (-0.5, -1.5, 1.0), (0.5, 1.3, 2.0)
WALL = (-1.5, -1.5, -0.025), (1.5, 1.3, 0.025)
"""5 cm thick, across the room."""


def standing(x: float, z: float, yaw: float) -> NDArray[np.float64]:
    """A level pose, its yaw in degrees."""
    return from_yaw_pitch(np.array([x, 0.0, z]), np.radians(yaw), 0.0)


def shot(
    pose: NDArray[np.float64],
    index: int = 0,
    *boxes: tuple,
    camera: Camera = CAMERA,
    room: tuple = ROOM,
) -> Frame:
    """What a room with boxes in it shows; each box is tinted by where the ray meets it."""
    directions = camera.directions() @ pose[:3, :3].T
    directions[directions == 0] = 1e-12
    origin = pose[:3, 3]
    depth = np.maximum(*((np.array(corner) - origin) / directions for corner in room)).min(axis=-1)
    box = np.zeros(depth.shape, int)
    for number, corners in enumerate(boxes, 1):
        slabs = [(np.array(corner) - origin) / directions for corner in corners]
        enter, leave = np.minimum(*slabs).max(axis=-1), np.maximum(*slabs).min(axis=-1)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        depth, box = np.where(hit, enter, depth), np.where(hit, number, box)
    place = origin + depth[..., None] * directions
    waves = np.sin(2.5 * place + 2 * np.roll(place, 1, axis=-1))
    tints = np.array([[1.0, 0.7, 0.5], [0.3, 1.0, 0.3], [0.3, 0.4, 1.0]])
    rgb = np.rint((150 + 80 * waves) * tints[box]).astype(np.uint8)
    return Frame(rgb, depth.astype(np.float32), pose, index)


def walk(count: int = 48) -> list[NDArray[np.float64]]:
    """Once round the pillar and once on the spot."""
    path = []
    for yaw in np.linspace(0.0, 345.0, count // 2).tolist():
        sin, cos = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
        path += [standing(2.6 * sin, 1.5 - 2.6 * cos, -yaw), standing(-0.3, -2.0, yaw)]
    return path


ENOUGH = 8_000_000
POSE = standing(0.3, -1.0, 0.0)


def a_map(budget: int = ENOUGH, **options) -> SpatialMap:
    return SpatialMap(CAMERA, budget, **options)


def grey(value: int, metres: float, pose: NDArray = POSE, **fields) -> Frame:
    """A grey wall across the view."""
    depth = np.full((CAMERA.height, CAMERA.width), metres, np.float32)
    frame = Frame(np.full((*depth.shape, 3), value, np.uint8), depth, pose, 0)
    return frame._replace(**fields)


def noisy(frame: Frame, seed: int, share: float = 0.01) -> Frame:
    noise = np.random.default_rng(seed).normal(0, share, frame.depth.shape)
    return frame._replace(depth=(frame.depth * np.exp(noise)).astype(np.float32))


def assert_same(one: SpatialMap, two: SpatialMap) -> None:
    for name, array in one.state().items():
        np.testing.assert_array_equal(array, two.state()[name], err_msg=name)

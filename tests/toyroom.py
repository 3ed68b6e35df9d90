"""A room with one or more toys in it, drawn exactly, and a camera that looks at them."""

import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.memory.spatial.frame import Splat
from worldrt.simulators.movers import Mover, Movers

CAMERA = Camera(width=128, height=96, fx=64, fy=76.8, cx=64, cy=48)
BOX = np.array([[-6.0, -3.5, -6.0], [6.0, 0.0, 8.0]])
EYE = from_yaw_pitch(np.array([0, -1.28, 0.0]), 0.0, 0.0)


def room(
    pose: NDArray[np.float64], camera: Camera = CAMERA
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The empty room: a frame and its depth."""
    directions = camera.directions() @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        far = np.maximum(*((edge - pose[:3, 3]) / directions for edge in BOX)).min(axis=-1)
    place = pose[:3, 3] + far[..., None] * directions
    waves = np.sin(3 * place + 2 * np.roll(place, 1, axis=-1))
    return np.rint(120 + 60 * waves).astype(np.uint8), far.astype(np.float32)


def toy(kind: str, seed: int = 0, **fields: object) -> Mover:
    """A toy some metres before the camera."""
    random = np.random.default_rng(seed)
    heading = random.uniform(0, 6.28)
    way = 0.75 * np.array([np.cos(heading), 0, np.sin(heading)])
    usual: dict[str, object] = dict(
        kind=kind,
        place=np.array([random.uniform(-0.5, 0.5), 0, random.uniform(3, 3.8)]),
        body=("block", "robot", "tower", "house")[seed % 4],
        size=np.array([0.75, 0.95, 0.75]),
        yaw=random.uniform(-3, 3),
        hue=random.uniform(),
        seed=seed,
        period=random.uniform(19, 25),
        phase=random.uniform(),
        way=way if kind == "ping-pong" else np.zeros(3),
    )
    return Mover(**(usual | fields))  # type: ignore[arg-type]


def look(
    movers: Movers, frame: float, pose: NDArray[np.float64] = EYE, camera: Camera = CAMERA
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int16]]:
    """The room with toys in it: a frame, its depth and whose pixels are whose."""
    return movers.draw(*room(pose, camera), pose, camera, frame)


def bare(pose: NDArray[np.float64] = EYE, camera: Camera = CAMERA) -> Splat:
    """One view of a perfect map of the empty room."""
    rgb, depth = room(pose, camera)
    ones = np.ones((1, *depth.shape), np.float32)
    return Splat((rgb[None] / 255).astype(np.float32), depth[None], ones, 0 * ones)

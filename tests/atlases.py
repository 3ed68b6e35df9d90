"""Spatial memories of a walk round the room of `tiny`, to be saved and loaded."""

from pathlib import Path

import numpy as np

from tests.tiny import CAMERA, look, standing
from worldrt.atlas.store import append
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.frame import Frame, Inserted
from worldrt.memory.spatial.map import SpatialMap

LATENT = (3, 6, 8)
BUDGET = 4_000_000


def fresh(budget: int = BUDGET) -> SpatialMap:
    """An empty one."""
    return SpatialMap(Camera.centred(CAMERA), budget, LATENT)


def walk(memory: SpatialMap, first: int, last: int) -> list[Inserted]:
    """Frames `first` to `last` of a walk round the room, every fifth imagined."""
    found = []
    for index in range(first, last):
        pose = standing(np.sin(index / 9), np.cos(index / 7), 13.0 * index)
        rgb, depth = look(pose)
        latent = np.random.default_rng(index).standard_normal(LATENT).astype(np.float32)
        found.append(memory.insert(Frame(rgb, depth, pose, index, index % 5 > 0, latent=latent)))
    return found


def told(memory: SpatialMap) -> dict[str, tuple[object, ...]]:
    """All that it takes to go on, so that two memories can be compared bit for bit."""
    return {name: (a.dtype, a.shape, a.tobytes()) for name, a in memory.state().items()}


def write_atlas(folder: Path) -> Path:
    """Save a memory as a whole and two files of changes. Returns the folder."""
    memory = fresh()
    for first, last in ((0, 60), (60, 61), (61, 62)):
        walk(memory, first, last)
        append(memory, folder)
    return folder

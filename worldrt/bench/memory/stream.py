"""S8: an exploration as long as wanted, frame by frame, in constant memory.

The camera walks from one random cell to the next: one maze is soon known and then only revisited.
Several mazes lie side by side, 100 m apart along x, and are explored one after the other: then the
ground grows with time.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory import ways
from worldrt.config import MotionConfig, check
from worldrt.geometry.camera import Camera
from worldrt.simulators.doom.engine import Doom
from worldrt.simulators.doom.maze import Maze
from worldrt.simulators.doom.wad import MOST_MAPS

APART_M = 100.0
"""Metres between the origins of two mazes."""


class Sight(NamedTuple):
    """One frame of the stream."""

    frame: int
    rgb: NDArray[np.uint8]
    """[Y, X, 3]"""
    depth: NDArray[np.float32]
    """[Y, X] metres along z."""
    pose: NDArray[np.float64]
    """[4, 4] world_from_camera in the world of all mazes."""


def stream(
    seed: int, motion: MotionConfig, camera: Camera, frames: int, mazes: int = 1
) -> Iterator[Sight]:
    """Explore.

    Args:
        seed: of the first maze; the others have the next ones.
        motion: the steps of a frame.
        camera: one that Doom can draw.
        frames: of the whole stream, as many in each maze.
        mazes: 1 to 99.

    Raises:
        ConfigError: Doom has no such camera, or a number is out of range.
        BackendUnavailable: ViZDoom is not installed.
        SimulatorError: the engine has died.
    """
    check(
        1 <= mazes <= min(frames, MOST_MAPS),
        f"A stream goes through 1 to {MOST_MAPS} mazes and at most one a frame, got {mazes} mazes "
        f"and {frames} frames.",
    )
    with Doom(camera, range(seed, seed + mazes)) as doom:
        for number, part in enumerate(np.array_split(np.arange(frames), mazes)):
            doom.load(seed + number)
            for frame, pose in zip(part.tolist(), _explore(doom.maze, motion), strict=False):
                view = doom.observe(pose)
                placed = pose.copy()
                placed[0, 3] += APART_M * number
                yield Sight(frame, view.rgb, view.depth, placed)


def _explore(maze: Maze, motion: MotionConfig) -> Iterator[NDArray[np.float64]]:
    """Walk from one random cell to the next, for ever."""
    random = np.random.default_rng([8, maze.seed])

    def cell() -> tuple[int, int]:
        return maze.cells[int(random.integers(len(maze.cells)))]

    at = ways.stand(cell(), random.uniform(-math.pi, math.pi))
    yield from ways.poses(at[None])
    while True:
        way = ways.walk(at, maze.route(ways.cell_of(at), cell()), motion)
        if len(way):
            at = way[-1]
            yield from ways.poses(way)

"""The course that every policy walks: laps through a maze, with the truth along them.

A lap explores, comes back through the same places and turns to where it began, so that from the
second lap on every pose, to the last bit, is one that was visited a whole number of laps ago.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.metrics import seen_masks
from worldrt.config import MotionConfig, check
from worldrt.simulators.doom.engine import Doom
from worldrt.simulators.doom.maze import Maze, generate, pose
from worldrt.simulators.walks import explore_and_revisit
from worldrt.starts import Start
from worldrt.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Where a walk begins, how it goes and what is really there."""

    start: Start
    """Real frames before the walk."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""
    truth: NDArray[np.uint8]
    """[F, Y, X, 3]"""
    seen: NDArray[np.bool_]
    """[F, Y, X] pixels whose surface was visible in a real frame of the start."""

    @classmethod
    def record(cls, world: World, seed: int, *, context: int, lap: int, frames: int) -> Self:
        """Draw a course with the simulator.

        Args:
            world: gives the camera and the steps.
            seed: of the maze and the way.
            context: real frames before the one that the camera stands at.
            lap: frames of a lap, see `laps`.
            frames: of the walk, at least 1.

        Raises:
            ConfigError: lap does not fit the world's steps.
            BackendUnavailable: ViZDoom is not installed.
        """
        start = world.start(f"seed:{seed}", context)
        poses = laps(generate(seed), start.poses[-1], lap, frames, world.config.motion, seed)
        with Doom(world.camera, [seed]) as doom:
            views = [doom.observe(place) for place in poses]
        depth = np.stack([view.depth for view in views])
        return cls(
            start=start,
            poses=poses,
            truth=np.stack([view.rgb for view in views]),
            seen=seen_masks(depth, poses, world.camera, start.depth, start.poses),
        )

    def write(self, path: Path) -> None:
        """Write to `path`, an .npz file: one drawing for all processes."""
        np.savez(
            path,
            poses=self.poses,
            truth=self.truth,
            seen=self.seen,
            start_rgb=self.start.rgb,
            start_depth=self.start.depth,
            start_poses=self.start.poses,
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        with np.load(path) as found:
            return cls(
                start=Start(
                    path.stem, found["start_rgb"], found["start_depth"], found["start_poses"]
                ),
                poses=found["poses"],
                truth=found["truth"],
                seen=found["seen"],
            )


def laps(
    maze: Maze, start: NDArray[np.float64], lap: int, frames: int, motion: MotionConfig, seed: int
) -> NDArray[np.float64]:
    """The same round again and again: out, back, and half a turn to where it began.

    Args:
        maze: where.
        start: [4, 4] free level pose before the first frame, and of every `lap`-th one.
        lap: frames of a round, even and longer than two half turns.
        frames: poses wanted, at least 1.
        motion: the largest steps of one frame.
        seed: of the way.

    Returns:
        [F, 4, 4] poses.

    Raises:
        ConfigError: lap is odd or too short.
    """
    half_turn = math.ceil(180 / motion.turn_step)
    check(
        lap % 2 == 0 and lap > 2 * half_turn,
        f"A lap has an even number of frames above {2 * half_turn}, two half turns, got {lap}.",
    )
    out = explore_and_revisit(maze, start, lap - half_turn + 1, motion, seed)
    x, z, yaw = start[0, 3], start[2, 3], math.atan2(start[0, 2], start[2, 2])
    turns = math.pi * (1 + np.arange(1, half_turn) / half_turn)
    round_trip = np.array([*out, *(pose(x, z, yaw + turn) for turn in turns)])
    return round_trip[np.arange(1, frames + 1) % lap]

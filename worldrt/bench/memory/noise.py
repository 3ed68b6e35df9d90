"""S7: poses and depths as a tracker and a depth network would tell them."""

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.course import Course
from worldrt.geometry.se3 import from_yaw_pitch, inverse

WALK_SHARE, WALK_DEGREES = 0.005, 0.05
"""Standard deviations of a step's error: along each horizontal axis as a share of the step's
length, and in yaw."""
DEPTH_SHARE, SCALE_SHARE = 0.02, 0.05
"""Standard deviations of a pixel's depth and of a whole chunk's scale, as shares."""
CHUNK = 16
"""Frames of one scale."""


def noisy(course: Course, seed: int) -> NDArray[np.float64]:
    """The poses as the memory is told them: each step adds a little error, so they drift.

    Args:
        course: the way.
        seed: of the errors.

    Returns:
        [T, 4, 4] level poses; the first is the true one.
    """
    random = np.random.default_rng([5, seed])
    steps = inverse(course.poses[:-1]) @ course.poses[1:]
    length = np.linalg.norm(steps[:, :3, 3], axis=-1)
    slip = WALK_SHARE * length[:, None] * random.standard_normal((len(steps), 3))
    slip[:, 1] = 0
    turn = np.radians(WALK_DEGREES) * random.standard_normal(len(steps))
    told = [course.poses[0]]
    for step, error in zip(steps, from_yaw_pitch(slip, turn, 0.0), strict=True):
        told.append(told[-1] @ step @ error)
    return np.array(told)


def noisy_depth(depth: NDArray[np.float32], first: int, seed: int) -> NDArray[np.float32]:
    """Depths as the memory is told them, the same however the frames are cut.

    Args:
        depth: [F, Y, X] true metres along z; 0 stays 0.
        first: index of the first frame.
        seed: of the errors.

    Returns:
        [F, Y, X]: 2 % noise a pixel, and 5 % of scale that 16 frames share.
    """
    told = np.empty_like(depth)
    for row, image in enumerate(depth):
        frame = first + row
        scale = np.random.default_rng([6, seed, frame // CHUNK]).standard_normal()
        pixels = np.random.default_rng([7, seed, frame]).standard_normal(image.shape, np.float32)
        # Far out in a tail a depth would turn negative.
        factor = np.maximum(1 + DEPTH_SHARE * pixels, 0.5) * max(1 + SCALE_SHARE * scale, 0.5)
        told[row] = image * factor.astype(np.float32)
    return told

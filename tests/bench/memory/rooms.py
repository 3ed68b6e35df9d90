"""Courses through the room of tests/tiny.py with their truth: no simulator is needed."""

import numpy as np

from tests.tiny import CAMERA, look, standing
from worldrt.bench.memory.course import Course
from worldrt.bench.memory.truth import Truth
from worldrt.geometry.camera import Camera

ROOM_CAMERA = Camera.centred(CAMERA)


def there_and_back(out: int = 12, turn: float = 8.0) -> Course:
    """A turn to the right, and exactly back; the way back is scored."""
    yaws = turn * np.concatenate([np.arange(out), np.arange(out - 2, -1, -1)])
    poses = np.stack([standing(0.3, -1.0, yaw) for yaw in yaws])
    at = np.arange(len(poses))
    return Course(
        name="S1-yaw",
        protocol="S1",
        seed=0,
        poses=poses,
        context=out,
        scored=at >= out,
        visit=np.where(at >= out, 2 * (out - 1) - at, -1),
    )


def truth_of(course: Course) -> Truth:
    """What is seen along it."""
    seen = [look(pose) for pose in course.poses]
    depth = np.stack([one[1] for one in seen])
    return Truth(
        rgb=np.stack([one[0] for one in seen]),
        depth=depth,
        ids=np.full(depth.shape, -1, np.int8),
        poses=course.poses,
        camera=ROOM_CAMERA,
    )

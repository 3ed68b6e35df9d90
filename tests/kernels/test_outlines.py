"""Outlines of boxes against the points that they hold, and what hides a box."""

import numpy as np
import pytest

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp
from worldrt.kernels.front import lens
from worldrt.kernels.outlines import hidden, near_first, outlines

ODD = Camera(width=63, height=45, fx=31, fy=33, cx=30.7, cy=22.9)


def some_boxes(seed: int, count: int = 300) -> np.ndarray:
    random = np.random.default_rng(seed)
    corners = random.uniform(-5, 5, (count, 1, 3)) + random.uniform(-1, 1, (count, 2, 3))
    return np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.0, 3.0])
def test_points_in_a_box_fall_into_its_outline_and_no_nearer(seed: int, margin: float) -> None:
    random = np.random.default_rng(seed)
    boxes, pose = some_boxes(seed), exp(random.normal(size=6))
    outline, nearest = outlines(boxes, lens(pose, ODD), ODD.width, ODD.height, margin)
    assert 30 < np.count_nonzero(nearest) < len(boxes)
    share = random.random((200, 1, 3)).astype(np.float32)
    share[:8, 0] = np.mgrid[:2, :2, :2].reshape(3, -1).T  # the corners too
    points = boxes[:, 0] + share * (boxes[:, 1] - boxes[:, 0])  # [200, N, 3]
    pixels, depth = ODD.project(points.reshape(-1, 3).astype(np.float64), pose)
    pixels, depth = pixels.reshape(200, -1, 2), depth.reshape(200, -1)
    before = nearest > 0
    assert ((depth > 0).all(axis=0) >= before).all()
    assert (nearest <= depth.min(axis=0))[before].all()
    assert (nearest > depth.min(axis=0) - 0.001)[before].all()
    for axis, (first, last, size) in enumerate([(2, 3, ODD.width), (0, 1, ODD.height)]):
        cell = np.floor(pixels[..., axis] + np.array([[[-margin]], [[margin]]]))
        cell = cell.clip(0, size - 1)
        assert (outline[:, first] <= cell)[..., before].all()
        assert (outline[:, last] > cell)[..., before].all()
        assert (outline[before, first] < outline[before, last]).all()
        assert (0 <= outline[:, first]).all() and (outline[:, last] <= size).all()
    assert not outline[~before].any()


def test_a_box_is_hidden_when_all_of_its_outline_is_nearer() -> None:
    front = np.full((5, 7), 2, np.float32)
    outline = np.array([1, 3, 2, 6], np.int32)
    assert hidden(front, outline, np.float32(2.1))
    assert not hidden(front, outline, np.float32(2))
    front[0] = front[:, 6] = np.inf  # beside it
    assert hidden(front, outline, np.float32(2.1))
    front[2, 5] = np.inf
    assert not hidden(front, outline, np.float32(2.1))
    assert not hidden(front, np.zeros(4, np.int32), np.float32(0))  # round the camera


def test_near_boxes_come_first_and_like_ones_as_they_are() -> None:
    metres = np.array([3.1, 0, 70, 1.6, 3.9, 0.1, 3.05, 1.9, 0], np.float32)
    assert near_first(metres).tolist() == [1, 8, 5, 3, 7, 0, 4, 6, 2]
    random = np.random.default_rng(0).uniform(0, 200, 999).astype(np.float32)
    ordered = random[near_first(random)]
    assert (ordered[1:] > ordered[:-1] / 1.5).all()

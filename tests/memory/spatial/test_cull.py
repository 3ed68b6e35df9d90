"""Culling never loses a point, and loses nearly all that is out of sight."""

import numpy as np
import pytest

from tests.memory.spatial.scene import ODD
from worldrt.geometry.se3 import exp
from worldrt.memory.spatial.cull import cull


@pytest.mark.parametrize("seed", range(5))
def test_a_box_with_a_point_in_sight_is_never_left_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    centre = random.uniform(-9, 9, (500, 1, 3))
    points = (centre + random.normal(0, 0.4, (500, 7, 3))).astype(np.float32)
    low, high = points.min(axis=1), points.max(axis=1)
    count = random.integers(0, 3, 500).astype(np.int32)
    pose = exp(random.normal(0, 1.5, 6))
    near, far, margin = 0.3, 7.0, float(random.uniform(0, 5))
    found = cull(low, high, count, pose, ODD, near, far, margin)
    assert found.dtype == np.int32 and (np.diff(found) > 0).all()
    pixels, depth = ODD.project(points.astype(np.float64), pose)
    size = np.array([ODD.width, ODD.height])
    inside = ((pixels >= -margin) & (pixels <= size + margin)).all(axis=-1)
    inside &= (depth >= near) & (depth <= far)
    needed = np.flatnonzero(inside.any(axis=1) & (count > 0))
    assert set(needed.tolist()) <= set(found.tolist())
    assert (count[found] > 0).all()
    assert len(needed) <= len(found) <= 2 * len(needed) + 20


def test_what_is_behind_beside_or_beyond_is_left_out() -> None:
    places = np.array([[0, 0, 5], [0, 0, -5], [30, 0, 5], [0, -30, 5], [0, 0, 50]], np.float32)
    boxes = places - np.float32(0.1), places + np.float32(0.1), np.ones(5, np.int32)
    assert cull(*boxes, np.eye(4), ODD, 0.05, 20.0, 3.0).tolist() == [0]
    assert cull(*boxes, np.eye(4), ODD, 0.05, np.inf, 3.0).tolist() == [0, 4]


def test_no_boxes() -> None:
    none = np.zeros((0, 3), np.float32)
    assert len(cull(none, none, np.zeros(0, np.int32), np.eye(4), ODD, 0.05, 9.0, 0.0)) == 0

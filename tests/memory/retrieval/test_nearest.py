"""Distances between poses in closed form, and what is nearest by them."""

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, around, stand, walk
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.memory.retrieval.nearest import Nearest, apart


def test_angle_and_distance() -> None:
    yaw, pitch = np.radians([0, 30, 200, -170]), np.radians([0, 0, 0, 0])
    places = np.array([[0, 0, 0], [3, 0, 4], [0, 12, 5], [0, 0, -1.0]])
    poses = from_yaw_pitch(places, yaw, pitch)
    angle, distance = apart(poses, poses[:1])
    assert np.degrees(angle[:, 0]) == pytest.approx([0, 30, 160, 170], abs=1e-5)
    assert distance[:, 0] == pytest.approx([0, 5, 13, 1])
    back, again = apart(poses[:1], poses)
    assert np.array_equal(back.T, angle) and np.array_equal(again.T, distance)
    tilted = from_yaw_pitch(np.zeros(3), 0.0, np.radians(25))
    assert np.degrees(apart(poses[:1], tilted[None])[0]) == pytest.approx(25)


def test_the_order_is_that_of_the_distance() -> None:
    seen = around(3.0, 4.0, 12)
    pose = stand(3.0, 4.0, 2 * np.pi / 12 * 4.1)
    assert Nearest().choose(seen.query(pose, 5), seen.candidates, None) == [4, 5, 3, 6, 2]


def test_a_metre_weighs_what_it_is_told() -> None:
    turned, moved = stand(3.0, 4.0, EAST + 0.3), stand(1.0, 4.0, EAST)
    seen = walk([turned, moved])
    query = seen.query(stand(3.0, 4.0, EAST), 1)
    assert Nearest(metre=0.2).choose(query, seen.candidates, None) == [0]
    assert Nearest(metre=0.1).choose(query, seen.candidates, None) == [1]


def test_of_equals_the_newer() -> None:
    seen = walk([stand(3.0, 4.0, EAST)] * 4)
    query = seen.query(stand(2.0, 4.0, EAST), 3)
    assert Nearest().choose(query, seen.candidates, None) == [3, 2, 1]


def test_what_looks_elsewhere_is_not_near() -> None:
    seen = around(3.0, 4.0, 12)
    query = seen.query(stand(3.0, 4.0, 0.0), 12)
    rows = Nearest(within=61.0).choose(query, seen.candidates, None)
    assert set(rows) == {0, 1, 2, 10, 11}

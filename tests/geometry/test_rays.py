"""Pluecker maps and their octaves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.errors import ConfigError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.rays import octaves, pluecker
from worldrt.geometry.se3 import exp, from_yaw_pitch, inverse

ODD = Camera(width=7, height=5, fx=6.5, fy=7.8, cx=3.1, cy=2.7)
RANDOM = np.random.default_rng(5)
POSES = exp(RANDOM.normal(size=(3, 6)) * [5, 5, 5, 1, 1, 1])
REFERENCE = exp(RANDOM.normal(size=6))


def test_directions_are_unit_and_moments_are_at_right_angles_to_them() -> None:
    rays = pluecker(ODD, POSES, REFERENCE)
    assert rays.shape == (3, 6, 5, 7)
    assert rays.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rays[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((rays[:, :3] * rays[:, 3:]).sum(axis=1), 0, atol=1e-5)


def test_the_references_own_rays_pass_through_its_origin() -> None:
    rays = pluecker(ODD, REFERENCE[None], REFERENCE)
    np.testing.assert_allclose(rays[0, 3:], 0, atol=1e-6)
    directions = np.moveaxis(ODD.directions(), -1, 0)
    np.testing.assert_allclose(rays[0, :3] * np.linalg.norm(directions, axis=0), directions, 1e-5)


def test_moving_the_world_moves_no_ray() -> None:
    """Far from the world's origin too: a walk of 10 km must not cost precision."""
    move = exp(np.array([1e4, -1e4, 1e4, 0.3, -1.1, 2.0]))
    there = pluecker(ODD, move @ POSES, move @ REFERENCE)
    np.testing.assert_allclose(there, pluecker(ODD, POSES, REFERENCE), atol=1e-6)


def test_a_ray_does_not_depend_on_where_on_it_the_camera_stands() -> None:
    """Stepping along the middle pixel's ray leaves that pixel's coordinates and no other's."""
    camera = Camera(width=3, height=3, fx=2, fy=2, cx=1.5, cy=1.5)
    start = from_yaw_pitch(np.array([1.0, 2, 3]), 0.5, 0.2)
    onward = start.copy()
    onward[:3, 3] += 4 * start[:3, 2]
    here, there = pluecker(camera, np.stack([start, onward]), REFERENCE)
    np.testing.assert_allclose(here[:, 1, 1], there[:, 1, 1], atol=1e-5)
    assert np.abs(here - there)[3:, 0, 0].max() > 0.1


def test_the_line_of_a_known_camera() -> None:
    """At (0, 0, 2) looking along +x: the moment is (0, 0, 2) x (1, 0, 0) = (0, 2, 0)."""
    camera = Camera(width=1, height=1, fx=1, fy=1, cx=0.5, cy=0.5)
    pose = from_yaw_pitch(np.array([0.0, 0, 2]), np.pi / 2, 0)
    rays = pluecker(camera, pose[None], np.eye(4))
    np.testing.assert_allclose(rays[0, :, 0, 0], [1, 0, 0, 0, 2, 0], atol=1e-7)


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_each_frame_is_told_by_itself(frames: int) -> None:
    poses = exp(RANDOM.normal(size=(frames, 6)))
    rays = pluecker(ODD, poses, REFERENCE)
    assert rays.shape == (frames, 6, 5, 7)
    for pose, ray in zip(poses, rays, strict=True):
        local = inverse(REFERENCE) @ pose
        points = ODD.unproject(np.full((5, 7), 3.0), local)
        direction = np.moveaxis(ray[:3], 0, -1)
        np.testing.assert_allclose(  # a point p is on the line when p x direction = moment
            np.cross(points, direction), np.moveaxis(ray[3:], 0, -1), atol=1e-5
        )


@pytest.mark.parametrize(
    ("poses", "reference", "sentence"),
    [
        (np.eye(4), np.eye(4), r"world_from_camera has shape \[4, 4\], expected \[F, 4, 4\]"),
        (np.zeros((2, 3, 4)), np.eye(4), r"world_from_camera has shape \[2, 3, 4\]"),
        (np.eye(4)[None], np.eye(4)[None], r"reference has shape \[1, 4, 4\], expected \[4, 4\]"),
    ],
)
def test_poses_of_another_shape_are_refused(
    poses: NDArray, reference: NDArray, sentence: str
) -> None:
    with pytest.raises(ShapeError, match=sentence):
        pluecker(ODD, poses, reference)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_octaves_lie_in_the_order_that_is_promised(count: int) -> None:
    values = RANDOM.normal(size=(3, 2, 5, 7))
    result = octaves(values, count)
    assert result.shape == (3, 2 * (1 + 2 * count), 5, 7)
    parts = [values]
    for octave in range(count):
        angle = 2**octave * np.pi * values
        parts += [np.sin(angle), np.cos(angle)]
    np.testing.assert_allclose(result, np.concatenate(parts, axis=1), atol=1e-12)


def test_an_octave_repeats_at_its_period() -> None:
    values = RANDOM.normal(size=(1, 1, 3, 3)).astype(np.float32)
    near, far = octaves(values, 3), octaves(values + 2, 3)
    assert near.dtype == np.float32
    np.testing.assert_allclose(near[:, 1:], far[:, 1:], atol=1e-5)
    np.testing.assert_allclose(near[:, 1::2] ** 2 + near[:, 2::2] ** 2, 1, atol=1e-6)


def test_values_of_another_shape_and_negative_counts_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"values has shape \[6, 5, 7\], expected \[F, C, Y, X\]"):
        octaves(np.zeros((6, 5, 7)), 1)
    with pytest.raises(ConfigError, match="-1 octaves"):
        octaves(np.zeros((1, 6, 5, 7)), -1)

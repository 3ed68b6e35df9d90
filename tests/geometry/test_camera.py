"""A pinhole camera: pixels to rays and back."""

import numpy as np
import pytest

from worldrt.config import CameraConfig
from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp, from_yaw_pitch, inverse

ODD = Camera(width=7, height=5, fx=6.5, fy=7.8, cx=3.1, cy=2.7)
POSE = exp(np.array([1.0, -2.0, 3.0, 0.4, -0.5, 0.6]))


def test_centred_looks_through_the_middle_of_the_image() -> None:
    camera = Camera.centred(CameraConfig(width=7, height=5, fx=6, fy=8))
    assert camera == Camera(width=7, height=5, fx=6, fy=8, cx=3.5, cy=2.5)
    np.testing.assert_array_equal(camera.directions()[2, 3], [0, 0, 1])  # the middle pixel


def test_directions_are_those_of_the_pixels_centres() -> None:
    directions = ODD.directions()
    assert directions.shape == (5, 7, 3)
    for row, column in [(0, 0), (4, 6), (3, 1)]:
        expected = [(column + 0.5 - ODD.cx) / ODD.fx, (row + 0.5 - ODD.cy) / ODD.fy, 1]
        np.testing.assert_allclose(directions[row, column], expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("factor", "size"), [(0.5, (64, 48)), (1 / 8, (16, 12)), (3.0, (384, 288))]
)
def test_scaling_keeps_the_field_of_view(factor: float, size: tuple[int, int]) -> None:
    camera = Camera(width=128, height=96, fx=64, fy=76.8, cx=64, cy=48)
    scaled = camera.scaled(factor)
    assert (scaled.width, scaled.height) == size
    for corner in (np.array([0.0, 0]), np.array([128.0, 96])):
        ray = (corner - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
        other = (corner * factor - (scaled.cx, scaled.cy)) / (scaled.fx, scaled.fy)
        np.testing.assert_allclose(other, ray, rtol=1e-12)


def test_a_coarse_pixel_looks_along_the_mean_of_its_fine_ones() -> None:
    fine = Camera(width=8, height=6, fx=5, fy=6, cx=4, cy=3)
    means = fine.directions().reshape(3, 2, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fine.scaled(0.5).directions(), means, atol=1e-15)


def test_unproject_then_project_is_each_pixels_centre_and_depth() -> None:
    depth = np.random.default_rng(0).uniform(0.1, 50, size=(5, 7))
    pixels, back = ODD.project(ODD.unproject(depth, POSE), POSE)
    columns, rows = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], axis=-1), atol=1e-11)
    np.testing.assert_allclose(back, depth, rtol=1e-12)


def test_project_is_unchanged_when_world_and_camera_move_together() -> None:
    points = np.random.default_rng(1).normal(size=(2, 11, 3))
    move = exp(np.array([5.0, 4, 3, 0.2, 0.1, -2]))
    moved = points @ move[:3, :3].T + move[:3, 3]
    pixels, depth = ODD.project(points, POSE)
    again, depth_again = ODD.project(moved, move @ POSE)
    np.testing.assert_allclose(depth_again, depth, atol=1e-12)
    np.testing.assert_allclose(again[depth > 0.1], pixels[depth > 0.1], atol=1e-10)


def test_axes_are_x_right_y_down_z_forward() -> None:
    camera = Camera(width=10, height=10, fx=10, fy=20, cx=5, cy=5)
    points = np.array([[1.0, 0, 2], [0, 1, 2], [0, 0, -2]])
    pixels, depth = camera.project(points, np.eye(4))
    np.testing.assert_allclose(pixels[:2], [[10, 5], [5, 15]])
    np.testing.assert_array_equal(depth, [2, 2, -2])
    turned, _ = camera.project(np.array([2.0, 0, 0]), from_yaw_pitch(np.zeros(3), np.pi / 2, 0))
    np.testing.assert_allclose(turned, [5, 5], atol=1e-12)  # what lay to the right is ahead


def test_depth_is_along_z_and_not_along_the_ray() -> None:
    points = ODD.unproject(np.full((5, 7), 4.0), POSE)
    local = (points - POSE[:3, 3]) @ inverse(POSE)[:3, :3].T
    np.testing.assert_allclose(local[..., 2], 4.0, rtol=1e-12)


def test_a_point_in_the_cameras_plane_stays_finite() -> None:
    pixels, depth = ODD.project(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), np.eye(4))
    assert np.isfinite(pixels).all()
    assert (depth == 0).all()


@pytest.mark.parametrize("shape", [(2,), (3, 4), (3, 2), ()])
def test_points_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"points has shape .* expected \[\.\.\., 3\]"):
        ODD.project(np.zeros(shape), np.eye(4))


@pytest.mark.parametrize("shape", [(7, 5), (5, 7, 1), (1, 5, 7), (35,)])
def test_depth_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"depth has shape .* expected \[5, 7\]"):
        ODD.unproject(np.ones(shape), np.eye(4))

"""Depth edges, bounds against their definition, normals of planes, and a splat without holes."""

import warnings

import numpy as np
import pytest

from tests.memory.spatial.scene import CAMERA, ODD, PILLAR, shot, standing
from worldrt.geometry.se3 import exp
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.surface import (
    CLEAR,
    CLEAR_METRES,
    HIDDEN,
    SAME,
    Bounds,
    filled,
    normals,
    on_surface,
    places,
)


def plane(camera, normal, distance: float, pose=None) -> np.ndarray:
    """[Y, X] depth of the points n . x = -distance before a camera, 0 where it meets none."""
    rays = camera.directions()
    across = rays @ np.asarray(normal, float)
    depth = -distance / np.where(across < -1e-6, across, np.inf)
    return np.where((depth > 0) & (depth < 100), depth, 0).astype(np.float32)


@pytest.mark.parametrize("normal", [(0, 0, -1), (0, -1, 0), (0.6, 0, -0.8), (0, 0.98, -0.2)])
def test_a_plane_is_one_surface_however_steep(normal: tuple) -> None:
    depth = plane(ODD, normal, 1.2)
    surface = on_surface(depth)
    inside = np.zeros_like(surface)
    known = depth > 0
    inside[1:-1, 1:-1] = known[1:-1, 1:-1] & known[:-2, 1:-1] & known[2:, 1:-1]
    inside[1:-1, 1:-1] &= known[1:-1, :-2] & known[1:-1, 2:]
    assert surface[inside].all() and inside.any()
    assert not surface[~known].any()


def test_a_step_is_no_surface_and_nothing_warns() -> None:
    depth = np.full((9, 12), 3, np.float32)
    depth[:, 6:], depth[4, 2] = 2.0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surface = on_surface(depth)
    assert not surface[:, 5:7].any() and not surface[4, 1:4].any() and not surface[3:6, 2].any()
    assert surface[:, 8:].all() and surface[0, :5].all()


@pytest.mark.parametrize("seed", range(4))
def test_bounds_are_what_they_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    depth = random.uniform(0.2, 3, (7, 11)).astype(np.float32)
    depth[random.uniform(size=depth.shape) < 0.1] = 0
    surface = (depth > 0) & (random.uniform(size=depth.shape) < 0.8)
    bounds = Bounds(depth, surface)
    padded = np.pad(depth, 1)
    for row in range(7):
        for column in range(11):
            block = padded[row : row + 3, column : column + 3]
            cross = np.array([*block[1], block[0, 1], block[2, 1]])
            found = [image[row, column] for image in (bounds.low, bounds.high, bounds.through)]
            np.testing.assert_allclose(bounds.behind[row, column], block.max() * HIDDEN, rtol=1e-6)
            if not surface[row, column]:
                assert found == [np.inf, -np.inf, -np.inf]
                continue
            cross = cross[cross > 0]
            wanted = [cross.min() * (1 - SAME), cross.max() * (1 + SAME), -np.inf]
            if (block > 0).all():
                wanted[2] = block.min() - max(block.min() * CLEAR, CLEAR_METRES)
            np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_places_are_the_unprojected_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    depth = random.uniform(0.1, 50, (ODD.height, ODD.width)).astype(np.float32)
    chosen, pose = random.random(depth.shape) < 0.3, exp(random.normal(0, 3, 6))
    found = places(depth, chosen, ODD, pose)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ODD.unproject(depth, pose)[chosen], rtol=1e-6, atol=1e-6)
    assert places(depth, depth < 0, ODD, pose).shape == (0, 3)


@pytest.mark.parametrize("seed", range(4))
def test_normals_of_a_plane_are_its_own(seed: int) -> None:
    random = np.random.default_rng(seed)
    normal = random.normal(size=3)
    normal[2] = -abs(normal[2]) - 0.5
    normal /= np.linalg.norm(normal)
    depth = plane(ODD, normal, 2.0)
    pose = exp(random.normal(0, 1, 6))
    chosen = (depth > 0) & (depth < 20)
    facing = normals(depth, chosen, ODD, pose)
    assert facing.shape == (np.count_nonzero(chosen), 3) and facing.dtype == np.int8
    np.testing.assert_allclose(
        facing / 127, np.tile(pose[:3, :3] @ normal, (len(facing), 1)), atol=0.02
    )


def test_normals_face_the_camera_in_a_room() -> None:
    frame = shot(standing(0.4, -2.0, 33), 0, PILLAR)
    surface = on_surface(frame.depth)
    facing = normals(frame.depth, surface, CAMERA, frame.pose).astype(float)
    place = CAMERA.unproject(frame.depth, frame.pose)[surface]
    towards = frame.pose[:3, 3] - place
    assert ((facing * towards).sum(axis=1) > 0).all()


def test_normals_without_neighbours_are_none() -> None:
    depth = np.zeros((5, 7), np.float32)
    depth[2, 3] = 2
    camera = ODD.scaled(1 / 9)
    assert not normals(depth, depth > 0, camera, np.eye(4)).any()


def test_filled_sees_nothing_as_neutral_and_continues_a_slope_in_inverse_depth() -> None:
    rows, columns = np.mgrid[:48, :64].astype(np.float32)
    inverse = 0.1 + (rows + 2 * columns) / 300
    mask = np.ones((48, 64), np.float32)
    mask[20:26, 30:36] = 0
    depth = np.where(mask > 0, 1 / inverse, 0)[None].astype(np.float32)
    rgb = np.full((1, 48, 64, 3), 0.25, np.float32)
    image = filled(Splat(rgb, depth, mask[None], depth * 0), near=1.0)
    assert image.shape == (1, 4, 48, 64) and image.dtype == np.float32
    np.testing.assert_allclose(image[0, :3], -0.5, atol=1e-5)
    np.testing.assert_allclose(image[0, 3], 2 * inverse - 1, atol=0.05)
    nothing = filled(Splat(rgb, depth, mask[None] * 0, depth * 0), near=1.0)
    np.testing.assert_allclose(nothing, 0, atol=1e-6)

"""The town: rays that hit what they must, and walks that stay in its streets."""

import numpy as np
import pytest

from worldrt.bench.memory.town import BLOCK, EYE, FAR, Town
from worldrt.geometry.se3 import from_yaw_pitch


@pytest.fixture(scope="module")
def town() -> Town:
    return Town(blocks=3, seed=5)


def test_ground_has_the_depth_of_a_plane(town: Town) -> None:
    rgb, depth = town.look(from_yaw_pitch(np.array([0.0, -EYE, -30.0]), np.pi, 0.0))
    rows = town.camera.directions()[..., 1]
    below = (rows > 0) & (EYE / np.maximum(rows, 1e-9) < FAR)
    np.testing.assert_allclose(depth[below], EYE / rows[below], rtol=1e-5)
    assert np.all(depth[~below] == 0), "looking away from the town there is sky"
    assert rgb[~below].std(axis=0).max() == 0


def test_houses_stand_between_the_streets(town: Town) -> None:
    middle = BLOCK / 2
    _, depth = town.look(from_yaw_pitch(np.array([middle, -EYE, -10.0]), 0.0, 0.0))
    centre = depth[72, 128]
    assert 10 + middle - 5.5 <= centre <= 10 + middle - 3.5


def test_points_lie_where_another_view_sees_them(town: Town) -> None:
    """A point is in front of nothing: from elsewhere its ray goes at least as far as to it."""
    here, there = town.walk(60, step=0.5)[[20, 21]]
    _, depth = town.look(here)
    _, other = town.look(there)
    points = town.camera.unproject(depth, here)[depth > 0]
    pixels, far = town.camera.project(points, there)
    inside = (far > 0.1) & np.all((pixels >= 1) & (pixels < [255, 143]), axis=-1)
    columns, rows = pixels[inside].astype(int).T
    around = [other[rows + down, columns + right] for down in (-1, 0, 1) for right in (-1, 0, 1)]
    nearest = np.min(np.where(np.array(around) > 0, around, np.inf), axis=0)
    assert inside.sum() > 1000
    assert np.mean(nearest <= 1.05 * far[inside]) > 0.99


def test_walk_stays_in_the_streets_and_is_the_same_each_time(town: Town) -> None:
    walk = town.walk(350)
    np.testing.assert_array_equal(walk, town.walk(350))
    assert np.all(walk[:, 0, 3] % BLOCK == 0) and np.all(walk[:, 1, 3] == -EYE)
    assert np.all((walk[:, 2, 3] >= 0) & (walk[:, 2, 3] <= 3 * BLOCK))
    assert len(np.unique(walk[:, 0, 3])) == 4, "every street"

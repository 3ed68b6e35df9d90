"""The town: rays that hit what they must, and walks that stay in its streets."""

import numpy as np
import pytest

from worldrt.bench.memory.town import BLOCK, CROSSING, EYE, FAR, Town, nodding
from worldrt.geometry.se3 import from_yaw_pitch, inverse, yaw_pitch


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


@pytest.mark.parametrize("turn_step", [1.5, 5.0, 7.3])
def test_nods_are_one_turn_of_small_steps_on_a_crossing(turn_step: float) -> None:
    poses = nodding(turn_step)
    np.testing.assert_array_equal(poses[:, :3, 3], poses[:1, :3, 3].repeat(len(poses), 0))
    yaw, pitch = (np.degrees(angle) for angle in yaw_pitch(poses))
    np.testing.assert_allclose(np.diff(yaw) % 360, 360 / len(poses), atol=1e-9)
    assert -15 <= pitch.min() < -14.5 and 14.5 < pitch.max() <= 15
    # From the last to the first again is a step like the others.
    turns = (inverse(poses) @ np.roll(poses, -1, axis=0))[:, :3, :3]
    cosine = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    assert np.degrees(np.arccos(cosine)).max() <= turn_step + 1e-6
    for seed in range(3):  # no house stands there
        _, depth = Town(CROSSING, seed).look(poses[0])
        assert depth[depth > 0].min() > 1

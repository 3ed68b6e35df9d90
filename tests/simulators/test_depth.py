"""Ray-cast depth against planes in closed form and against a slow march along every ray."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.simulators.doom import depth, maze

EYE = maze.EYE


def camera(width: int, height: int) -> Camera:
    return Camera(
        width=width,
        height=height,
        fx=width / 2,
        fy=0.6 * width,
        cx=width / 2,
        cy=height / 2,
    )


def box(height: float) -> NDArray[np.float64]:
    """A hall of 10x10 squares."""
    heights = np.zeros((12, 12))
    heights[1:-1, 1:-1] = height
    return heights


def march(
    heights: NDArray[np.float64], view: Camera, place: NDArray[np.float64], yaw: float, step: float
) -> NDArray[np.float64]:
    """The first multiple of `step` along each ray that is not in the air."""
    pose = maze.pose(place[0], place[2], yaw)
    rays = view.directions() @ pose[:3, :3].T
    depths = np.arange(step, 40, step)
    points = place + rays[:, :, None] * depths[:, None]
    squares = np.clip(np.floor(points[..., [2, 0]]).astype(int), 0, len(heights) - 1)
    ceiling = heights[squares[..., 0], squares[..., 1]]
    return depths[np.argmax((points[..., 1] > 0) | (-points[..., 1] >= ceiling), axis=-1)]


def test_a_hall_in_closed_form() -> None:
    view = camera(20, 15)
    place = np.array([6.0, -EYE, 3.0])
    found = depth.cast(box(4.0), view, place, 0.0)
    slope = view.directions()[..., 1]
    with np.errstate(divide="ignore"):
        floor = np.where(slope > 0, EYE / slope, np.inf)
        ceiling = np.where(slope < 0, (4.0 - EYE) / -slope, np.inf)
    ahead = np.minimum(np.minimum(floor, ceiling), 11.0 - 3.0)
    # Rays at the picture's sides meet the side walls, 5 m away to either side, first.
    side = 5.0 / np.abs(view.directions()[..., 0])
    np.testing.assert_allclose(found, np.minimum(ahead, side), rtol=1e-6)


@pytest.mark.parametrize("size", [(13, 7), (17, 10), (1, 1), (2, 9)], ids=str)
@pytest.mark.parametrize("seed", [0, 3])
def test_against_a_slow_march(size: tuple[int, int], seed: int) -> None:
    world = maze.generate(seed)
    heights, view = world.heights, camera(*size)
    random = np.random.default_rng(seed)
    for _ in range(3):
        x, z = maze.centre(world.cells[int(random.integers(len(world.cells)))])
        place = np.array([x + random.uniform(-1, 1), -EYE, z + random.uniform(-1, 1)])
        yaw = random.uniform(-math.pi, math.pi)
        late = march(heights, view, place, yaw, 0.02) - depth.cast(heights, view, place, yaw)
        assert late.min() > -1e-5
        assert np.quantile(late, 0.99) < 0.0201, "more than a ray in a hundred slips past"


def test_lower_ceilings_show_their_edge_and_higher_ones_do_not() -> None:
    heights = box(4.0)
    heights[7:] = np.minimum(heights[7:], 2.0)
    view = Camera(width=1, height=31, fx=1, fy=16, cx=0.5, cy=15.5)
    up = depth.cast(heights, view, np.array([6.0, -EYE, 3.0]), 0.0)[:, 0]
    assert np.sum(np.isclose(up, 4.0)) >= 3, "the wall above the opening"
    back = depth.cast(heights, view, np.array([6.0, -EYE, 9.0]), math.pi)[:, 0]
    assert not np.any(np.isclose(back, 2.0)), "no edge seen from beneath"
    assert np.all(back > 0)


def test_turning_the_world_turns_the_picture() -> None:
    world, view = maze.generate(4), camera(17, 13)
    x, z = maze.centre(world.cells[5])
    one = depth.cast(world.heights, view, np.array([x + 0.1, -EYE, z + 0.2]), 0.3)
    size = len(world.labels)
    # A quarter turn to the right takes (x, z) to (z, size - x).
    turned = np.ascontiguousarray(np.rot90(world.heights, -1).T[::-1, ::-1].T)
    place = np.array([z + 0.2, -EYE, size - x - 0.1])
    np.testing.assert_allclose(depth.cast(turned, view, place, 0.3 + math.pi / 2), one, rtol=1e-5)


def test_points_lie_on_the_surfaces() -> None:
    world, view = maze.generate(1), camera(32, 24)
    pose = world.start()
    yaw = math.atan2(pose[0, 2], pose[2, 2])
    points = view.unproject(depth.cast(world.heights, view, pose[:3, 3], yaw), pose)
    x, y, z = np.moveaxis(points, -1, 0)
    levels = np.array([0.0, *(-region.height for region in world.regions)])
    flat = np.abs(y[..., None] - levels).min(axis=-1)
    upright = np.minimum(np.abs(x - np.round(x)), np.abs(z - np.round(z)))
    assert np.minimum(flat, upright).max() < 1e-5

"""The frustum grid: where its points lie, and that views take turns."""

from dataclasses import replace

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, around, stand
from worldrt.errors import ConfigError
from worldrt.memory.retrieval.frustum import Frustum, shown


def test_the_grid_fills_the_frustum() -> None:
    grid = Frustum(side=7, near=0.5, far=9.0)._grid(SMALL)
    assert grid.shape == (343, 3)
    assert np.unique(grid[:, 2]) == pytest.approx(np.linspace(0.5, 9, 7))
    assert shown(grid, np.eye(4), SMALL) == 343
    pixels, _ = SMALL.project(grid, np.eye(4))
    share = pixels / (SMALL.width, SMALL.height)
    assert np.unique(share.round(6)) == pytest.approx((np.arange(7) + 0.5) / 7, abs=1e-5)


def test_what_is_behind_or_beside_is_not_shown() -> None:
    points = np.array([[0, 0, 2.0], [0, 0, -2.0], [5, 0, 2.0], [0, -5, 2.0], [0, 0, 0]])
    assert shown(points, np.eye(4), SMALL) == 1


def test_the_same_view_shows_all_and_the_opposite_one_nothing() -> None:
    grid = Frustum()._grid(SMALL)
    pose, back = stand(3.0, 4.0, EAST), stand(3.0, 4.0, -EAST)
    world = grid @ pose[:3, :3].T + pose[:3, 3]
    assert shown(world, pose, SMALL) == 1000
    assert shown(world, back, SMALL) == 0


def test_views_take_turns_and_share_no_frame() -> None:
    seen = around(3.0, 4.0, 12)
    one = seen.query(stand(3.0, 4.0, 0.0), 5)
    twice = replace(one, poses=np.concatenate([one.poses, one.poses]))
    both = replace(one, poses=seen.candidates.poses[[0, 6]])
    single = Frustum().choose(one, seen.candidates, None)
    assert Frustum().choose(twice, seen.candidates, None) == single
    rows = Frustum().choose(both, seen.candidates, None)
    assert rows[:2] == [0, 6]
    assert all(row in (11, 0, 1) for row in rows[::2]) and {rows[1], rows[3]} <= {5, 6, 7}


@pytest.mark.parametrize(
    "options, got",
    [
        ({"side": 0}, "0, 0.1 m and 30 m"),
        ({"near": 0.0}, "10, 0 m and 30 m"),
        ({"near": 5.0, "far": 5.0}, "10, 5 m and 5 m"),
    ],
)
def test_options_out_of_range(options: dict[str, float], got: str) -> None:
    with pytest.raises(ConfigError) as error:
        Frustum(**options)  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        f"A frustum grid needs at least 1 point a side and 0 < near < far, got {got}."
    )

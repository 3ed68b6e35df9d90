"""Fragments of frames: cut where they must be, measured against the toys that they show."""

import numpy as np
import pytest

from tests.toyroom import CAMERA, EYE, look, toy
from worldrt.memory.spatial.fragments import FEWEST, fragments
from worldrt.simulators.movers import Movers


def cut(rgb, depth, moving):
    return fragments(rgb, depth, moving, EYE, CAMERA)


@pytest.mark.parametrize("seed", range(6))
def test_a_toy_is_one_whole_fragment_where_it_stands(seed: int) -> None:
    mover = toy("removed", seed=seed, change=9)
    rgb, depth, ids = look(Movers([mover]), 0)
    (found,) = cut(rgb, depth, ids >= 0)
    assert found.whole and len(found.points) == np.count_nonzero(ids >= 0)
    np.testing.assert_array_equal(np.sort(found.depth), np.sort(depth[ids >= 0]))
    np.testing.assert_allclose(found.points[:, 1].min(), -0.95, atol=0.05)
    away = found.middle - mover.place
    assert np.hypot(away[0], away[2]) < 0.45 and abs(found.middle[1]) < 0.05
    bearing = [np.arctan2(place[0], place[2]) for place in (found.middle, mover.place)]
    assert abs(bearing[0] - bearing[1]) < 0.02
    assert 0.75 < found.height < 1.4 and 0.4 < found.width < 1.1


def test_the_frames_edge_and_what_is_nearer_cut_a_thing() -> None:
    edge = toy("removed", change=9, place=np.array([-3.3, 0, 3.4]))
    rgb, depth, ids = look(Movers([edge]), 0)
    assert [each.whole for each in cut(rgb, depth, ids >= 0)] == [False]
    near = toy("removed", change=9, place=np.array([0.0, 0, 2.9]))
    far = toy("removed", change=9, place=np.array([0.6, 0, 4.5]))
    rgb, depth, ids = look(Movers([near, far]), 0)
    found = cut(rgb, depth, ids >= 0)
    assert [each.whole for each in found] == [True, False], "two, though they touch in the image"
    assert found[0].depth.max() < found[1].depth.min()


def test_unknown_depth_and_specks_are_left_out() -> None:
    rgb, depth, ids = look(Movers([toy("removed", change=9)]), 0)
    moving = ids >= 0
    assert cut(rgb, depth, np.zeros_like(moving)) == []
    for unknown in (0, np.nan, np.inf, -1):
        assert cut(rgb, np.where(moving, unknown, depth).astype(np.float32), moving) == []
    holes = depth.copy()
    holes[::3, ::2] = np.nan
    found = cut(rgb, holes, moving)
    assert all(np.all(np.isfinite(each.points)) for each in found)
    speck = np.zeros_like(moving)
    speck[40:44, 50 : 50 + FEWEST // 4 - 1] = True
    assert cut(rgb, depth, speck) == []


def test_an_edge_pixel_has_the_things_own_colour() -> None:
    depth = np.full((96, 128), 6.0, np.float32)
    rgb = np.full((96, 128, 3), 20, np.uint8)
    rgb[40:60, 50:70], depth[40:60, 50:70] = 220, 3.0
    rgb[40:60, 50] = 130  # half of it is the background's
    (found,) = cut(rgb, depth, depth < 5)
    np.testing.assert_allclose(found.colours, 220 / 255, atol=0.01)
    wide = 19.55 * 3 / 64
    np.testing.assert_allclose(found.width * found.height, wide * 20 * 3 / 76.8, rtol=0.01)

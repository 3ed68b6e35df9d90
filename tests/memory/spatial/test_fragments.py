"""Fragments of frames: cut where they must be, measured against the toys that they show."""

from dataclasses import replace

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


@pytest.mark.parametrize("turns", range(4))
def test_an_end_is_seen_unless_something_nearer_or_the_frame_hides_it(turns: int) -> None:
    """A thing with a nearer one at its left, and the same turned by quarters."""
    depth = np.full((96, 96), 6.0, np.float32)
    depth[40:60, 40:60] = 3.0
    depth[30:70, 30:45] = 2.0
    moving = np.rot90(depth == 3.0, -turns)
    depth = np.ascontiguousarray(np.rot90(depth, -turns))
    camera = replace(CAMERA, width=96, height=96, cx=48.0, cy=48.0)
    rgb = np.zeros((96, 96, 3), np.uint8)
    (found,) = fragments(rgb, depth, moving, EYE, camera)
    hidden = (0, 2, 1, 3)[turns]  # left, upper, right, lower
    assert found.seen == tuple(side != hidden for side in range(4)) and not found.whole
    (edge,) = fragments(rgb[:, 40:], depth[:, 40:], moving[:, 40:], EYE, replace(camera, width=56))
    assert not edge.seen[0]
    rows, columns = np.nonzero(moving)
    ends = (np.array([columns.min(), columns.max() + 1]) - 48) / camera.fx * 3
    np.testing.assert_allclose(np.add(found.ends, found.middle[0]), ends, atol=1e-5)
    top = EYE[1, 3] + (rows.min() - 48) / camera.fy * 3
    assert abs(found.top - top) < 1e-5


def test_a_corner_that_is_hidden_hides_no_end() -> None:
    depth = np.full((96, 128), 6.0, np.float32)
    depth[40:60, 40:60] = 3.0
    depth[54:70, 30:46] = 2.0
    (found,) = cut(np.zeros((96, 128, 3), np.uint8), depth, depth == 3.0)
    assert found.seen == (True, True, True, True) and not found.whole

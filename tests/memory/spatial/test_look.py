"""What a frame sees of points, against every point on every pixel."""

import numpy as np
import pytest

from tests.memory.spatial.scene import ODD, PILLAR, shot, standing, walk
from worldrt.kernels.front import lens
from worldrt.kernels.splat import splat
from worldrt.memory.spatial.look import Sight, covered, look
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.surface import Bounds, on_surface
from worldrt.memory.spatial.voxels import NONE


@pytest.fixture(scope="module")
def points() -> Points:
    memory = SpatialMap(ODD, 6_000_000)
    random = np.random.default_rng(0)
    for index, pose in enumerate(walk(24)):
        memory.insert(shot(pose, index, PILLAR, camera=ODD))
    found = memory.points
    floating = random.uniform([-3, -1, -4], [3, 1, 4], (900, 3)).astype(np.float32)
    found.add(floating, np.zeros((900, 3), np.uint8), np.full(900, 2, np.float32), 99)
    return found


def sight(points: Points, frame, own: bool = True) -> tuple[Sight, Bounds, np.ndarray]:
    bounds = Bounds(frame.depth, on_surface(frame.depth))
    pages = points.cull(frame.pose, ODD, 0.05, np.inf)
    found = look(points, pages, np.full(len(pages), own), lens(frame.pose, ODD), bounds)
    return found, bounds, pages


@pytest.mark.parametrize("pose", [standing(0.3, -3.1, 4), standing(-1.2, 3.3, 170)])
def test_points_are_sorted_as_the_bounds_say(points: Points, pose: np.ndarray) -> None:
    frame = shot(pose, 0, PILLAR, camera=ODD)
    found, bounds, _ = sight(points, frame)
    pixels, depth = ODD.project(points.position.astype(np.float64), pose)
    column, row = np.floor(pixels).T
    inside = (points.weight > 0) & (depth >= 0.05)
    inside &= (column >= 0) & (column < ODD.width) & (row >= 0) & (row < ODD.height)
    at = row[inside].astype(int), column[inside].astype(int)
    ids, z = np.flatnonzero(inside), depth[inside]
    towards = pose[:3, 3] - points.position[ids]
    facing = points.facing[ids].astype(float)
    cosine = (facing * towards).sum(axis=1) / np.linalg.norm(towards, axis=1) / 127
    of_surface = (z >= bounds.low[at]) & (z <= bounds.high[at]) & (cosine >= -0.5)
    pierced = (z < bounds.through[at]) & (z < bounds.low[at])
    # In float32 a point may fall on the other side of a bound.
    assert len(set(ids[of_surface]) ^ set(found.seen.tolist())) <= 0.002 * len(found.seen)
    assert len(set(ids[pierced]) ^ set(found.pierced.tolist())) <= 2 + 0.01 * len(found.pierced)
    assert len(found.seen) > 1000 and len(found.pierced) > 50
    named = found.seen[points.sources[found.seen, 0] != NONE]
    pixels, _ = ODD.project(points.position[named].astype(np.float64), pose)
    cells = np.zeros_like(found.explained)
    column, row = (pixels // 4).astype(int).T
    whole = (row < cells.shape[0]) & (column < cells.shape[1])
    cells[row[whole], column[whole]] = True
    assert np.count_nonzero(cells != found.explained) <= 2


@pytest.mark.parametrize("pose", [standing(0.3, -3.1, 4), standing(-1.2, 3.3, 170)])
@pytest.mark.parametrize("coarsest", [1e9, 2.0, 0.9])
def test_covered_is_the_splat_and_its_depth(
    points: Points, pose: np.ndarray, coarsest: float
) -> None:
    frame = shot(pose, 0, PILLAR, camera=ODD)
    found, _, pages = sight(points, frame)
    farthest = np.float32(1.08) * frame.depth
    limit = (np.float32(coarsest) * frame.depth).astype(np.float32)
    shown = covered(points, found, lens(pose, ODD), farthest, limit, 0.15)
    drawn = splat(
        points.position,
        points.colour,
        points.source_depth,
        points.written,
        points.weight,
        [points.spans(pages)],
        pose[None],
        ODD,
        1.0,
        points.facing,
    )
    wanted = (drawn.weight[0] > 0.15) & (drawn.depth[0] < farthest) & (drawn.source[0] < limit)
    assert np.count_nonzero(shown != wanted) <= 0.002 * shown.size
    assert 0 < np.count_nonzero(shown)


def test_the_dead_and_other_layers_do_not_cover(points: Points) -> None:
    frame = shot(standing(0.3, -3.1, 4), 0, PILLAR, camera=ODD)
    assert len(sight(points, frame, own=False)[0].near) == 0
    found, _, _ = sight(points, frame)
    far = np.full(frame.depth.shape, 1e9, np.float32)
    assert covered(points, found, lens(frame.pose, ODD), far, far, 0.15).any()
    weight = points.weight.copy()
    points.weight[:] = 0
    assert not covered(points, found, lens(frame.pose, ODD), far, far, 0.15).any()
    points.weight[:] = weight


def test_what_is_passed_over_whole_counts_as_if_it_were_looked_at() -> None:
    """A wall across the room, thin with gaps, and all that lies behind it."""
    memory = SpatialMap(ODD, 6_000_000)
    wall = (-4.0, -1.5, -0.025), (4.0, 1.3, 0.025)
    for index, yaw in enumerate(range(0, 360, 30)):
        memory.insert(shot(standing(0.3, 2.1, yaw), index, wall, camera=ODD))
    memory.insert(shot(standing(0.3, -4.6, 4), 20, wall, camera=ODD))
    points, frame = memory.points, shot(standing(0.1, -2.3, 4), 0, wall, camera=ODD)
    found, _, pages = sight(points, frame)
    boxes = points.page_low.copy(), points.page_high.copy()
    points.page_low[pages], points.page_high[pages] = -99, 99
    every, _, _ = sight(points, frame)
    points.page_low[:], points.page_high[:] = boxes
    assert len(found.behind) > 20 and len(every.behind) == 0
    assert every.veiled.sum() > found.veiled.sum()
    for name in ("seen", "pierced", "near", "places", "explained"):
        np.testing.assert_array_equal(getattr(found, name), getattr(every, name), err_msg=name)
    eye, far = lens(frame.pose, ODD), np.full(frame.depth.shape, 1e9, np.float32)
    veiled = found.veiled.copy()
    for least in (0.01, 0.05, 0.15):
        shown, wanted = (covered(points, one, eye, far, far, least) for one in (found, every))
        np.testing.assert_array_equal(shown, wanted)
    assert found.veiled.sum() > veiled.sum()  # there were gaps, and something behind them

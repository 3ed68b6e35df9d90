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
    explained = np.zeros((ODD.height // 4, ODD.width // 4), np.bool_)
    beyond = np.zeros((ODD.height, ODD.width), np.bool_)
    found = look(
        points.position,
        points.weight,
        points.sources,
        points.facing,
        points.spans(pages),
        np.full(len(pages), own),
        lens(frame.pose, ODD),
        bounds.low,
        bounds.high,
        bounds.through,
        bounds.behind,
        explained,
        beyond,
    )
    return Sight(*found, explained, beyond), bounds, pages


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
    shown = np.empty(frame.depth.shape, np.bool_)
    arrays = points.weight, points.source_depth, found.near, found.places, found.beyond
    covered(*arrays, farthest, limit, np.float32(0.15), shown)
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
    shown = np.ones(frame.depth.shape, np.bool_)
    far = np.full(frame.depth.shape, 1e9, np.float32)
    weight = np.zeros_like(points.weight)
    arrays = weight, points.source_depth, found.near, found.places, found.beyond
    covered(*arrays, far, far, np.float32(0.15), shown)
    assert not shown.any()

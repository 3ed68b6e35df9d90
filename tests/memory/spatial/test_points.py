"""The store of points against a dictionary of voxels, and what follows from its points alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.memory.spatial.scene import CAMERA, standing
from worldrt.errors import ConfigError, ShapeError
from worldrt.memory.spatial.points import IMAGINED, REAL, SAVED, Points
from worldrt.memory.spatial.voxels import BASE, NONE, PAGE, SIDE, _level

FOCAL = 32.0


def some(count: int, seed: int, spread: float = 2.0) -> tuple[NDArray, NDArray, NDArray]:
    """Places, colours and depths."""
    random = np.random.default_rng(seed)
    places = random.uniform(-spread, spread, (count, 3)).astype(np.float32)
    colours = random.integers(0, 256, (count, 3), dtype=np.uint8)
    return places, colours, random.uniform(0.5, 20, count).astype(np.float32)


def voxel(place: NDArray, depth: float, layer: int) -> tuple[int, ...]:
    level = _level(depth / FOCAL)
    return (layer, level, *np.floor(place.astype(np.float64) * 2.0 ** (-level - BASE)).astype(int))


def crowded(steps: int = 60, seed: int = 0) -> tuple[Points, dict]:
    """A store after many additions and removals, and its voxels by the slow and obvious model."""
    random = np.random.default_rng(seed)
    points, truth = Points(150, FOCAL), {}
    for step in range(steps):
        layer = int(random.integers(2))
        arrays = some(111, seed * 1000 + step)
        ids, done = points.add(*arrays, step, layer)
        for place, depth, p in zip(arrays[0], arrays[2], ids.tolist(), strict=False):
            key = voxel(place, float(depth), layer)
            assert (p < 0) == (key in truth)
            truth.setdefault(key, p)
        if done < 111 or step % 3 == 2:
            living = np.flatnonzero(points.weight)
            gone = living[random.uniform(size=len(living)) < 0.4].astype(np.int32)
            points.remove(gone)
            truth = {key: p for key, p in truth.items() if p not in set(gone.tolist())}
    return points, truth


def test_one_point_a_voxel_level_and_layer() -> None:
    points, truth = crowded()
    assert len(points) == len(truth) == np.count_nonzero(points.weight) > 100
    assert sorted(truth.values()) == np.flatnonzero(points.weight).tolist()
    for key, p in truth.items():
        block = (*key[:2], *(number >> SIDE for number in key[2:]))
        assert tuple(points.page_block[p // PAGE]) == block


def test_directory_says_what_is_in_the_pages() -> None:
    points, _ = crowded(seed=1)
    for page in range(points.capacity // PAGE):
        slots = np.arange(page * PAGE, (page + 1) * PAGE)
        living = slots[points.weight[slots] > 0]
        if len(living) == 0:
            assert points.page_count[page] == 0
            continue
        assert points.page_count[page] == living[-1] % PAGE + 1
        np.testing.assert_array_equal(points.page_low[page], points.position[living].min(axis=0))
        np.testing.assert_array_equal(points.page_high[page], points.position[living].max(axis=0))
    assert points.free_pages == np.count_nonzero(points.page_count == 0)


def test_what_is_written_is_kept() -> None:
    points = Points(50, FOCAL)
    places, colours, depths = some(40, 3)
    ids, done = points.add(places, colours, depths, 17, IMAGINED)
    assert done == 40 and (ids >= 0).all() and len(set(ids.tolist())) == 40
    np.testing.assert_array_equal(points.position[ids], places)
    np.testing.assert_array_equal(points.colour[ids], colours)
    np.testing.assert_array_equal(points.source_depth[ids], depths)
    assert (points.written[ids] == 17).all() and (points.weight[ids] == 1).all()
    assert (points.sources[ids] == NONE).all()
    again, _ = points.add(places, 255 - colours, depths, 18, IMAGINED)
    assert (again == -1).all()
    np.testing.assert_array_equal(points.colour[ids], colours)
    assert (points.add(places, colours, depths, 18, REAL)[0] >= 0).any()


def test_a_frontal_surface_loses_no_pixel_to_the_hash() -> None:
    for depth in (0.31, 1.0, 2.7, 6.3, 40.0):
        points = Points(200, CAMERA.fy)
        far = np.full((CAMERA.height, CAMERA.width), depth, np.float32)
        places = CAMERA.unproject(far, standing(0.1, 0.2, 0)).reshape(-1, 3).astype(np.float32)
        ids, _ = points.add(places, np.zeros((len(places), 3), np.uint8), far.ravel(), 0)
        assert (ids >= 0).all()


def test_places_out_of_reach_are_not_written() -> None:
    points = Points(5, FOCAL)
    places = np.array([[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -1e30], [1, 2, 3]], np.float32)
    ids, done = points.add(places, np.zeros((4, 3), np.uint8), np.ones(4, np.float32), 0)
    assert done == 4 and (ids[:3] == -1).all() and ids[3] == 0
    assert len(points) == 1


def test_full_stops_and_goes_on_where_it_stopped() -> None:
    points = Points(3, FOCAL)
    places = np.arange(5)[:, None] * np.array([[100, 0, 0]], np.float32)
    arrays = places.astype(np.float32), np.zeros((5, 3), np.uint8), np.ones(5, np.float32)
    ids, done = points.add(*arrays, 0)
    assert done == 3 and ids.tolist() == [0, PAGE, 2 * PAGE] and points.free_pages == 0
    points.remove(ids[1:2])
    ids, done = points.add(*arrays, 1, first=done)
    assert done == 4 and ids.tolist() == [PAGE]  # the page that became free


def test_holes_are_filled_again() -> None:
    """One block that is written and emptied for ever never takes another page."""
    points = Points(9, FOCAL)
    random = np.random.default_rng(0)
    for step in range(200):
        places, colours, _ = some(20, step, 0.4)
        points.add(places, colours, np.full(20, 1.0, np.float32), step)
        assert points.capacity // PAGE - points.free_pages <= 8
        living = np.flatnonzero(points.weight).astype(np.int32)
        points.remove(np.sort(random.choice(living, len(living) // 2, replace=False)))
    assert len(points) > 0


def test_rebuild_changes_nothing() -> None:
    points, truth = crowded(seed=2)
    poses = [standing(0, -4, 0), standing(1, 1, 130), standing(0.3, 0.1, -80)]
    before = points.state()
    pages = [points.cull(pose, CAMERA, 0.05, 9.0) for pose in poses]
    directory = [points.page_low.copy(), points.page_count.copy(), points.free_pages]
    points.rebuild()
    for name, array in points.state().items():
        np.testing.assert_array_equal(array, before[name])
    for pose, wanted in zip(poses, pages, strict=True):
        np.testing.assert_array_equal(points.cull(pose, CAMERA, 0.05, 9.0), wanted)
    np.testing.assert_array_equal(points.page_low, directory[0])
    np.testing.assert_array_equal(points.page_count, directory[1])
    assert points.free_pages == directory[2] and len(points) == len(truth)


@pytest.mark.parametrize("seed", range(3))
def test_restored_it_goes_on_as_if_never_saved(seed: int) -> None:
    """The same ids for ever after, whatever had come and gone before."""
    points, _ = crowded(seed=seed)
    other = Points(150, FOCAL)
    other.add(*some(500, 9), 0)
    other.restore(points.state())
    assert len(other) == len(points) and other.free_pages == points.free_pages
    for step in range(20):
        arrays = some(77, 500 + step)
        ids, done = points.add(*arrays, step)
        again, also = other.add(*arrays, step)
        assert done == also
        np.testing.assert_array_equal(ids, again)
        gone = np.unique(ids[ids >= 0])[::3]
        points.remove(gone)
        other.remove(gone)
    for name, array in points.state().items():
        np.testing.assert_array_equal(array, other.state()[name])


def test_cleared_it_is_new() -> None:
    points, _ = crowded(seed=3)
    points.clear()
    assert len(points) == 0 and points.free_pages == 150
    assert all(len(array) == 0 for array in points.state().values())
    fresh = Points(150, FOCAL)
    for step in range(5):
        arrays = some(111, step)
        np.testing.assert_array_equal(points.add(*arrays, step)[0], fresh.add(*arrays, step)[0])


def test_living_and_spans_hold_the_same_points() -> None:
    points, _ = crowded(seed=4)
    pages = np.flatnonzero(points.page_count)[::2].astype(np.int32)
    living = points.living(pages)
    spans = points.spans(pages)
    assert spans.dtype == np.int32
    within = np.concatenate([np.arange(*span) for span in spans])
    np.testing.assert_array_equal(living, within[points.weight[within] > 0])
    assert (np.diff(living) > 0).all()


@pytest.mark.parametrize("pages", [1, 63, 111, 4097])
def test_bytes(pages: int) -> None:
    points = Points(pages, FOCAL)
    before = points.nbytes
    points.add(*some(1000, 0), 0)
    assert points.nbytes == before == Points.bytes_of(pages)
    assert points.nbytes / points.capacity <= 64


def test_bad_input() -> None:
    with pytest.raises(ConfigError) as error:
        Points(0, FOCAL)
    assert str(error.value) == "A point store needs at least 1 page of 64 slots, got 0."
    points, _ = crowded(seed=5)
    state = points.state()
    pages = len(state["page_block"])
    with pytest.raises(ShapeError, match=f"position has shape .*, {pages} pages"):
        Points(pages - 1, FOCAL).restore(state)
    for name in SAVED:
        with pytest.raises(ShapeError):
            points.restore(state | {name: state[name][:-1]})

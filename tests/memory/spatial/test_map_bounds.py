"""What the map keeps within its budget, and that it goes on as if never saved."""

import time

import numpy as np
import pytest

from tests.memory.spatial.scene import (
    CAMERA,
    PILLAR,
    POSE,
    a_map,
    assert_same,
    grey,
    noisy,
    shot,
    standing,
    walk,
)
from worldrt.errors import ConfigError
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial import map as spatial_map
from worldrt.memory.spatial.keyframes import Keyframes
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.voxels import NONE, PAGE


@pytest.fixture(scope="module")
def remembered() -> SpatialMap:
    """A map after the walk; tests only look at it."""
    memory = a_map()
    for index, pose in enumerate(walk()):
        memory.insert(shot(pose, index, PILLAR))
    return memory


# Keyframes.


def test_keyframes_are_few_and_sources_are_those_that_saw_a_point(remembered: SpatialMap) -> None:
    memory = remembered
    keyframes, points = memory.keyframes, memory.points
    count = len(keyframes)
    assert 3 <= count <= len(walk()) // 8 + 1
    index = keyframes.candidates().index
    assert index[0] == 0 and keyframes.pinned[0] and np.diff(index).min() >= 8
    living = np.flatnonzero(points.weight)
    sources = points.sources[living]
    assert ((sources == NONE) | (sources < count)).all()
    assert (np.diff((sources == NONE).astype(int), axis=1) >= 0).all()  # NONE after the last
    place = points.position[living].astype(np.float64)
    distance = np.linalg.norm(place[:, None] - keyframes.poses[:count, :3, 3], axis=-1)
    for rank in range(4):
        named = sources[:, rank] != NONE
        slot = sources[named, rank]
        for other in range(rank):
            assert (sources[named, other] != slot).all()
            nearer = distance[named, sources[named, other]] - distance[named, slot]
            assert nearer.max(initial=0) < 1e-5  # nearest first
    for k in range(count):
        seen = place[(sources == k).any(axis=1)]
        pixels, depth = CAMERA.project(seen, keyframes.poses[k])
        at = np.clip(pixels.astype(int), 0, [CAMERA.width - 1, CAMERA.height - 1])
        truth = shot(keyframes.poses[k], 0, PILLAR).depth[at[:, 1], at[:, 0]]
        assert len(seen) > 1000 and np.mean(np.abs(depth / truth - 1) < 0.1) > 0.99


def test_a_frame_becomes_a_keyframe_when() -> None:
    memory = a_map(latent_shape=(2, 3, 5))
    latent = np.ones((2, 3, 5), np.float32)
    frame = shot(POSE, 100)._replace(latent=latent)
    assert memory.insert(frame._replace(latent=None)).keyframe is None  # it can't be given back
    assert memory.insert(frame._replace(index=101)).keyframe == 0
    behind = shot(standing(0.3, -1.0, 180), 108)._replace(latent=latent)
    assert memory.insert(behind).keyframe is None  # too soon
    for index in range(109, 150):
        assert memory.insert(frame._replace(index=index)).keyframe is None  # nothing new
    assert memory.insert(behind._replace(index=150)).keyframe == 1  # another pose bin
    ahead = shot(standing(0.3, 0.1, 0), 158)._replace(latent=latent)
    assert memory.insert(ahead).keyframe == 2  # another pose bin likewise
    np.testing.assert_array_equal(memory.state()["keyframes.latents"][2], latent)


def test_keyframes_make_room_and_leave_all_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spatial_map, "KEYFRAMES", 5)
    memory = a_map()
    for index, pose in enumerate(walk(96)):
        inserted = memory.insert(shot(pose, index * 8, PILLAR))
        slot = inserted.keyframe
        assert len(memory.keyframes) <= 5 and memory.keyframes.used[0]
        if slot is not None:
            sources = memory.points.sources[memory.points.weight > 0]
            named = np.unique(sources[sources != NONE])
            assert set(named) <= set(np.flatnonzero(memory.keyframes.used))
    assert memory.keyframes.generation[1:].min() >= 1 and memory.keyframes.generation[0] == 0


# The budget.


def test_bytes_are_the_budget_at_most_from_the_start() -> None:
    for budget in (400_000, 1_000_001, 64_000_000):
        memory = a_map(budget, latent_shape=(4, 3, 5))
        before = memory.nbytes
        assert 0.95 * budget < before <= budget
        assert memory.keyframes.nbytes <= max(budget // 4, 1)
        assert memory.points.nbytes / memory.points.capacity <= 64
        memory.insert(shot(POSE))
        assert memory.nbytes == before


def test_a_budget_too_small_is_refused() -> None:
    least = Keyframes.bytes_of(CAMERA, None) + Points.bytes_of(48)
    with pytest.raises(ConfigError) as error:
        a_map(least - 1)
    assert str(error.value) == (
        f"A budget of {least - 1} bytes can't hold a keyframe and the 3072 points of one frame, "
        f"{least} bytes; raise it."
    )
    memory = a_map(least)
    for index, pose in enumerate(walk()):
        memory.insert(shot(pose, index, PILLAR))
        assert 0 < len(memory) <= memory.points.capacity
    assert 0 < len(memory.keyframes) <= memory.keyframes.capacity


def test_a_full_map_shows_where_one_is_and_forgets_what_is_long_unseen() -> None:
    memory = a_map(1_200_000)
    rooms = [np.array([200.0 * n, 0, 0]) for n in range(6)]
    index = 0
    for room in rooms:
        for pose in walk():
            frame = shot(pose, index, PILLAR)
            pose = pose.copy()
            pose[:3, 3] += room
            memory.insert(frame._replace(pose=pose))
            index += 1
        last = walk()[-1]
        last[:3, 3] += room
        assert (memory.view(last[None]).mask[0] > 0.6).mean() > 0.9
    assert memory.points.free_pages < memory.points.capacity // PAGE / 8
    first = walk()[-1]
    assert (memory.view(first[None]).mask[0] > 0.6).mean() < 0.1


@pytest.mark.slow
def test_soak_of_20_000_insertions() -> None:
    """Bytes stay constant, and so does the work: half of it costs what the other half does."""
    camera = Camera(width=31, height=23, fx=15, fy=17, cx=15.2, cy=11.7)
    memory = SpatialMap(camera, 300_000)
    random = np.random.default_rng(0)
    before, capacity = memory.nbytes, memory.points.capacity
    frames = [shot(pose, 0, PILLAR, camera=camera) for pose in walk()]
    seconds, room = [], np.zeros(3)
    for index in range(20_000):
        frame = frames[index % len(frames)]
        if index % 400 == 0:
            room = 40.0 * random.integers(-3, 4, 3) * [1, 0, 1]
        pose = frame.pose.copy()
        pose[:3, 3] += room + random.normal(0, 0.02, 3) * [1, 0, 1]
        frame = frame._replace(pose=pose, index=index, real=index % 3 > 0)
        clock = time.process_time()
        memory.insert(frame)
        seconds.append(time.process_time() - clock)
        assert memory.nbytes == before and len(memory) <= capacity
    assert len(memory) > capacity / 3
    assert len(memory.keyframes) == memory.keyframes.capacity
    assert np.median(seconds[10_000:]) < 1.5 * np.median(seconds[2_000:10_000])
    state = memory.state()
    memory.points.rebuild()
    for name, array in memory.state().items():
        np.testing.assert_array_equal(array, state[name])


# Rebuilt, saved, cleared.


def test_restored_midway_it_goes_on_as_if_never_saved() -> None:
    path = walk()
    one, two = a_map(400_000), a_map(400_000)
    for index, pose in enumerate(path[:30]):
        one.insert(noisy(shot(pose, index, PILLAR), index, 0.02))
    two.insert(shot(standing(1, 1, 1), 3))
    two.restore(one.state())
    for index, pose in enumerate(path[30:] + path, 30):
        frame = noisy(shot(pose, index), index, 0.02)._replace(real=index % 4 > 0)
        assert one.insert(frame) == two.insert(frame)
    assert_same(one, two)
    for image, other in zip(one.view(np.stack(path)), two.view(np.stack(path)), strict=True):
        np.testing.assert_array_equal(image, other)


def test_cleared_it_writes_the_same_ids_again() -> None:
    frames = [shot(pose, index, PILLAR) for index, pose in enumerate(walk()[:20])]
    memory, fresh = a_map(), a_map()
    memory.insert(grey(9, 3.0))
    memory.clear()
    assert len(memory) == 0 and len(memory.keyframes) == 0
    for frame in frames:
        assert memory.insert(frame) == fresh.insert(frame)
    for name, array in fresh.points.state().items():
        np.testing.assert_array_equal(array, memory.points.state()[name])

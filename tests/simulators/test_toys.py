"""Toys against what a box must look like: where it is, how far, and what it leaves alone."""

import numpy as np
import pytest

from tests.toyroom import BOX, CAMERA, EYE, room
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.simulators import toys

SIZE = np.array([0.8, 1.0, 0.6])


def paint(pose, camera=CAMERA, depth=None, place=(0.3, 0, 3.0), yaw=0.0, body="block", hue=0.1):
    rgb, far = room(pose, camera)
    if depth is not None:
        far = depth.copy()
    before = rgb.copy()
    ids = np.full(far.shape, -1, np.int16)
    toys.paint(
        rgb,
        far,
        ids,
        pose,
        camera,
        name=4,
        body=body,
        world_from_toy=from_yaw_pitch(np.array(place), yaw, 0.0),
        size=SIZE,
        hue=hue,
        seed=7,
    )
    return before, rgb, far, ids


def slabs(pose, camera, place):
    """Depth of an upright box by the slab method; infinite beside it."""
    low = np.array(place) - SIZE * [0.5, 1, 0.5]
    high = np.array(place) + SIZE * [0.5, 0, 0.5]
    directions = camera.directions() @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        a, b = ((edge - pose[:3, 3]) / directions for edge in (low, high))
    enter, leave = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


@pytest.mark.parametrize("yaw", [0.0, 0.4, -0.3])
@pytest.mark.parametrize(
    "camera", [CAMERA, Camera(width=63, height=47, fx=40, fy=41, cx=30.2, cy=25.1)]
)
def test_a_block_is_a_box(yaw: float, camera: Camera) -> None:
    pose = from_yaw_pitch(np.array([0, -1.3, 0.2]), yaw, 0.0)
    _, _, depth, ids = paint(pose, camera)
    box, empty = slabs(pose, camera, (0.3, 0, 3.0)), room(pose, camera)[1]
    np.testing.assert_array_equal(ids == 4, box < empty)
    assert np.count_nonzero(ids == 4) > 50
    np.testing.assert_allclose(depth, np.minimum(box, empty), rtol=1e-6)


@pytest.mark.parametrize("body", toys.BODIES)
def test_only_the_toy_and_the_floor_beside_it_change(body: str) -> None:
    before, after, depth, ids = paint(EYE, body=body, yaw=0.7)
    place = CAMERA.unproject(depth, EYE)
    near = np.linalg.norm(place[..., [0, 2]] - [0.3, 3.0], axis=-1) < 1.0
    changed = np.any(before != after, axis=-1)
    # A pixel at the toy's edge is partly the toy's.
    shown = np.pad(ids == 4, 1)
    rim = np.lib.stride_tricks.sliding_window_view(shown, (3, 3)).any(axis=(2, 3))
    assert not np.any(changed & ~rim & ~near)
    floor = near & (ids == -1) & ~rim & (place[..., 1] > -0.01)
    assert np.all(after[floor].sum(axis=-1) <= before[floor].sum(axis=-1)), "shadow darkens"
    assert np.any(after[floor] < 0.93 * before[floor])


def test_what_is_nearer_hides_it_and_what_is_unknown_does_not() -> None:
    wall = np.full((96, 128), 2.0, np.float32)
    before, after, depth, ids = paint(EYE, depth=wall)
    assert np.all(ids == -1) and np.array_equal(depth, wall) and np.array_equal(before, after)
    for unknown in (0.0, np.nan, np.inf):
        _, _, depth, ids = paint(EYE, depth=np.full((96, 128), unknown, np.float32))
        np.testing.assert_array_equal(ids == 4, np.isfinite(slabs(EYE, CAMERA, (0.3, 0, 3.0))))
        assert np.all((depth[ids == 4] > 2) & (depth[ids == 4] < 4))


def test_what_lies_behind_is_not_drawn() -> None:
    before, after, depth, ids = paint(EYE, place=(0.3, 0, -3.0))
    assert np.all(ids == -1) and np.array_equal(before, after)
    np.testing.assert_array_equal(depth, room(EYE)[1])
    assert BOX[0, 2] < -3.0


def test_a_hue_comes_round_after_a_turn_and_keeps_lightness() -> None:
    here, there, half = (paint(EYE, hue=hue)[1] for hue in (0.1, 1.1, 0.6))
    np.testing.assert_allclose(here.astype(int), there, atol=1)
    toy = paint(EYE)[3] == 4
    inner = (
        toy & np.roll(toy, 2, 0) & np.roll(toy, -2, 0) & np.roll(toy, 2, 1) & np.roll(toy, -2, 1)
    )
    assert np.abs(here[inner].astype(int) - half[inner]).mean() > 40


def test_a_box_seen_finely_is_the_same_box_seen_coarsely() -> None:
    fine = paint(EYE, CAMERA.scaled(3), yaw=0.5)[1].astype(float)
    coarse = paint(EYE, CAMERA, yaw=0.5)
    mean = fine.reshape(96, 3, 128, 3, 3).mean(axis=(1, 3))
    toy = coarse[3] == 4
    assert np.abs(mean - coarse[1])[toy].mean() < 3

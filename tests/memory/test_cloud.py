"""The point cloud in a room that is ray-cast exactly: what it writes, keeps, hides and forgets."""

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from worldrt.errors import ConfigError, InputError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.memory.cloud import PointCloud, Splat, filled, on_surface

CAMERA = Camera(width=64, height=48, fx=32, fy=38.4, cx=32, cy=24)
SMALL = Camera(width=13, height=9, fx=6.5, fy=7.8, cx=6.5, cy=4.5)
ROOM = np.array([[-4.0, -1.5, -5.0], [4.0, 1.3, 5.0]])
PILLAR = np.array([[-0.5, -1.5, 1.0], [0.5, 1.3, 2.0]])


def standing(x: float, z: float, yaw: float) -> NDArray[np.float64]:
    """A level pose, its yaw in degrees."""
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[cos, 0, sin, x], [0, 1, 0, 0], [-sin, 0, cos, z], [0, 0, 0, 1.0]])


def look(
    pose: NDArray[np.float64], camera: Camera = CAMERA
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]:
    """What a room with a pillar shows: a frame, its depth and the pose, as `insert` takes them."""
    directions = camera.directions() @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        slabs = [(box[:, None, None] - pose[:3, 3]) / directions for box in (ROOM, PILLAR)]
    leave = np.maximum(*slabs[0]).min(axis=-1)
    enter, out = np.minimum(*slabs[1]).max(axis=-1), np.maximum(*slabs[1]).min(axis=-1)
    hit = (enter < out) & (enter > 0)
    depth = np.where(hit, enter, leave)
    place = pose[:3, 3] + depth[..., None] * directions
    waves = np.sin(2.5 * place + 2 * np.roll(place, 1, axis=-1))
    tint = np.where(hit[..., None], [0.3, 1.0, 0.3], [1.0, 0.7, 0.5])
    rgb = np.rint((150 + 80 * waves) * tint).astype(np.uint8)
    return rgb, depth.astype(np.float32), pose


def walk() -> list[NDArray[np.float64]]:
    """Once round the pillar and once on the spot."""
    path = []
    for yaw in np.linspace(0.0, 345.0, 24).tolist():
        sin, cos = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
        path += [standing(2.6 * sin, 1.5 - 2.6 * cos, -yaw), standing(-0.3, -2.0, yaw)]
    return path


@pytest.fixture(scope="module")
def remembered() -> PointCloud:
    """A cloud after the walk; tests only look at it."""
    cloud = PointCloud(100_000, CAMERA)
    for pose in walk():
        cloud.insert(*look(pose))
    return cloud


def test_frame_seen_again_from_its_own_pose_is_the_frame() -> None:
    cloud = PointCloud(10_000, CAMERA)
    rgb, depth, pose = look(standing(1.0, -3.0, -20))
    written = cloud.insert(rgb, depth, pose)
    view = cloud.view(pose[None])
    surface = on_surface(depth)
    assert written == len(cloud) == np.count_nonzero(surface) > 0.9 * depth.size
    np.testing.assert_allclose(view.mask[0][surface], 1, rtol=1e-3)
    np.testing.assert_allclose(view.rgb[0][surface], rgb[surface] / 255, atol=0.5 / 255)
    np.testing.assert_allclose(view.depth[0][surface], depth[surface], rtol=1e-3)


def test_views_from_elsewhere_are_the_truth_and_hide_what_is_hidden(
    remembered: PointCloud,
) -> None:
    poses = [standing(0.4, -2.3, 7), standing(2.2, 2.9, -140), standing(-1.9, 0.2, 61)]
    view = remembered.view(np.stack(poses))
    image = filled(view, near=1.0)
    for index, pose in enumerate(poses):
        rgb, depth, _ = look(pose)
        covered = view.mask[index] > 0.3
        assert covered.mean() > 0.97
        error = np.moveaxis(image[index, :3], 0, -1) / 2 + 0.5 - rgb / 255
        surface = covered & on_surface(depth)
        assert -10 * np.log10(np.mean(error[surface] ** 2)) > 30
        off = np.abs(view.depth[index] - depth) > 0.1 * depth
        assert off[surface].mean() < 0.002  # through a crack one would see what is behind
        assert np.abs(image[index, 3] - (2 * np.minimum(1, 1 / depth) - 1)).mean() < 0.02


def test_what_is_known_is_not_written_again() -> None:
    cloud = PointCloud(10_000, CAMERA)
    rgb, depth, pose = look(standing(0.0, -3.0, 10))
    cloud.insert(rgb, depth, pose)
    first = cloud.view(pose[None])
    assert cloud.insert(255 - rgb, depth, pose) == 0
    nearby = look(standing(0.02, -2.98, 10.5))
    assert cloud.insert(*nearby) < 0.1 * depth.size  # a rim that turned into sight
    again = cloud.view(pose[None])
    assert np.abs(again.rgb - first.rgb).mean() < 0.002


def test_a_generated_closer_view_adds_points_only_where_the_place_is_new() -> None:
    closer, depth, pose = look(standing(-2.5, 0.8, 0))
    written = {}
    for real in (True, False):
        cloud = PointCloud(100_000, CAMERA)
        cloud.insert(*look(standing(-2.5, -4.0, 0)))
        before = cloud.points.copy()
        known = np.count_nonzero(cloud.view(pose[None]).mask[0] > 0.9)
        written[real] = cloud.insert(closer, depth, pose, real=real)
        assert np.array_equal(cloud.points[: len(before)], before)
    assert known > 1000
    assert written[False] <= depth.size - known < written[True] - 0.5 * known


def test_closer_view_is_written_and_wins() -> None:
    cloud = PointCloud(10_000, CAMERA)
    rgb, depth, pose = look(standing(-2.5, -4.0, 0))
    cloud.insert(np.zeros_like(rgb), depth, pose)
    closer, depth, pose = look(standing(-2.5, 1.5, 0))
    wall = depth > 3.4  # the far wall is 3.5 m away now and was 9 m
    assert cloud.insert(closer, depth, pose) > 0.9 * np.count_nonzero(wall)
    view = cloud.view(pose[None])
    error = np.abs(view.rgb[0] - closer / 255)[wall & on_surface(depth)]
    assert error.mean() < 0.02


def test_front_is_written_before_a_known_background_but_not_behind_a_known_front() -> None:
    size = (SMALL.height, SMALL.width)
    far, near = np.full(size, 6.0, np.float32), np.full(size, 2.0, np.float32)
    grey = np.full((*size, 3), 128, np.uint8)
    for first, second, written in [(far, near, far.size), (near, far, 0)]:
        cloud = PointCloud(1000, SMALL)
        assert cloud.insert(grey, first, np.eye(4)) == first.size
        assert cloud.insert(grey, second, np.eye(4)) == written
        np.testing.assert_allclose(cloud.view(np.eye(4)[None]).depth, 2, rtol=1e-3)


@pytest.mark.parametrize("unknown", [0.0, -1.0, np.nan, np.inf])
def test_unknown_depth_is_not_written(unknown: float) -> None:
    rgb, depth, pose = look(standing(0.0, -4.5, 90), SMALL)
    depth[2:5, 3:8] = unknown
    cloud = PointCloud(1000, SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cloud.insert(rgb, depth, pose)
    assert 0 < len(cloud) <= depth.size - 15
    assert np.isfinite(cloud.points).all() and cloud.source_depth.min() > 0
    assert cloud.view(pose[None]).mask[0, 3, 5] < 1e-6


@pytest.mark.parametrize("tilt", [0, 30, 60, 80, 86])
@pytest.mark.parametrize("axis", [0, 1])
def test_planes_are_surfaces_however_steep_and_steps_are_not(tilt: int, axis: int) -> None:
    normal = np.array([0, 0, np.cos(np.radians(tilt))])
    normal[axis] = np.sin(np.radians(tilt))
    inverse = CAMERA.directions() @ normal / 2
    seen = inverse > 0.03  # nearer than 33 m
    plane = np.where(seen, 1 / np.where(seen, inverse, 1), 0).astype(np.float32)
    away = seen & np.roll(seen, 1, axis=1 - axis) & np.roll(seen, -1, axis=1 - axis)
    away[[0, -1]] = away[:, [0, -1]] = False
    assert on_surface(plane)[away].all()
    step = plane.copy()
    step[:, 30:] *= 1.3
    edges = on_surface(step)
    assert not edges[:, 29:31].any()
    assert edges[:, 31:][away[:, 31:]].all()


def test_unknown_pixels_are_edges() -> None:
    depth = np.full((7, 9), 2.0, np.float32)
    depth[3, 4] = 0
    expected = np.ones((7, 9), bool)
    expected[3, 3:6] = expected[2:5, 4] = False
    np.testing.assert_array_equal(on_surface(depth), expected)


def test_bytes_are_constant_and_the_ring_stays_full_over_2000_insertions() -> None:
    cloud = PointCloud(500, SMALL)
    random = np.random.default_rng(0)
    before, memory = cloud.bytes, cloud.points.__array_interface__["data"]
    rgb, depth, _ = look(standing(0, 0, 0), SMALL)
    written = 0
    for _ in range(2000):
        x, z, yaw = random.uniform(-100, 100, 3)
        written += cloud.insert(rgb, depth, standing(x, z, yaw))
        assert len(cloud) == min(written, 500)
    assert written > 100 * 500
    assert cloud.bytes == before == 500 * (12 + 3 + 4 + 4)
    assert cloud.points.__array_interface__["data"] == memory


def test_oldest_points_make_room() -> None:
    size = SMALL.height * SMALL.width
    cloud = PointCloud(2 * size + 5, SMALL)
    depth = np.full((SMALL.height, SMALL.width), 2.0, np.float32)
    poses = [standing(100.0 * place, 0, 0) for place in range(4)]
    for place, pose in enumerate(poses):
        rgb = np.full((*depth.shape, 3), 50 * (place + 1), np.uint8)
        assert cloud.insert(rgb, depth, pose) == size
    assert len(cloud) == 2 * size + 5
    view = cloud.view(np.stack(poses))
    counts = [np.count_nonzero(mask > 0.5) for mask in view.mask]
    assert counts == [0, 5, size, size]
    np.testing.assert_allclose(view.rgb[3], 200 / 255, rtol=1e-5)


def test_block_is_its_frames_in_order() -> None:
    frames = [look(pose, SMALL) for pose in walk()[:5]]
    one, other = PointCloud(2000, SMALL), PointCloud(2000, SMALL)
    rgb, depth, poses = (np.stack(parts) for parts in zip(*frames, strict=True))
    assert one.insert_block(rgb, depth, poses) == sum(other.insert(*frame) for frame in frames)
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_array_equal(one.colours, other.colours)


def test_clear_forgets() -> None:
    cloud = PointCloud(1000, SMALL)
    frame = look(standing(0, -3, 0), SMALL)
    written = cloud.insert(*frame)
    cloud.clear()
    assert len(cloud) == 0
    assert not cloud.view(frame[2][None]).mask.any()
    assert cloud.insert(*frame) == written


def test_restored_cloud_goes_on_bit_for_bit() -> None:
    frames = [look(pose, SMALL) for pose in walk()]
    unbroken, resumed = PointCloud(300, SMALL), PointCloud(300, SMALL)
    for frame in frames[:30]:
        unbroken.insert(*frame)
    assert len(unbroken) == 300  # the ring has gone round
    state = unbroken.state()
    for frame in frames[30:]:
        unbroken.insert(*frame)
    resumed.restore(state)
    for frame in frames[30:]:
        resumed.insert(*frame)
    for image, wanted in zip(
        resumed.view(np.stack(walk())), unbroken.view(np.stack(walk())), strict=True
    ):
        np.testing.assert_array_equal(image, wanted)
    for capacity in (299, 301):
        with pytest.raises(ShapeError, match=f"{capacity}, 3.*capacity"):
            PointCloud(capacity, SMALL).restore(state)


def test_views_are_the_same_bits_on_any_number_of_threads(remembered: PointCloud) -> None:
    poses = np.stack(walk()[::7])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = remembered.view(poses)
        torch.set_num_threads(4)
        together = remembered.view(poses)
    finally:
        torch.set_num_threads(before)
    for image, wanted in zip(together, alone, strict=True):
        np.testing.assert_array_equal(image, wanted)
    one = remembered.view(poses[2:3])
    np.testing.assert_array_equal(one.rgb[0], alone.rgb[2])


def test_filled_sees_nothing_as_neutral_and_continues_a_slope_in_inverse_depth() -> None:
    nothing = filled(PointCloud(1000, SMALL).view(np.stack([np.eye(4)] * 2)), near=1.0)
    assert nothing.shape == (2, 4, 9, 13) and nothing.dtype == np.float32
    assert not nothing.any()

    rows = np.arange(48, dtype=np.float32)[:, None] + np.zeros(64, np.float32)
    inverse = 0.05 + rows / 50  # 20 m to 1.01 m
    mask = np.ones((48, 64), np.float32)
    mask[5:12, 20:30] = 0  # from 6.7 m to 3.4 m: depth is far from linear there
    splat = Splat(
        np.full((1, 48, 64, 3), 0.25, np.float32),
        np.where(mask > 0, 1 / inverse, 0)[None].astype(np.float32),
        mask[None],
        mask[None] * 0,
    )
    image = filled(splat, near=2.0)
    np.testing.assert_allclose(image[0, :3], -0.5, atol=1e-6)
    expected = 2 * np.minimum(1, 2 * inverse) - 1
    np.testing.assert_allclose(image[0, 3][mask > 0], expected[mask > 0], atol=1e-5)
    assert np.abs(image[0, 3] - expected).max() < 0.15
    assert image[0, 3].max() == 1


@pytest.mark.parametrize(
    ("rgb", "depth", "pose", "name"),
    [
        ((9, 13), (9, 13), (4, 4), "rgb"),
        ((13, 9, 3), (9, 13), (4, 4), "rgb"),
        ((9, 13, 4), (9, 13), (4, 4), "rgb"),
        ((9, 13, 3), (13, 9), (4, 4), "depth"),
        ((9, 13, 3), (9, 13, 1), (4, 4), "depth"),
        ((9, 13, 3), (9, 13), (3, 4), "pose"),
        ((9, 13, 3), (9, 13), (1, 4, 4), "pose"),
    ],
)
def test_insert_refuses_arrays_that_do_not_fit(
    rgb: tuple[int, ...], depth: tuple[int, ...], pose: tuple[int, ...], name: str
) -> None:
    cloud = PointCloud(1000, SMALL)
    with pytest.raises(ShapeError, match=name):
        cloud.insert(np.zeros(rgb, np.uint8), np.ones(depth, np.float32), np.zeros(pose))
    assert len(cloud) == 0


@pytest.mark.parametrize(
    "pose",
    [np.diag([2.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1]), np.eye(4) * np.nan],
    ids=["scale", "mirror", "nan"],
)
def test_pose_that_is_not_rigid_is_refused(pose: NDArray[np.float64]) -> None:
    cloud = PointCloud(1000, SMALL)
    rgb, depth, _ = look(standing(0, -3, 0), SMALL)
    with pytest.raises(InputError):
        cloud.insert(rgb, depth, pose)
    with pytest.raises(InputError):
        cloud.view(pose[None])
    assert len(cloud) == 0


def test_other_misuse_is_refused() -> None:
    with pytest.raises(ConfigError, match="116 points .* 117 pixels"):
        PointCloud(116, SMALL)
    cloud = PointCloud(117, SMALL)
    with pytest.raises(ShapeError, match="poses"):
        cloud.view(np.eye(4))
    rgb, depth, pose = look(standing(0, -3, 0), SMALL)
    with pytest.raises(InputError, match="float64, expected uint8"):
        cloud.insert(rgb / 255, depth, pose)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ShapeError, match="2"):
        cloud.insert_block(np.stack([rgb] * 2), depth[None], pose[None])

"""The splat against its shortest true statement."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp
from worldrt.kernels import splat as kernel
from worldrt.kernels.splat import CLAIM, LONGEST_REACH, NEAR, TOLERANCE, Drawn


def splat(
    points: NDArray,
    colours: NDArray,
    source_depth: NDArray,
    frames: NDArray,
    poses: NDArray,
    camera: Camera,
    longest: float = LONGEST_REACH,
) -> Drawn:
    """All points alive, all in one span."""
    whole = np.array([[0, len(points)]], np.int32)
    alive = np.ones(len(points), np.uint8)
    arrays = points, colours, source_depth, frames, alive, [whole] * len(poses)
    return kernel.splat(*arrays, poses, camera, longest)


ODD = Camera(width=13, height=9, fx=6.5, fy=7.8, cx=6.1, cy=4.7)
HERE = np.eye(4)[None]


def naive_splat(
    points: NDArray,
    colours: NDArray,
    source_depth: NDArray,
    frames: NDArray,
    pose: NDArray,
    camera: Camera,
    longest: float,
) -> list[NDArray]:
    """Every point on every pixel, in float64."""
    pixels, z = camera.project(points.astype(np.float64), pose)
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    du = np.abs(columns - pixels[:, None, None, 0])  # [P, Y, X]
    dv = np.abs(rows - pixels[:, None, None, 1])
    z = z[:, None, None]
    reach = np.clip(source_depth[:, None, None] / z, 1, longest)
    claims = (np.maximum(du, dv) <= CLAIM * reach) & (z >= NEAR)
    front = np.where(claims, z, np.inf).min(axis=0)
    tent = np.maximum(1 - du / reach, 0) * np.maximum(1 - dv / reach, 0)
    tent *= (z >= NEAR) & (z <= front * (1 + TOLERANCE))
    share = tent**3 / (source_depth[:, None, None] * reach) ** 2
    scale = 1 / np.where(share.sum(axis=0) > 0, share.sum(axis=0), np.inf)
    rgb = np.einsum("pyx,pc->yxc", share, colours / 255) * scale[..., None]
    source = (share * source_depth[:, None, None]).sum(axis=0) * scale
    frame = (share * frames[:, None, None]).sum(axis=0) * scale
    return [rgb, (share * z).sum(axis=0) * scale, (tent**2).sum(axis=0), source, frame]


def written(count: int) -> NDArray[np.int32]:
    """The frame of each point: all different."""
    return np.arange(7, count + 7, dtype=np.int32)


def cloud(count: int, seed: int = 0) -> tuple[NDArray, NDArray, NDArray]:
    """Random points all round the origin."""
    random = np.random.default_rng(seed)
    points = random.uniform(-4, 4, (count, 3)).astype(np.float32)
    colours = random.integers(0, 256, (count, 3), dtype=np.uint8)
    return points, colours, random.uniform(0.5, 8, count).astype(np.float32)


def wall(
    camera: Camera, depth: float, colour: tuple[int, int, int]
) -> tuple[NDArray, NDArray, NDArray]:
    """A wall across the view of the origin, a point for each pixel."""
    points = camera.unproject(np.full((camera.height, camera.width), depth), np.eye(4))
    count = camera.width * camera.height
    return (
        points.reshape(-1, 3).astype(np.float32),
        np.tile(np.array(colour, np.uint8), (count, 1)),
        np.full(count, depth, np.float32),
    )


def joined(*clouds: tuple[NDArray, NDArray, NDArray]) -> tuple[NDArray, NDArray, NDArray]:
    points, colours, source_depth = (np.concatenate(parts) for parts in zip(*clouds, strict=True))
    return points, colours, source_depth


def forward(metres: float) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[2, 3] = metres
    return pose[None]


@pytest.mark.parametrize("longest", [1.0, 1.7, LONGEST_REACH])
@pytest.mark.parametrize("count", [1, 63, 400])
def test_splat_is_what_it_says(count: int, longest: float) -> None:
    points, colours, source_depth = cloud(count, seed=count)
    poses = np.stack([np.eye(4), exp(np.array([0.5, -0.3, 1.0, 0.2, -0.9, 0.4]))])
    images = splat(points, colours, source_depth, written(count), poses, ODD, longest)
    for view, pose in enumerate(poses):
        expected = naive_splat(points, colours, source_depth, written(count), pose, ODD, longest)
        for image, wanted in zip(images, expected, strict=True):
            np.testing.assert_allclose(image[view], wanted, rtol=2e-3, atol=2e-4)
            assert image.dtype == np.float32


def test_point_on_a_pixels_centre_is_that_pixel() -> None:
    at = ODD.unproject(np.full((9, 13), 3.0), np.eye(4))[4, 7]
    images = splat(
        at[None].astype(np.float32),
        np.array([[255, 51, 0]], np.uint8),
        np.array([2.5], np.float32),
        np.array([11], np.int32),
        HERE,
        ODD,
    )
    rgb, depth, weight, source, frame = (image[0] for image in images)
    assert frame[4, 7] == 11
    np.testing.assert_allclose(rgb[4, 7], [1, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose([depth[4, 7], weight[4, 7], source[4, 7]], [3, 1, 2.5], rtol=1e-5)
    weight[4, 7] = 0
    assert weight.max() < 1e-9


def test_point_between_four_pixels_is_shared_evenly() -> None:
    point = np.array([[(6 - ODD.cx) / ODD.fx, (5 - ODD.cy) / ODD.fy, 1]], np.float32) * 2
    one = np.ones(1, np.float32)
    rgb, _, weight, _, _ = splat(point, np.full((1, 3), 200, np.uint8), one, written(1), HERE, ODD)
    np.testing.assert_allclose(weight[0, 4:6, 5:7], 1 / 16, rtol=1e-4)
    assert np.count_nonzero(weight > 1e-9) == 4
    np.testing.assert_allclose(rgb[0, 4:6, 5:7], 200 / 255, rtol=1e-5)


@pytest.mark.parametrize("z", [-2.0, 0.0, NEAR * 0.99, np.nan])
def test_nothing_is_drawn_behind_the_near_plane(z: float) -> None:
    point = np.array([[0, 0, z]], np.float32)
    images = splat(
        point, np.full((1, 3), 9, np.uint8), np.ones(1, np.float32), written(1), HERE, ODD
    )
    assert all(not image.any() for image in images)


def test_empty_cloud_shows_nothing() -> None:
    points, colours, source_depth = cloud(0)
    images = splat(points, colours, source_depth, written(0), np.stack([np.eye(4)] * 3), ODD)
    assert [image.shape for image in images] == [(3, 9, 13, 3)] + [(3, 9, 13)] * 4
    assert all(not image.any() for image in images)


def test_front_wall_hides_the_one_behind_from_wherever_one_stands_before_it() -> None:
    camera = Camera(width=33, height=25, fx=16, fy=19, cx=16.5, cy=12.5)
    both = joined(wall(camera, 6.0, (255, 0, 0)), wall(camera, 3.0, (0, 0, 255)))
    for metres in (-0.37, 0.0, 0.41, 1.03, 1.49, 1.9):
        rgb, depth, weight, _, _ = splat(*both, written(len(both[0])), forward(metres), camera)
        blue = depth[0] < 3.1 - metres  # stepping back, the far wall shows round the near one
        inside = np.s_[4:-4, 4:-4]
        assert blue[inside].all()
        assert (weight[0][inside] > 0).all()
        assert rgb[0, ..., 0][blue].max() == 0


def test_wall_one_walks_up_to_closes_only_by_stretching() -> None:
    camera = Camera(width=33, height=25, fx=16, fy=19, cx=16.5, cy=12.5)
    both = joined(wall(camera, 6.0, (255, 0, 0)), wall(camera, 3.0, (0, 0, 255)))
    stretched = splat(*both, written(len(both[0])), forward(1.9), camera)
    points = splat(*both, written(len(both[0])), forward(1.9), camera, 1.0)
    assert (stretched[2] > 0.1).all()
    assert (points[0][..., 0] > 0.5).any()  # through the gaps one sees the red wall


def test_fine_points_outweigh_coarse_ones() -> None:
    camera = Camera(width=17, height=13, fx=8, fy=9, cx=8.5, cy=6.5)
    points, colours, source_depth = wall(camera, 2.0, (0, 255, 0))
    coarse = (points, np.roll(colours, 1, axis=1), source_depth * 4)
    both = joined((points, colours, source_depth), coarse)
    rgb, _, _, source, _ = splat(*both, written(len(both[0])), HERE, camera)
    # A coarse point weighs 1 / 16 for its source depth, 1 / 9 for its reach; several share a pixel.
    assert rgb[..., 1].min() > 0.9
    assert source.max() < 2.8


def test_same_bits_every_time_and_on_any_number_of_threads() -> None:
    points, colours, source_depth = cloud(5000)
    poses = np.stack([exp(np.array([0, 0, 0, 0, angle, 0.0])) for angle in range(5)])
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3, 3, 8):
            torch.set_num_threads(threads)
            results.append(splat(points, colours, source_depth, written(5000), poses, ODD))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for image, wanted in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(image, wanted)


@pytest.mark.parametrize("seed", range(3))
def test_spans_and_the_dead_choose_the_points(seed: int) -> None:
    """Points outside the spans, and dead ones within, might as well not be there: bit for bit."""
    random = np.random.default_rng(seed)
    points, colours, source_depth = cloud(400, seed)
    poses = np.stack([np.eye(4), exp(np.array([0.5, -0.3, 1.0, 0.2, -0.9, 0.4]))])
    weight = random.integers(0, 3, 400).astype(np.uint8)
    points[weight == 0] = np.nan
    cuts = np.sort(random.choice(401, 12, replace=False)).reshape(6, 2).astype(np.int32)
    spans = [cuts, cuts[::2]]
    arrays = points, colours, source_depth, written(400)
    drawn = kernel.splat(*arrays, weight, spans, poses, ODD)
    for view, runs in enumerate(spans):
        kept = np.concatenate([np.arange(*run) for run in runs])
        kept = kept[weight[kept] > 0]
        parts = points[kept], colours[kept], source_depth[kept], written(400)[kept]
        wanted = splat(*parts, poses[view : view + 1], ODD)
        for image, other in zip(drawn, wanted, strict=True):
            np.testing.assert_array_equal(image[view], other[0])


@pytest.mark.parametrize("seed", range(4))
def test_boxes_leave_out_only_what_is_hidden(seed: int) -> None:
    """Walls one behind the other, in runs that lie together: the same images, whatever is left out.

    The order in which a pixel's points are added up is another, and so is the last bit."""
    random = np.random.default_rng(seed)
    runs, each = 60, 400
    middles = random.uniform([-4, -3, -2], [4, 3, 19], (runs, 3)).round(1)
    points = middles[:, None] + random.uniform(-1, 1, (runs, each, 3)) * (1.9, 1.9, 0.01)
    points = points.reshape(-1, 3).astype(np.float32)
    count = len(points)
    arrays = (
        points,
        random.integers(0, 256, (count, 3), np.uint8),
        random.uniform(1, 9, count).astype(np.float32),
        random.integers(0, 99, count).astype(np.int32),
        (random.random(count) < 0.9).astype(np.uint8),
    )
    spans = np.stack([np.arange(0, count, each), np.arange(each, count + 1, each)], 1).astype("i4")
    grouped = points.reshape(runs, each, 3)
    boxes = np.stack([grouped.min(axis=1), grouped.max(axis=1)], axis=1)
    poses = np.stack([np.eye(4), exp(random.normal(size=6) * 0.3)])
    for longest in (1.0, LONGEST_REACH):
        whole = kernel.splat(*arrays, [spans] * 2, poses, ODD, longest)
        found = kernel.splat(*arrays, [spans] * 2, poses, ODD, longest, boxes=[boxes] * 2)
        for image, wanted in zip(found, whole, strict=True):
            np.testing.assert_allclose(image, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 13, 128])
def test_points_at_the_very_border_stay_in_the_image(size: int) -> None:
    """Where a pixel's tent ends, a sum that is rounded falls on the other side of it."""
    camera = Camera(width=size, height=size, fx=size, fy=size, cx=0.5, cy=0.5)
    edges = np.array([-1, 0, size - 1, size], np.float32)
    around = [np.nextafter(edges, np.float32(way)) for way in (-np.inf, np.inf)]
    at = np.stack(np.meshgrid(*[np.concatenate([edges, *around]) / size] * 2), axis=-1)
    points = np.concatenate([at.reshape(-1, 2), np.ones((at.size // 2, 1))], axis=1)
    rest = np.full((len(points), 3), 9, np.uint8), np.ones(len(points), np.float32)
    drawn = splat(points.astype("f4"), *rest, np.zeros(len(points), np.int32), HERE, camera)
    assert np.isfinite(drawn.rgb).all() and (drawn.weight[0, [0, -1]][:, [0, -1]] > 0).all()


def test_backs_are_not_drawn() -> None:
    """A point is drawn from everywhere but from straight behind its surface, 60 degrees about."""
    place, grey = np.array([[0, 0, 3.0]], np.float32), np.full((1, 3), 9, np.uint8)
    whole, alive = [np.array([[0, 1]], np.int32)], np.ones(1, np.uint8)
    source = np.ones(1, np.float32)

    def draw(facing: NDArray[np.int8] | None) -> Drawn:
        arrays = place, grey, source, written(1), alive, whole
        return kernel.splat(*arrays, HERE, ODD, facing=facing)

    for degrees in range(0, 181, 7):
        angle = np.radians(degrees)  # from the direction that leads to the camera
        facing = np.rint(127 * np.array([[np.sin(angle), 0, -np.cos(angle)]])).astype(np.int8)
        assert (draw(facing).weight.max() > 0) == (degrees < kernel.BACK), degrees
    for image, wanted in zip(draw(np.zeros((1, 3), np.int8)), draw(None), strict=True):
        np.testing.assert_array_equal(image, wanted)
    with pytest.raises(ShapeError, match="facing"):
        draw(np.zeros((2, 3), np.int8))


@pytest.mark.parametrize(
    ("weight", "spans", "name"),
    [
        (4, [(1, 2)], "weight"),
        (5, [(2,)], "spans"),
        (5, [(1, 3)], "spans"),
        (5, [(1, 2), (1, 2)], "spans"),
        (5, [], "spans"),
    ],
)
def test_splat_refuses_spans_that_do_not_fit(weight: int, spans: list, name: str) -> None:
    runs = [np.zeros(shape, np.int32) for shape in spans]
    with pytest.raises(ShapeError, match=name):
        kernel.splat(*cloud(5), written(5), np.ones(weight, np.uint8), runs, HERE, ODD)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("points", (5, 2)),
        ("points", (15,)),
        ("colours", (5, 4)),
        ("colours", (4, 3)),
        ("source_depth", (5, 1)),
        ("source_depth", (6,)),
        ("written", (4,)),
        ("poses", (4, 4)),
        ("poses", (2, 3, 4)),
    ],
)
def test_splat_refuses_arrays_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    good = {"points": (5, 3), "colours": (5, 3), "source_depth": (5,)}
    good |= {"written": (5,), "poses": (2, 4, 4)}
    kinds = {"points": "f4", "colours": "u1", "source_depth": "f4", "written": "i4", "poses": "f8"}
    arrays = [np.ones(size, kinds[key]) for key, size in (good | {name: shape}).items()]
    points, colours, source_depth, frames, poses = arrays
    with pytest.raises(ShapeError, match=name):
        splat(points, colours, source_depth, frames, poses, ODD)


def test_splat_refuses_boxes_that_do_not_fit() -> None:
    arrays = np.zeros((2, 3), "f4"), np.zeros((2, 3), "u1"), np.ones(2, "f4"), np.zeros(2, "i4")
    spans = [np.array([[0, 2]], np.int32)]
    with pytest.raises(ShapeError) as raised:
        kernel.splat(
            *arrays, np.ones(2, "u1"), spans, HERE, ODD, boxes=[np.zeros((2, 2, 3), np.float32)]
        )
    assert str(raised.value) == "boxes has shape [2, 2, 3], expected [1, 2, 3]."

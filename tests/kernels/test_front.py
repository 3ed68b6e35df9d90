"""The nearest point of each pixel: closed forms, a slow oracle, and the same bits from twins."""

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp
from worldrt.kernels.front import (
    FRONT,
    NEAR,
    NONE,
    PIXEL_VOTE,
    Backend,
    front,
    front_on,
    votes,
    votes_on,
)

ODD = Camera(width=13, height=9, fx=6.5, fy=7.8, cx=6.1, cy=4.7)
HERE = np.eye(4)


def everything(count: int) -> NDArray[np.int32]:
    return np.array([[0, count]], np.int32)


def scene(seed: int) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray]:
    """Adversarial points: borders of pixels, equal depths, behind, on the near plane, NaN, dead."""
    random = np.random.default_rng(seed)
    count = 1711
    points = random.uniform(-4, 4, (count, 3)).astype(np.float32)
    depth = random.integers(1, 5, 300).astype(np.float32)
    column, row = random.integers(-1, 15, 300), random.integers(-1, 11, 300)
    points[:300] = np.stack(  # from the identity, on the corners of pixels, at few depths
        [(column - ODD.cx) / ODD.fx * depth, (row - ODD.cy) / ODD.fy * depth, depth], axis=1
    )
    points[300:400] = points[200:300]
    points[400:420] = (0, 0, NEAR)
    points[420:440] = (0, 0, np.nextafter(np.float32(NEAR), np.float32(0)))
    points[440:460] = np.nan
    points[460:465], points[465:470] = np.inf, (0, 0, np.inf)
    weight = random.integers(0, 3, count).astype(np.uint8)
    sources = random.integers(0, 90, (count, 4)).astype(np.uint16)
    sources[random.random((count, 4)) < 0.3] = NONE
    starts = np.arange(0, count, 64)
    spans = np.stack([starts, np.minimum(starts + random.integers(0, 65, len(starts)), count)], 1)
    pose = HERE if seed == 0 else exp(random.normal(size=6) * 0.5)
    return points, weight, sources, random.permutation(spans).astype(np.int32), pose


def naive(
    points: NDArray, weight: NDArray, spans: NDArray, pose: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Point, pixel and depth of all that is in sight, one by one, in numpy's float32."""
    f = np.float32
    axes = pose[:3, :3] * (ODD.fx, ODD.fy, 1)
    (x, y, z), origin, found = axes.T.astype(f), pose[:3, 3].astype(f), []
    for start, stop in spans:
        for p in range(start, stop):
            with np.errstate(all="ignore"):
                d = points[p] - origin
                far = z[0] * d[0] + z[1] * d[1] + z[2] * d[2]
                u = (x[0] * d[0] + x[1] * d[1] + x[2] * d[2]) / far + f(ODD.cx)
                v = (y[0] * d[0] + y[1] * d[1] + y[2] * d[2]) / far + f(ODD.cy)
            inside = 0 <= u < ODD.width and 0 <= v < ODD.height
            if weight[p] and f(NEAR) <= far < np.inf and inside:
                found.append((p, int(v) * ODD.width + int(u), far))
    p, pixel, far = zip(*found, strict=True)
    return np.array(p), np.array(pixel), np.array(far)


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_point_wins_and_of_equals_the_lowest(seed: int) -> None:
    points, weight, _, spans, pose = scene(seed)
    seen = front(points, weight, spans, pose, ODD)
    ids, pixels, depths = naive(points, weight, spans, pose)
    assert len(ids) > 50
    for pixel in range(ODD.width * ODD.height):
        here = pixels == pixel
        best = min(zip(depths[here], ids[here], strict=True), default=(0, -1))
        assert (seen.depth.flat[pixel], seen.id.flat[pixel]) == best


@pytest.mark.parametrize("seed", range(4))
def test_a_pixel_is_shared_by_its_front_and_its_ranks(seed: int) -> None:
    points, weight, sources, spans, pose = scene(seed)
    seen = front(points, weight, spans, pose, ODD)
    slack, slots = 0.25, 83
    total = votes(points, weight, sources, spans, seen.depth, pose, ODD, slack, slots)
    ids, pixels, depths = naive(points, weight, spans, pose)
    limit = seen.depth * np.float32(FRONT) + np.float32(slack)
    near = depths <= limit.ravel()[pixels]
    expected = np.zeros(NONE + 1, int)
    for p, pixel in zip(ids[near], pixels[near], strict=True):
        crowd = np.count_nonzero(pixels[near] == pixel)
        for rank, source in enumerate(sources[p]):
            expected[source] += PIXEL_VOTE // crowd * (4 - rank)
    assert total.tolist() == expected[:slots].tolist()
    assert total.sum() > 0


@pytest.mark.parametrize("seed", range(6))
def test_boxes_change_no_bit(seed: int) -> None:
    """Runs of points that lie together, one behind the other: those left out were hidden."""
    random = np.random.default_rng(seed)
    runs, each = 200, 30
    middles = random.uniform([-6, -5, -2], [6, 5, 12], (runs, 1, 3)).round()
    grouped = middles + random.uniform(-1.5, 1.5, (runs, each, 3)) * (1, 1, 0.01)
    grouped = grouped.astype(np.float32)
    points, pose = grouped.reshape(-1, 3), HERE if seed == 0 else exp(random.normal(size=6) * 0.2)
    weight = np.ones(len(points), np.uint8)
    sources = random.integers(0, 9, (len(points), 4)).astype(np.uint16)
    starts = np.arange(0, len(points), each)
    spans = np.stack([starts, starts + each], axis=1).astype(np.int32)
    boxes = np.stack([grouped.min(axis=1), grouped.max(axis=1)], axis=1)
    args = points, weight, spans, pose, ODD
    seen, whole = front(*args, boxes), front(*args)
    np.testing.assert_array_equal(seen.depth, whole.depth)
    np.testing.assert_array_equal(seen.id, whole.id)
    args = points, weight, sources, spans, seen.depth, pose, ODD, 0.05, 9
    np.testing.assert_array_equal(votes(*args, boxes), votes(*args))
    with pytest.raises(ShapeError, match=r"^boxes has shape \[199, 2, 3\], expected \[200, 2, 3\]"):
        front(points, weight, spans, pose, ODD, boxes[1:])


@pytest.mark.parametrize("seed", range(4))
def test_torch_returns_the_same_bits(seed: int) -> None:
    points, weight, sources, spans, pose = scene(seed)
    seen = front(points, weight, spans, pose, ODD)
    total = votes(points, weight, sources, spans, seen.depth, pose, ODD, 0.1, 83)
    tensors = torch.from_numpy(points), torch.from_numpy(weight)
    depth, index = front_on(*tensors, spans, pose, ODD, "torch")
    assert depth.numpy().tobytes() == seen.depth.tobytes()
    assert index.numpy().tobytes() == seen.id.tobytes()
    votes_of = torch.from_numpy(sources)
    counted = votes_on(*tensors, votes_of, spans, depth, pose, ODD, 0.1, 83, "torch")
    assert counted.numpy().tobytes() == total.tobytes()


def test_a_plane_fills_the_image_at_its_depth() -> None:
    """A wall at 3 m, one point a pixel, seen from where its pixels were seen."""
    points = ODD.unproject(np.full((9, 13), 3.0), HERE).reshape(-1, 3).astype(np.float32)
    weight = np.ones(len(points), np.uint8)
    seen = front(points, weight, everything(len(points)), HERE, ODD)
    assert seen.id.tolist() == np.arange(9 * 13).reshape(9, 13).tolist()
    assert (seen.depth == 3).all()
    closer = HERE.copy()
    closer[2, 3] = 1.5  # twice as near: every other pixel of it, twice as far apart
    seen = front(points, weight, everything(len(points)), closer, ODD)
    assert np.unique(seen.depth).tolist() == [0, 1.5]
    assert np.count_nonzero(seen.id >= 0) <= 5 * 7


def test_a_wall_hides_what_is_behind() -> None:
    wall = ODD.unproject(np.full((9, 13), 2.0), HERE).reshape(-1, 3)
    behind = ODD.unproject(np.full((9, 13), 5.0), HERE).reshape(-1, 3)
    points = np.concatenate([behind, wall]).astype(np.float32)
    sources = np.full((len(points), 4), NONE, np.uint16)
    sources[: len(behind), 0], sources[len(behind) :, 0] = 0, 1
    weight, spans = np.ones(len(points), np.uint8), everything(len(points))
    seen = front(points, weight, spans, HERE, ODD)
    assert (seen.id >= len(behind)).all()
    total = votes(points, weight, sources, spans, seen.depth, HERE, ODD, 0.0, 2)
    assert total.tolist() == [0, 4 * PIXEL_VOTE * 9 * 13]


def test_spans_in_any_order_and_split_anyhow_give_the_same() -> None:
    points, weight, _, _, pose = scene(3)
    whole = front(points, weight, everything(len(points)), pose, ODD)
    cuts = np.array([0, 5, 5, 640, 1000, len(points)], np.int32)
    pieces = np.stack([cuts[:-1], cuts[1:]], axis=1)[::-1].copy()
    split = front(points, weight, pieces, pose, ODD)
    assert whole.depth.tobytes() == split.depth.tobytes()
    assert whole.id.tobytes() == split.id.tobytes()


@pytest.mark.parametrize("backend", [None, "torch"])
def test_nothing_is_seen_of_nothing(backend: Literal["torch"] | None) -> None:
    points, weight, sources, _, pose = scene(1)
    spans = np.empty((0, 2), np.int32)
    if backend is None:
        depth, index = front(points, weight, spans, pose, ODD)
        total = votes(points, weight, sources, spans, depth, pose, ODD, 0, 3)
    else:
        tensors = torch.from_numpy(points), torch.from_numpy(weight)
        depth, index = front_on(*tensors, spans, pose, ODD, backend)
        votes_of = torch.from_numpy(sources)
        total = votes_on(*tensors, votes_of, spans, depth, pose, ODD, 0, 3, backend)
    assert (depth == 0).all() and (index == -1).all() and total.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"position": (7, 2)}, "position has shape [7, 2], expected [S, 3]."),
        ({"weight": (6,)}, "weight has shape [6], expected [7]."),
        ({"sources": (7, 3)}, "sources has shape [7, 3], expected [7, 4]."),
        ({"spans": (2,)}, "spans has shape [2], expected [N, 2]."),
        ({"depth": (13, 9)}, "depth has shape [13, 9], expected [9, 13]."),
    ],
)
def test_wrong_shapes_are_refused(change: dict[str, tuple[int, ...]], sentence: str) -> None:
    sizes = {"position": (7, 3), "weight": (7,), "sources": (7, 4), "spans": (1, 2)}
    sizes |= {"depth": (9, 13)} | change
    arrays: list[NDArray] = [np.zeros(size) for size in sizes.values()]
    position, weight, sources, spans, depth = arrays
    with pytest.raises(ShapeError) as error:
        votes(position, weight, sources, spans, depth, HERE, ODD, 0.0, 5)
    assert str(error.value) == sentence


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["torch", "triton"])
@pytest.mark.parametrize("seed", range(4))
def test_a_gpu_returns_the_same_bits(seed: int, backend: Backend) -> None:
    points, weight, sources, spans, pose = scene(seed)
    seen = front(points, weight, spans, pose, ODD)
    total = votes(points, weight, sources, spans, seen.depth, pose, ODD, 0.1, 83)
    tensors = torch.from_numpy(points).cuda(), torch.from_numpy(weight).cuda()
    depth, index = front_on(*tensors, spans, pose, ODD, backend)
    assert depth.cpu().numpy().tobytes() == seen.depth.tobytes()
    assert index.cpu().numpy().tobytes() == seen.id.tobytes()
    votes_of = torch.from_numpy(sources).cuda()
    counted = votes_on(*tensors, votes_of, spans, depth, pose, ODD, 0.1, 83, backend)
    assert counted.cpu().numpy().tobytes() == total.tobytes()

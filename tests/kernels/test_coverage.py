"""Who sees what, against closed forms; greedy choice, against all subsets."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp, from_yaw_pitch
from worldrt.kernels.coverage import ALIKE_WORTH, greedy, pack, sees

ODD = Camera(width=13, height=9, fx=6.5, fy=7.8, cx=6.1, cy=4.7)
HERE = np.eye(4)


def unpack(bits: NDArray[np.uint64], count: int) -> NDArray[np.bool_]:
    return np.unpackbits(bits.view(np.uint8), axis=-1, bitorder="little")[..., :count] > 0


def far_apart(count: int) -> NDArray[np.float64]:
    """Poses of which none stands near another."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 0, 3] = 10 * np.arange(count)
    return poses


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 111])
def test_packing_keeps_every_bit(count: int) -> None:
    mask = np.random.default_rng(count).random(count) < 0.5
    bits = pack(mask)
    assert bits.shape == (-(-count // 64),)
    assert unpack(bits, count).tolist() == mask.tolist()
    for q in range(count):
        assert bool(int(bits[q // 64]) >> (q % 64) & 1) == mask[q]


def test_a_frame_sees_what_its_own_depth_shows() -> None:
    random = np.random.default_rng(0)
    poses = np.array([exp(random.normal(size=6)) for _ in range(3)])
    depth = random.uniform(1, 9, (3, 9, 13)).astype(np.float32)
    for row in range(3):
        points = ODD.unproject(depth[row], poses[row]).reshape(-1, 3).astype(np.float32)
        bits = sees(points, poses[row : row + 1], depth[row : row + 1], ODD)
        assert unpack(bits[0], len(points)).all()


def test_a_wall_hides_and_one_sees_no_farther_than_it_is_known() -> None:
    points = np.array([[0, 0, z] for z in (-1, 0.04, 2.0, 2.05, 3.0, 4.0, np.nan)], np.float32)
    for wall, seen in [(2.0, [2, 3]), (4.0, [5]), (0.0, []), (np.inf, []), (np.nan, [])]:
        bits = sees(points, HERE[None], np.full((1, 9, 13), wall, np.float32), ODD)
        assert np.flatnonzero(unpack(bits[0], 7)).tolist() == seen


def test_a_coarse_frame_sees_a_floor_between_its_pixels() -> None:
    """Rows of a floor differ by more than the tolerance; inverse depth between them is exact."""
    floor = 1.0
    rows = ODD.directions()[..., 1]
    depth = np.where(rows > 0.1, floor / np.where(rows > 0.1, rows, 1), 0).astype(np.float32)
    z = np.linspace(1.9, 4.2, 200)  # from beyond the last row's centre to where rows are known
    points = np.stack([0 * z, np.full(200, floor), z], axis=1).astype(np.float32)
    bits = sees(points, HERE[None], depth[None], ODD)
    assert unpack(bits[0], 200).all()
    below = sees(points * np.float32(1.3), HERE[None], depth[None], ODD)
    assert unpack(below[0], 200).mean() < 0.02  # but where a pixel happens to be as deep


def best_of_all(shown: NDArray[np.bool_], count: int) -> int:
    subsets = combinations(range(len(shown)), min(count, len(shown)))
    return max(int(shown[list(subset)].any(axis=0).sum()) for subset in subsets)


@pytest.mark.parametrize("seed", range(12))
def test_greedy_is_within_its_bound_of_the_best_subset(seed: int) -> None:
    random = np.random.default_rng(seed)
    shown = random.random((7, 111)) < random.uniform(0.05, 0.6, (7, 1))
    bits, covered = np.array([pack(row) for row in shown]), np.zeros(2, np.uint64)
    for count in (1, 2, 3, 9):
        rows = greedy(bits, covered, np.ones(7), far_apart(7), count, 1)
        best = best_of_all(shown, count)
        reached = int(shown[rows].any(axis=0).sum())
        assert len(set(rows)) == len(rows) <= count
        assert best >= reached >= (1 - 1 / np.e) * best


def test_of_disjoint_sets_greedy_takes_the_largest_in_order() -> None:
    sizes = [5, 40, 1, 23, 40]
    owner = np.repeat(np.arange(5), sizes)
    bits = np.array([pack(owner == row) for row in range(5)])
    covered = np.zeros(bits.shape[1], np.uint64)
    assert greedy(bits, covered, np.ones(5), far_apart(5), 5, 1) == [4, 1, 3, 0, 2]
    assert greedy(bits, covered, np.ones(5), far_apart(5), 5, 6) == [4, 1, 3]
    assert greedy(bits, covered, np.ones(5), far_apart(5), 2, 1) == [4, 1]
    assert greedy(bits, bits[4], np.ones(5), far_apart(5), 2, 1) == [1, 3]
    assert greedy(bits, covered, np.array([1, 1, 1, 1, 0.5]), far_apart(5), 2, 1) == [1, 3]


def test_a_frame_that_stands_beside_a_chosen_one_is_worth_less() -> None:
    """Row 0 is chosen first; row 1 shows the most new, but from the same place."""
    owner = np.repeat([0, 1, 2], [60, 30, 20])
    bits = np.array([pack(owner == row) for row in range(3)])
    covered = np.zeros(bits.shape[1], np.uint64)
    turn = [0, np.radians(14), np.radians(40)]
    poses = np.array([from_yaw_pitch(np.zeros(3), angle, 0.0) for angle in turn])
    assert ALIKE_WORTH == 0.5
    assert greedy(bits, covered, np.ones(3), poses, 3, 1) == [0, 2, 1]
    assert greedy(bits, covered, np.ones(3), poses, 3, 1, alike=1.0) == [0, 1, 2]
    poses[1, 0, 3] = 0.6  # half a metre away is another view
    assert greedy(bits, covered, np.ones(3), poses, 3, 1) == [0, 1, 2]


def test_arguments_are_left_as_they_were() -> None:
    bits, worth, covered = np.full((3, 2), 7, np.uint64), np.ones(3), np.zeros(2, np.uint64)
    greedy(bits, covered, worth, far_apart(3), 3, 1)
    assert (bits == 7).all() and (worth == 1).all() and (covered == 0).all()


@pytest.mark.parametrize(
    "points, poses, depth, sentence",
    [
        ((5, 2), (2, 4, 4), (2, 9, 13), "points has shape [5, 2], expected [Q, 3]."),
        ((5, 3), (4, 4), (2, 9, 13), "poses has shape [4, 4], expected [M, 4, 4]."),
        ((5, 3), (2, 4, 4), (2, 13, 9), "depth has shape [2, 13, 9], expected [2, 9, 13]."),
    ],
)
def test_wrong_shapes_are_refused(
    points: tuple[int, ...], poses: tuple[int, ...], depth: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(ShapeError) as error:
        sees(np.zeros(points, np.float32), np.zeros(poses), np.zeros(depth, np.float32), ODD)
    assert str(error.value) == sentence

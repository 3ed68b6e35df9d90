"""R2M-Bench's recipe against a literal reading of it, and what its figures say of known videos."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.bench.memory.pairs import Gain, Mined, gain, mine, revisits, tolerances
from worldrt.errors import ShapeError
from worldrt.geometry.se3 import from_yaw_pitch


def path(seed: int, frames: int) -> NDArray[np.float64]:
    """A smooth ramble on a small torus of places and views, so that it often comes back."""
    random = np.random.default_rng(seed)
    time = np.arange(frames) / frames * math.tau
    position = np.zeros((frames, 3))
    for axis in (0, 2):
        for wave in (1, 2, 3):
            position[:, axis] += random.normal() * np.sin(wave * 3.1 * time + random.uniform(0, 6))
    yaw = sum(random.normal() * np.sin(wave * 3.1 * time) for wave in (1, 2)) / 2
    return from_yaw_pitch(position, yaw, 0.0)


def stretch(seed: int, frames: int) -> NDArray[np.float64]:
    """A long way straight ahead that comes back, for a while, to its beginning."""
    position = np.zeros((frames, 3))
    position[:, 2] = 0.3 * np.arange(frames)
    back = frames // 10
    position[frames - back :] = position[5 : 5 + back]
    position[:, 0] += 0.01 * np.random.default_rng(seed).normal(size=frames)
    return from_yaw_pitch(position, np.zeros(frames), 0.0)


def between(poses: NDArray[np.float64], a: int, b: int) -> tuple[float, float]:
    """Metres and degrees, one pair at a time."""
    metres = math.dist(poses[a, :3, 3], poses[b, :3, 3])
    yaws = [math.atan2(poses[i, 0, 2], poses[i, 2, 2]) for i in (a, b)]
    return metres, abs(math.degrees(math.remainder(yaws[0] - yaws[1], math.tau)))


def literal_tolerances(poses: NDArray[np.float64]) -> tuple[float, float]:
    steps = [between(poses, i, i + 1) for i in range(len(poses) - 1)]
    metres, degrees = (float(np.percentile([step[k] for step in steps], 95)) for k in (0, 1))
    return min(max(2 * metres, 0.1), 1.0), min(max(2 * degrees, 1.0), 5.0)


def literal_revisits(poses: NDArray[np.float64]) -> list[list[int]]:
    place, view = literal_tolerances(poses)
    found = []
    for later in range(len(poses)):
        best, chosen = math.inf, None
        for earlier in range(later):
            if later - earlier < max(0.2 * len(poses), 10):
                continue
            metres, degrees = between(poses, earlier, later)
            if metres <= place and degrees <= view and metres / place + degrees / view < best:
                best, chosen = metres / place + degrees / view, earlier
        if chosen is not None:
            found.append([chosen, later])
    return found


@pytest.mark.parametrize("make", [path, stretch])
@pytest.mark.parametrize(("seed", "frames"), [(0, 63), (1, 111), (2, 250), (3, 9), (4, 50)])
def test_revisits_are_the_recipes(
    make: Callable[[int, int], NDArray[np.float64]], seed: int, frames: int
) -> None:
    poses = make(seed, frames)
    assert tolerances(poses) == pytest.approx(literal_tolerances(poses))
    assert revisits(poses).tolist() == literal_revisits(poses)


def test_paths_of_these_tests_do_come_back() -> None:
    assert all(len(revisits(path(seed, 250))) > 5 for seed in range(3))
    assert all(len(revisits(stretch(seed, 250))) == 25 for seed in range(3))


@pytest.mark.parametrize("seed", range(5))
def test_baselines_are_as_far_apart_and_away_from_revisits(seed: int) -> None:
    frames = 400
    mined = mine(stretch(seed, frames), seed)
    ends = set(mined.revisits.ravel().tolist())
    assert len(mined.baselines) == len(mined.revisits) > 0
    assert mined.margin == max(10, frames / 20)
    for (a, b), (c, d) in zip(mined.revisits.tolist(), mined.baselines.tolist(), strict=True):
        assert abs((d - c) - (b - a)) <= max(10, 0.3 * (b - a))
        assert all(abs(end - other) >= mined.margin for end in ends for other in (c, d))
    assert len({tuple(pair) for pair in mined.baselines.tolist()}) > len(mined.baselines) // 2


def test_baselines_are_drawn_evenly() -> None:
    """All free pairs of a gap in range are as likely as each other."""
    poses = stretch(0, 200)
    drawn = np.concatenate([mine(poses, seed).baselines for seed in range(300)])
    gaps = np.diff(drawn, axis=1)
    pairs = {tuple(pair) for pair in drawn.tolist()}
    revisit_gap = int(np.diff(revisits(poses)[0])[0])
    free = [i for i in range(200) if 25 + 9 <= i <= 179 - 9]  # ends are 5..24 and 180..199
    least = revisit_gap - max(10, int(0.3 * revisit_gap))
    every = {(a, b) for a in free for b in free if b - a >= least}
    assert pairs <= every and gaps.min() == least
    assert len(pairs) == len(every), "6000 draws of some 200 pairs leave none out"


def test_a_course_that_is_all_revisits_has_baselines_that_are_none() -> None:
    once = path(1, 60)
    poses = np.concatenate([once, once])
    mined = mine(poses)
    assert len(mined.revisits) >= 60 and mined.margin == 0
    assert len(mined.baselines) > 0
    place, view = tolerances(poses)
    for a, b in mined.baselines.tolist():
        metres, degrees = between(poses, a, b)
        assert metres > place or degrees > view


@pytest.mark.parametrize(("frames", "longest"), [(50, 6), (299, 6), (400, 8), (1000, 20)])
def test_short_pairs_are_a_moment_apart(frames: int, longest: int) -> None:
    mined = mine(stretch(0, frames))
    apart = mined.short[:, 1] - mined.short[:, 0]
    assert apart.min() == 2 and apart.max() == longest
    assert len(mined.short) == min(100, max(20, len(mined.revisits)))
    assert mined.short.min() >= 0 and mined.short.max() < frames


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_videos_too_short_have_nothing(frames: int) -> None:
    mined = mine(stretch(0, 200)[:frames])
    assert len(mined.revisits) == len(mined.baselines) == 0
    assert mined.revisits.shape == mined.short[:0].shape == (0, 2)
    assert len(mined.short) == (20 if frames == 3 else 0)


def test_the_same_seed_draws_the_same() -> None:
    poses = path(2, 200)
    one, two, other = mine(poses, 7), mine(poses, 7), mine(poses, 8)
    np.testing.assert_array_equal(one.baselines, two.baselines)
    np.testing.assert_array_equal(one.short, two.short)
    assert not np.array_equal(one.short, other.short)


def test_poses_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"poses has shape \[5, 3, 4\], expected \[T, 4, 4\]"):
        mine(np.zeros((5, 3, 4)))


class TestGain:
    """Videos whose likeness is known: frames are numbers, likeness is minus their distance."""

    poses = np.concatenate([path(1, 150)] * 2)
    mined = mine(poses)

    def of(self, video: NDArray[np.float64]) -> Gain:
        return gain(self.mined, lambda a, b: 40 - float(np.abs(video[a] - video[b]).sum()))

    def test_a_perfect_memory_gains_all_there_is(self) -> None:
        """What is shown is a function of the pose alone."""
        told = self.of(10 * self.poses[:, :3, 3])
        assert told.revisit > 39 and told.gain > 1
        # Revisits are more alike than frames a moment apart.
        assert told.normalised > 1

    def test_a_static_video_gains_nothing_and_is_not_normalised(self) -> None:
        told = self.of(np.zeros((300, 3)))
        assert told.gain == told.range == 0 and math.isnan(told.normalised)

    def test_next_to_static_is_not_normalised_either(self) -> None:
        told = self.of(1e-3 * self.poses[:, :3, 3])
        assert told.gain > 0 and told.range > 1e-8 and math.isnan(told.normalised)

    def test_a_forgetful_video_gains_nothing(self) -> None:
        """It drifts with time whatever the pose: revisits are as unlike as anything that old."""
        told = self.of(np.arange(300)[:, None] * np.ones(1) / 10)
        assert abs(told.gain) < 2 < told.range and abs(told.normalised) < 0.2

    def test_a_range_within_its_error_is_none(self) -> None:
        """Likeness by chance, the same for all pairs: a share of the difference means nothing."""
        random = np.random.default_rng(0)
        told = gain(self.mined, lambda a, b: random.normal(1, 3))
        assert abs(told.range) > 0.05 * abs(told.short) and math.isnan(told.normalised)

    def test_shift_and_scale_of_likeness(self) -> None:
        """MG and DR are differences, NMR is their ratio."""
        video = 10 * self.poses[:, :3, 3]

        def likeness(a: int, b: int) -> float:
            return 40 - float(np.abs(video[a] - video[b]).sum())

        one = gain(self.mined, likeness)
        two = gain(self.mined, lambda a, b: 3 * likeness(a, b) + 7)
        assert two.gain == pytest.approx(3 * one.gain)
        assert two.range == pytest.approx(3 * one.range)
        assert two.normalised == pytest.approx(one.normalised)

    def test_without_revisits_nothing_is_told(self) -> None:
        straight = np.tile(np.eye(4), (50, 1, 1))
        straight[:, 2, 3] = np.arange(50)
        mined: Mined = mine(straight)
        told = gain(mined, lambda a, b: 1.0)
        assert math.isnan(told.revisit) and math.isnan(told.gain) and math.isnan(told.normalised)
        assert told.short == 1

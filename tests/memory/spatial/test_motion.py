"""Laws fitted to sightings against the closed forms that made them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.memory.spatial import motion
from worldrt.memory.spatial.motion import PAUSE, Law

HERE = np.array([1.0, 0.0, 3.0, 0.9])


def sightings(
    frames: NDArray[np.float64], values: NDArray[np.float64], noise: float = 0.0, seed: int = 0
) -> NDArray[np.float64]:
    values = np.broadcast_to(values, (len(frames), 4))
    random = np.random.default_rng(seed)
    return np.concatenate(
        [frames[:, None], values + noise * random.standard_normal(values.shape)], axis=1
    )


def fit(past: NDArray[np.float64]) -> Law:
    """The law of sightings that all tell equally well."""
    return motion.fit(past, np.ones((len(past), 4)))


def still(past: NDArray[np.float64]) -> Law:
    return motion.still(past, np.ones((len(past), 4)))


def triangle(frames: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    return 2 / np.pi * np.arcsin(np.sin(2 * np.pi * frames / period))


@pytest.mark.parametrize("count", [1, 5, 6, 32, 200])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_what_stands_stays(count: int, noise: float) -> None:
    law = fit(sightings(np.arange(float(count)), HERE, noise, count))
    found = law.at(np.array([count, count + 511.0]))
    assert np.abs(found - HERE).max() <= 4 * noise + 1e-12
    np.testing.assert_array_equal(found[0], found[1])


def test_what_walks_walks_on_for_as_long_as_it_was_seen() -> None:
    frames, pace = np.arange(21.0), np.array([0.05, 0, -0.02, 0])
    law = fit(sightings(frames, HERE + frames[:, None] * pace, 0.01))
    np.testing.assert_allclose(law.at(np.array([35.0]))[0], HERE + 35 * pace, atol=0.04)
    np.testing.assert_allclose(law.at(np.array([900.0]))[0], HERE + 40 * pace, atol=0.04)


@pytest.mark.parametrize("period", [12.7, 19.3, 25.9])
@pytest.mark.parametrize("seed", range(3))
def test_to_and_fro(period: float, seed: int) -> None:
    frames, way = np.arange(32.0), np.array([0.6, 0, -0.4, 0])
    past = sightings(frames, HERE + triangle(frames + seed, period)[:, None] * way, 0.005, seed)
    law = fit(past)
    assert law.waves.shape[1] % 2 == 1, "a triangle explains it best"
    later = np.arange(64.0, 96)
    truth = HERE + triangle(later + seed, period)[:, None] * way
    assert np.abs(law.at(later) - truth).max() < 0.06
    late = later + 480
    truth = HERE + triangle(late + seed, period)[:, None] * way
    frozen = np.sqrt(np.mean((past[-1, 1:] - truth) ** 2))
    assert np.sqrt(np.mean((law.at(late) - truth) ** 2)) < 0.4 * frozen


@pytest.mark.parametrize("period", [14.1, 20.0, 26.3])
def test_swelling(period: float) -> None:
    frames, swell = np.arange(32.0), np.array([0, 0, 0.02, 0.3])
    past = sightings(frames, HERE + np.sin(2 * np.pi * frames / period)[:, None] * swell, 0.01)
    law = fit(past)
    later = np.arange(160.0, 190)
    truth = HERE + np.sin(2 * np.pi * later / period)[:, None] * swell
    assert np.abs(law.at(later) - truth).max() < 0.12


def test_an_earlier_visit_sharpens_the_period() -> None:
    frames = np.concatenate([np.arange(32.0), 400 + np.arange(32.0), 1000 + np.arange(32.0)])
    way = np.array([0.6, 0, 0.3, 0])
    past = sightings(frames, HERE + triangle(frames, 21.37)[:, None] * way, 0.01)
    law = fit(past)
    assert abs(1 / law.rate - 21.37) < 0.005
    assert abs(1 / fit(past[-32:]).rate - 21.37) > 0.005


def test_half_a_period_is_not_taken_for_one() -> None:
    frames = np.arange(32.0)
    law = fit(sightings(frames, HERE + triangle(frames, 70)[:, None] * [0.9, 0, 0, 0]))
    assert law.rate == 0 or 1 / law.rate < 32
    assert np.abs(law.at(np.arange(32.0, 900)) - HERE)[:, 0].max() < 2.5, "it never runs away"


def test_time_may_begin_anywhere() -> None:
    frames = np.arange(40.0)
    values = HERE + triangle(frames, 17.5)[:, None] * [0.4, 0, 0.4, 0]
    a, b = fit(sightings(frames, values)), fit(sightings(frames + 1e5, values))
    later = np.arange(60.0, 80)
    np.testing.assert_allclose(a.at(later), b.at(later + 1e5), atol=1e-6)


def test_the_spread_grows_while_unseen() -> None:
    law = still(sightings(np.arange(9.0), HERE, 0.01))
    spreads = [law.spread(frame) for frame in (8, 9, 40, 600)]
    assert spreads == sorted(spreads) and spreads[0] < 0.03 and spreads[-1] > 1


@pytest.mark.parametrize("pause", [PAUSE, PAUSE + 1, 90])
def test_a_glance_keeps_the_law_of_a_longer_visit(pause: int) -> None:
    """After a pause four sightings tell nothing by themselves; what they fit goes on."""
    way, glance = np.array([0.6, 0, -0.4, 0]), 31 + pause + np.arange(4.0)
    frames = np.concatenate([np.arange(32.0), glance])
    law = fit(sightings(frames, HERE + triangle(frames, 19.3)[:, None] * way, 0.005))
    later = glance[-1] + np.arange(20.0)
    truth = HERE + triangle(later, 19.3)[:, None] * way
    assert np.abs(law.at(later) - truth).max() < 0.1
    assert law.begun == 0


def test_a_glance_that_sees_something_else_is_believed() -> None:
    way = np.array([0.6, 0, -0.4, 0])
    before, glance = np.arange(32.0), 90 + np.arange(4.0)
    moved = HERE + [3.0, 0, 0, 0]
    past = np.concatenate(
        [
            sightings(before, HERE + triangle(before, 19.3)[:, None] * way, 0.005),
            sightings(glance, moved, 0.005),
        ]
    )
    law = fit(past)
    np.testing.assert_allclose(law.at(np.array([120.0]))[0], moved, atol=0.05)
    assert law.begun >= 90


@pytest.mark.parametrize("scale", [1.0, 0.04])
def test_only_the_ratio_of_the_weights_counts_for_what_is_fitted(scale: float) -> None:
    """Of two kinds of sightings, as good a law as from the good ones alone."""
    frames, way = np.arange(40.0), np.array([0.6, 0, -0.4, 0])
    truth = HERE + triangle(frames, 19.3)[:, None] * way
    past = sightings(frames, truth, 0.004)
    poor = frames % 3 == 0
    past[poor, 1:] += 0.2 * np.random.default_rng(0).standard_normal((poor.sum(), 4))
    weights = np.where(poor, 0.0004, 1.0)[:, None] * np.ones(4)
    law = motion.fit(past, scale * weights)
    later = np.arange(60.0, 90)
    later_truth = HERE + triangle(later, 19.3)[:, None] * way
    assert np.abs(law.at(later) - later_truth).max() < 0.06
    assert np.abs(fit(past).at(later) - later_truth).max() > 0.12
    assert abs(1 / law.rate - 19.3) < 0.1


def test_a_channel_that_is_not_told_is_fitted_to_the_others_moments() -> None:
    """Its weights may differ from channel to channel."""
    frames, swell = np.arange(36.0), np.array([0, 0, 0, 0.3])
    past = sightings(frames, HERE + np.sin(2 * np.pi * frames / 20)[:, None] * swell, 0.004)
    weights = np.ones((36, 4))
    hidden = frames % 5 == 1
    past[hidden, 4], weights[hidden, 3] = 0.2, 1e-4
    law = motion.fit(past, weights)
    later = np.arange(60.0, 80)
    truth = HERE + np.sin(2 * np.pi * later / 20)[:, None] * swell
    assert np.abs(law.at(later) - truth).max() < 0.08


def test_the_mean_of_what_stays_is_weighted() -> None:
    past = np.array([[0.0, 1, 2, 3, 1], [1.0, 5, 2, 3, 2]])
    weights = np.array([[3.0, 1, 1, 1], [1.0, 1, 1, 3]])
    law = motion.still(past, weights)
    np.testing.assert_allclose(law.constant, [2, 2, 3, 1.75])
    np.testing.assert_allclose(law.error, [np.sqrt(3), 0, 0, np.sqrt(0.1875)])


def test_poor_sightings_make_no_law_of_their_noise() -> None:
    """What wobbles by less than it is measured to rests."""
    frames = np.arange(32.0)
    wobble = np.sin(2 * np.pi * frames / 16)[:, None] * [0.02, 0, 0.015, 0]
    past = sightings(frames, HERE + wobble, 0.01)
    law = motion.fit(past, np.full((32, 4), 0.04))
    assert law.rate == 0 and not law.slope.any()

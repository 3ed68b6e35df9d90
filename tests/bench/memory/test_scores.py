"""Scores against closed forms and images one can add up on paper."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.bench.memory.pairs import mine
from worldrt.bench.memory.scores import (
    bootstrap,
    duplicates,
    exponent,
    gains,
    geometry,
    picture,
)
from worldrt.bench.metrics import ssim
from worldrt.geometry.se3 import from_yaw_pitch

RNG = np.random.default_rng(11)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 200, (*shape, 3)).astype(np.uint8)


class TestPicture:
    def test_each_part_has_its_own_error(self) -> None:
        truth = noise(21, 40)
        image = truth.copy()
        image[:, 20:] += 51  # a fifth of white
        left = np.zeros((21, 40), np.bool_)
        left[:, :20] = True
        told = picture(image, truth, {"seen": left, "novel": ~left})
        assert told["psnr_seen"] == 60
        assert told["psnr_novel"] == pytest.approx(-20 * math.log10(0.2))
        assert told["sharpness_seen"] == pytest.approx(1, abs=0.2)
        # Windows across the border know of the other side.
        assert told["ssim_novel"] < 0.97 < told["ssim_seen"] < 1

    def test_small_parts_are_left_out(self) -> None:
        image = noise(20, 30)
        few = np.zeros((20, 30), np.bool_)
        few[7, 7:12] = True
        assert set(picture(image, image, {"few": few, "all": ~few})) == {
            "psnr_all",
            "ssim_all",
            "sharpness_all",
        }

    def test_a_masked_ssim_is_the_mean_of_its_windows(self) -> None:
        image, truth = noise(14, 17), noise(14, 17)
        window = np.zeros((14, 17), np.bool_)
        found = []
        for y in range(5, 9):
            for x in range(5, 12):
                window[:] = False
                window[y, x] = True
                one = ssim(image, truth, window)
                cut = slice(y - 5, y + 6), slice(x - 5, x + 6)
                assert one == pytest.approx(ssim(image[cut], truth[cut]))
                found.append(one)
        assert ssim(image, truth) == pytest.approx(np.mean(found))
        assert math.isnan(ssim(image, truth, np.zeros_like(window)))


class TestGeometry:
    def test_closed_form(self) -> None:
        truth = np.full((4, 5), 2.0, np.float32)
        depth = truth.copy()
        depth[0], depth[1], depth[2] = 2.2, 1.0, 0  # a tenth too far, half as far, unknown
        told = geometry(depth, truth, np.ones((4, 5), np.bool_))
        assert told["known"] == 0.75
        assert told["absrel"] == pytest.approx((0.1 + 0.5 + 0) / 3)
        assert told["delta"] == pytest.approx(2 / 3) and told["ghost"] == pytest.approx(1 / 3)

    @pytest.mark.parametrize(("ratio", "ghost", "delta"), [(0.96, 0, 1), (0.94, 1, 1), (1.3, 0, 0)])
    def test_thresholds(self, ratio: float, ghost: int, delta: int) -> None:
        truth = RNG.uniform(1, 9, (3, 7)).astype(np.float32)
        told = geometry(np.float32(ratio) * truth, truth, np.ones((3, 7), np.bool_))
        assert (told["ghost"], told["delta"]) == (ghost, delta)
        assert told["absrel"] == pytest.approx(abs(ratio - 1), rel=1e-5)

    def test_only_the_mask_counts_and_nothing_is_told_of_nothing(self) -> None:
        truth = np.ones((3, 3), np.float32)
        depth = np.where(np.eye(3) > 0, 1, 5).astype(np.float32)
        assert geometry(depth, truth, np.eye(3) > 0)["absrel"] == 0
        assert geometry(depth, truth, np.zeros((3, 3), np.bool_)) == {}
        assert geometry(np.full_like(truth, np.nan), truth, np.eye(3) > 0) == {"known": 0}


def standing(*places: tuple[float, float]) -> np.ndarray:
    """Poses at x = metres, looking along yaw = degrees."""
    metres, degrees = np.array(places).reshape(-1, 2).T
    position = np.stack([metres, 0 * metres, 0 * metres], axis=-1)
    return from_yaw_pitch(position, np.radians(degrees), 0.0)


@pytest.mark.parametrize(
    ("places", "share"),
    [
        ([(0, 0), (1, 0), (2, 0)], 0),
        ([(0, 0), (0, 0), (0, 0)], 1),
        ([(0, 0), (0.4, 14), (0.4, 40)], 1 / 2),
        ([(0, 0), (0.6, 0), (0.3, 0)], 1 / 2),
    ],
)
def test_duplicates(places: list[tuple[float, float]], share: float) -> None:
    assert duplicates(standing(*places)) == share


def test_one_frame_is_no_duplicate() -> None:
    assert math.isnan(duplicates(standing((0, 0)))) and math.isnan(duplicates(standing()))


class TestBootstrap:
    @pytest.mark.parametrize("count", [1, 2, 20])
    def test_of_constants_is_a_point(self, count: int) -> None:
        assert bootstrap(np.full(count, 3.25)) == (3.25, 3.25)

    def test_contains_the_mean_and_shrinks_with_the_root(self) -> None:
        few, many = RNG.normal(5, 2, 25), RNG.normal(5, 2, 2500)
        for values in (few, many):
            low, high = bootstrap(values)
            assert low < values.mean() < high
            # A mean's standard error, 1.96 to either side.
            expected = 2 * 1.96 * values.std() / math.sqrt(len(values))
            assert high - low == pytest.approx(expected, rel=0.15)

    def test_is_the_same_for_a_seed(self) -> None:
        values = RNG.normal(size=9)
        assert bootstrap(values) == bootstrap(values) != bootstrap(values, 1)


@pytest.mark.parametrize("power", [0.0, 0.2, 1.0, 2.0])
def test_exponent_of_a_power(power: float) -> None:
    frames = np.array([1000, 4000, 16000, 64000])
    assert exponent(frames, 0.3 * frames.astype(float) ** power) == pytest.approx(power, abs=1e-12)


class TestGains:
    """A round walked twice past pictures that depend on the place alone, or not at all."""

    frames = 120
    angle: NDArray[np.float64] = np.linspace(0, 4 * math.pi, frames, endpoint=False)
    poses = from_yaw_pitch(
        np.stack([2 * np.cos(angle), 0 * angle, 2 * np.sin(angle)], axis=-1), angle, 0.0
    )
    mined = mine(poses)

    def video(self, phase: np.ndarray) -> np.ndarray:
        """A panorama of smooth stripes that the phase scrolls."""
        x = np.arange(24) / 24 + phase[:, None]
        row = 0.5 + 0.4 * np.sin(2 * np.pi * np.stack([x, 2 * x + 0.3, 3 * x + 0.1], axis=-1))
        return np.repeat((255 * row[:, None]).astype(np.uint8), 16, axis=1)

    def test_a_perfect_memory_gains(self) -> None:
        told = gains(self.video(self.angle / (2 * math.pi)), self.mined)
        assert told["psnr_mg"] > 10 and told["ssim_mg"] > 0.2
        assert told["psnr_nmr"] > 0.9

    def test_the_static_cheat_gains_nothing_and_is_not_normalised(self) -> None:
        told = gains(self.video(np.zeros(self.frames)), self.mined)
        assert told["psnr_revisit"] == 60 and told["ssim_revisit"] == pytest.approx(1)
        assert told["psnr_mg"] == 0 and told["ssim_mg"] == pytest.approx(0)
        assert "psnr_nmr" not in told and "ssim_nmr" not in told

    def test_a_forgetful_video_gains_little(self) -> None:
        perfect = gains(self.video(self.angle / (2 * math.pi)), self.mined)
        drifting = gains(self.video(0.7 * self.angle / (2 * math.pi)), self.mined)
        assert drifting["psnr_mg"] < 0.2 * perfect["psnr_mg"]

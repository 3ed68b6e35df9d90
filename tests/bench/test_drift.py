"""Drift, revisits and their gain, on videos whose figures can be worked out by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import standing
from worldrt.bench.drift import CAP, Revisit, capped_psnr, drift, revisit_gain, revisits
from worldrt.errors import ConfigError, ShapeError

RNG = np.random.default_rng(3)


def noise(frames: int) -> NDArray[np.uint8]:
    return RNG.integers(40, 216, (frames, 14, 18, 3)).astype(np.uint8)


def levels(*values: int) -> NDArray[np.uint8]:
    """One even grey frame a value."""
    return np.stack([np.full((12, 15, 3), value, np.uint8) for value in values])


def along(*places: float, yaw: float = 0.0) -> NDArray[np.float64]:
    return np.stack([standing(x, 0.0, yaw) for x in places])


def test_same_stretch_has_not_drifted() -> None:
    video, truth = noise(5), noise(5)
    found = drift(video, video, truth, truth)
    assert (found.sharpness, found.colour, found.saturation) == (1, 0, 1)


def test_following_the_truth_into_another_room_is_no_drift() -> None:
    bright, dim = noise(4), noise(3) // 3
    found = drift(bright, dim, bright, dim)
    assert found.sharpness == pytest.approx(1) and found.saturation == pytest.approx(1)
    assert found.colour == 0
    stayed = drift(bright, bright[:3], bright, dim)
    assert stayed.sharpness > 2 and stayed.saturation > 2 and stayed.colour > 100


def test_drift_is_by_how_much_it_moves_beyond_the_truth() -> None:
    truth = noise(4)
    brighter = drift(truth, truth + np.uint8(10), truth, truth)
    assert brighter.colour == pytest.approx(10 * 3**0.5)
    assert brighter.sharpness == pytest.approx(1) and brighter.saturation == pytest.approx(1)
    even = truth // 2 * 2
    half = drift(even, even // 2, truth, truth)
    assert half.sharpness == pytest.approx(0.5) and half.saturation == pytest.approx(0.5)


def test_flat_and_grey_stretches_have_finite_ratios() -> None:
    flat, video = levels(90, 90), noise(2)
    assert drift(flat, flat, flat, flat).sharpness == 1
    found = drift(video, flat, video, video)
    assert 0 < found.sharpness < 0.05 and 0 < found.saturation < 0.05
    assert np.isfinite(drift(flat, video, video, video).saturation)


def test_revisit_is_of_the_first_visit() -> None:
    assert revisits(along(0, 1, 2, 1, 0, 1), 2) == [(3, 1), (4, 0), (5, 1)]
    assert revisits(along(0, 1, 2, 1, 0, 1), 3) == [(4, 0), (5, 1)]
    assert revisits(along(0, 1, 2, 1, 0, 1), 9) == []


@pytest.mark.parametrize(
    ("x", "yaw", "same"), [(0.04, 0, True), (0.06, 0, False), (0, 0.9, True), (0, 1.1, False)]
)
def test_place_is_five_centimetres_and_a_degree(x: float, yaw: float, same: bool) -> None:
    poses = np.concatenate([along(3.0), along(7.0), along(3.0 + x, yaw=yaw)])
    assert revisits(poses, 1) == ([(2, 0)] if same else [])


def test_looking_the_other_way_is_no_revisit() -> None:
    assert revisits(np.concatenate([along(0, 1), along(1, 0, yaw=180.0)]), 1) == []


def test_gain_is_the_revisits_less_the_other_places() -> None:
    """Frames 10 to 13 repeat 0 to 3; 0.3 of the gap of 10 is 3 frames before and after."""
    frames = levels(*range(0, 100, 10), 4, 10, 20, 30)
    poses = along(*range(10), 0, 1, 2, 3)
    pairs = revisits(poses, 5)
    assert pairs == [(10, 0), (11, 1), (12, 2), (13, 3)]

    def at(*differences: int) -> float:
        return float(np.mean([min(-20 * np.log10(max(d, 1e-9) / 255), CAP) for d in differences]))

    same = (at(4) + 3 * CAP) / 4
    other = (at(26) + at(30) + at(30) + at(30, 30)) / 4  # a frame before 0 does not exist
    found = revisit_gain(frames, poses, pairs)
    assert found is not None
    assert (found.psnr, found.gain) == (pytest.approx(same), pytest.approx(same - other))


def test_video_that_never_changes_gains_nothing() -> None:
    poses = along(*range(10), *range(10))
    still = np.repeat(noise(1), 20, axis=0)
    assert revisit_gain(still, poses, revisits(poses, 5)) == Revisit(psnr=CAP, gain=0)


def test_unlike_places_gain_all_and_forgetting_gains_none() -> None:
    poses = along(*range(20), *range(20))
    pairs = revisits(poses, 5)
    first = noise(20)
    kept = revisit_gain(np.concatenate([first, first]), poses, pairs)
    lost = revisit_gain(np.concatenate([first, noise(20)]), poses, pairs)
    assert kept is not None and kept.psnr == CAP and kept.gain > 40
    assert lost is not None and abs(lost.gain) < 1


def test_pairs_without_a_baseline_or_beyond_the_video_do_not_count() -> None:
    poses = along(*range(10), *range(10))
    pairs = revisits(poses, 5)
    assert revisit_gain(noise(10), poses, pairs) is None
    assert revisit_gain(noise(10), poses, []) is None
    spot = along(*[0.0] * 20)
    assert revisit_gain(noise(20), spot, revisits(spot, 5)) is None


def test_equal_images_have_the_cap() -> None:
    image = noise(1)[0]
    assert capped_psnr(image, image) == CAP
    assert capped_psnr(levels(0)[0], levels(255)[0]) == 0


def test_refused() -> None:
    with pytest.raises(ShapeError, match="poses has shape"):
        revisits(np.eye(4), 1)
    with pytest.raises(ConfigError, match="got a gap of 0"):
        revisits(along(0, 1), 0)

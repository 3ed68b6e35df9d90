"""Filling as an interpolation."""

import numpy as np
import pytest

from worldrt.errors import ShapeError
from worldrt.kernels.fill import fill

SIZES = [(1, 1), (1, 7), (5, 3), (9, 13), (24, 32)]


@pytest.mark.parametrize("size", SIZES)
def test_fill_keeps_what_is_trusted(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    channels = random.normal(size=(2, 3, *size)).astype(np.float32)
    np.testing.assert_array_equal(fill(channels, np.ones((2, *size), np.float32)), channels)
    mask = (random.uniform(size=(2, *size)) < 0.5).astype(np.float32)
    result = fill(channels, mask)
    kept = np.broadcast_to(mask[:, None] == 1, channels.shape)
    np.testing.assert_array_equal(result[kept], channels[kept])


@pytest.mark.parametrize("size", SIZES)
def test_fill_without_anything_is_neutral(size: tuple[int, int]) -> None:
    channels = np.full((1, 2, *size), np.nan, np.float32)
    nothing = np.zeros((1, *size), np.float32)
    assert (fill(channels, nothing) == 0.5).all()
    assert (fill(channels, nothing, neutral=-1) == -1).all()


@pytest.mark.parametrize("size", SIZES)
def test_fill_stays_within_what_is_known(size: tuple[int, int]) -> None:
    """A mean of what is known, never of what is not, each view and channel alone."""
    random = np.random.default_rng(1)
    channels = np.full((2, 2, *size), np.nan, np.float32)
    mask = np.zeros((2, *size), np.float32)
    known = random.permutation(size[0] * size[1])[: max(1, size[0] * size[1] // 5)]
    mask.reshape(2, -1)[:, known] = random.uniform(0.1, 1, (2, len(known)))
    for view in range(2):
        for channel in range(2):
            values = random.uniform(10 * view + channel, 10 * view + channel + 0.5, len(known))
            channels[view, channel].reshape(-1)[known] = values
    result = fill(channels, mask)
    for view in range(2):
        for channel in range(2):
            low, high = 10 * view + channel, 10 * view + channel + 0.5
            assert low - 1e-5 <= result[view, channel].min()
            assert result[view, channel].max() <= high + 1e-5


def test_fill_continues_a_slope_across_a_hole() -> None:
    rows, columns = np.mgrid[:40, :56].astype(np.float32)
    slope = (rows + 2 * columns) / 150
    mask = np.ones((40, 56), np.float32)
    mask[17:22, 25:31] = 0
    result = fill(slope[None, None], mask[None])
    assert np.abs(result[0, 0] - slope).max() < 0.05  # it varies by 0.1 across the hole
    steps = np.abs(np.diff(result[0, 0], axis=1))
    assert steps.max() < 0.05  # and no seam


def test_fill_trusts_by_degrees() -> None:
    channels = np.zeros((1, 1, 8, 8), np.float32)
    channels[0, 0, 4, 4] = 1
    values = []
    for trust in (0, 0.25, 0.5, 0.75, 1):
        mask = np.ones((1, 8, 8), np.float32)
        mask[0, 4, 4] = trust
        values.append(fill(channels, mask)[0, 0, 4, 4])
    assert values[0] == 0 and values[-1] == 1
    assert np.all(np.diff(values) > 0.1)


@pytest.mark.parametrize("channels, mask", [((3, 5, 7), (5, 7)), ((1, 3, 5, 7), (1, 7, 5))])
def test_fill_refuses_arrays_that_do_not_fit(channels: tuple, mask: tuple) -> None:
    with pytest.raises(ShapeError):
        fill(np.zeros(channels, np.float32), np.zeros(mask, np.float32))

"""Rates of turning found again in points of a patterned post that turns at a known rate."""

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.memory.spatial.focus import Rates, focus


def post(
    yaw: float, hue: float, frames: int = 32, noise: float = 0.0, plain: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
    """Points of a post, half of it in sight, with patches of colour and a ridge."""
    random = np.random.default_rng(5)
    patches = random.uniform(size=(9, 4, 3))
    time = np.repeat(np.arange(float(frames)), 120)
    seen = random.uniform(np.pi / 2, 3 * np.pi / 2, len(time))  # from the side of -z
    height = random.uniform(size=len(time))
    own = (seen - yaw * time) / (2 * np.pi) % 1
    patch = np.stack([own * 9, height * 4]).astype(int)
    colours = patches[patch[0], patch[1]] if not plain else np.full((len(time), 3), 0.5)
    colours[:, 0] += hue * time
    reach = 0.4 + (0.0 if plain else 0.08) * np.cos(4 * np.pi * own)
    points = np.stack([reach * np.sin(seen), -height, reach * np.cos(seen)], axis=1)
    points += noise * random.standard_normal(points.shape)
    return points, colours.astype(np.float32), 700 + time


@pytest.mark.parametrize("yaw", [-0.33, -0.1, 0.15, 0.26, 0.4])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_turning_post(yaw: float, noise: float) -> None:
    found = focus(*post(yaw, 0, noise=noise))
    assert abs(found.yaw - yaw) < 0.002 and found.hue == 0


@pytest.mark.parametrize("hue", [-0.05, 0.02, 0.07])
def test_a_post_of_changing_colours(hue: float) -> None:
    found = focus(*post(0, hue))
    assert found.yaw == 0 and abs(found.hue - hue) < 0.001


def test_both_at_once() -> None:
    found = focus(*post(0.21, 0.04))
    assert abs(found.yaw - 0.21) < 0.003 and abs(found.hue - 0.04) < 0.002


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_what_stands_still_does_not_turn(plain: bool, noise: float) -> None:
    assert focus(*post(0, 0, noise=noise, plain=plain)) == Rates(0, 0)


def test_a_plain_post_tells_nothing_of_its_turning() -> None:
    assert focus(*post(0.3, 0, plain=True)) == Rates(0, 0)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_glance_tells_nothing(frames: int) -> None:
    assert focus(*post(0.3, 0, frames=frames)) == Rates(0, 0)


def test_nothing_seen_tells_nothing() -> None:
    assert focus(np.zeros((0, 3)), np.zeros((0, 3), np.float32), np.zeros(0)) == Rates(0, 0)

"""The camera of a picture is found where it stood, and not found in a picture of elsewhere."""

import math

import numpy as np
import pytest

from worldrt.bench.memory.registration import register
from worldrt.bench.memory.town import BLOCK, Town
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch, inverse

CAMERA = Camera(width=128, height=96, fx=64.0, fy=76.8, cx=64.0, cy=48.0)
TOWN = Town(4, 3, CAMERA)
EVERYTHING = np.ones((96, 128), np.bool_)
PLACE = np.array([BLOCK, -1.6, 6.0])


def pose(right: float = 0, ahead: float = 0, yaw: float = 0, pitch: float = -5) -> np.ndarray:
    """Beside the middle of a street, looking at the houses; metres and degrees."""
    place = PLACE + (right, 0, ahead)
    return from_yaw_pitch(place, math.radians(40 + yaw), math.radians(pitch))


HERE = TOWN.look(pose())


@pytest.mark.parametrize("light", [1.0, 0.8])
@pytest.mark.parametrize(
    ("right", "ahead", "yaw", "pitch"),
    [(0, 0, 0, -5), (0.05, 0, 0, -5), (0, 0, 2, -5), (0.1, -0.1, 3, -5), (0, 0.2, -4, -3)],
)
def test_drift_is_found(right: float, ahead: float, yaw: float, pitch: float, light: float) -> None:
    moved = pose(right, ahead, yaw, pitch)
    image, _ = TOWN.look(moved)
    image = np.rint(light * image).astype(np.uint8)
    found = register(image, *HERE, EVERYTHING, CAMERA)
    assert found is not None
    turned = (inverse(pose()) @ moved)[:3, :3]
    angle = math.acos(min((np.trace(turned) - 1) / 2, 1))
    assert found.metres == pytest.approx(math.hypot(right, ahead), abs=0.02)
    assert found.radians == pytest.approx(angle, abs=0.004)


def test_the_truth_itself_has_not_drifted() -> None:
    found = register(HERE[0], *HERE, EVERYTHING, CAMERA)
    assert found is not None and found.metres < 1e-6 and found.radians < 1e-6


def test_what_is_not_known_has_no_say() -> None:
    """Half the picture shows something else: where that is not known, nothing changes."""
    image = HERE[0].copy()
    image[:, 64:] = image[::-1, 127:63:-1]
    known = EVERYTHING.copy()
    known[:, 64:] = False
    found = register(image, *HERE, known, CAMERA)
    assert found is not None and found.metres < 0.01 and found.radians < 0.002


@pytest.mark.parametrize(
    "image",
    [
        np.full_like(HERE[0], 128),
        TOWN.look(pose(yaw=180))[0],
        HERE[0][::-1],
        np.random.default_rng(0).integers(0, 256, HERE[0].shape, np.uint8),
    ],
    ids=["grey", "elsewhere", "upside down", "noise"],
)
def test_what_is_not_the_place_is_not_recognised(image: np.ndarray) -> None:
    assert register(image, *HERE, EVERYTHING, CAMERA) is None


def test_too_little_to_go_by_is_nothing() -> None:
    few = np.zeros_like(EVERYTHING)
    few[40:56, 40:56] = True
    assert register(HERE[0], *HERE, few, CAMERA) is None
    assert register(HERE[0], HERE[0], np.full_like(HERE[1], np.nan), EVERYTHING, CAMERA) is None

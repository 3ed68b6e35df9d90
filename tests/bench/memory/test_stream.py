"""An exploration: steps that can be walked, mazes side by side, the same for a seed."""

import numpy as np
import pytest

from tests.tiny import CAMERA as CONFIG
from worldrt.bench.memory.stream import APART_M, Sight, stream
from worldrt.config import MotionConfig
from worldrt.errors import ConfigError
from worldrt.geometry.camera import Camera
from worldrt.simulators.doom.maze import generate

CAMERA = Camera.centred(CONFIG)
MOTION = MotionConfig(move_step=0.22, turn_step=5.0)


def take(frames: int, mazes: int = 1) -> list[Sight]:
    pytest.importorskip("vizdoom")
    return list(stream(7, MOTION, CAMERA, frames, mazes))


def test_one_maze_is_explored_on_foot() -> None:
    sights = take(400)
    assert [sight.frame for sight in sights] == list(range(400))
    maze = generate(7)
    places = np.array([sight.pose[:3, 3] for sight in sights])
    assert all(maze.free(place) for place in places)
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() <= 0.22 + 1e-9
    assert len({(x // 4, z // 4) for x, _, z in places}) > 5
    assert sights[3].rgb.shape == (48, 64, 3) and sights[3].depth.shape == (48, 64)
    assert not np.array_equal(sights[0].rgb, sights[399].rgb)


def test_a_longer_stream_begins_with_the_shorter_one() -> None:
    for one, two in zip(take(30), take(50), strict=False):
        np.testing.assert_array_equal(one.pose, two.pose)
        np.testing.assert_array_equal(one.rgb, two.rgb)


def test_mazes_lie_side_by_side() -> None:
    sights = take(31, 3)
    numbers = [int(sight.pose[0, 3] // APART_M) for sight in sights]
    assert numbers == [0] * 11 + [1] * 10 + [2] * 10
    for sight, number in zip(sights, numbers, strict=True):
        place = sight.pose[:3, 3] - (number * APART_M, 0, 0)
        assert generate(7 + number).free(place)
    np.testing.assert_array_equal(sights[0].pose, take(1)[0].pose)


@pytest.mark.parametrize(("frames", "mazes"), [(5, 0), (5, 6), (200, 100)])
def test_numbers_out_of_range_are_refused(frames: int, mazes: int) -> None:
    with pytest.raises(ConfigError, match=f"got {mazes} mazes and {frames} frames"):
        next(stream(7, MOTION, CAMERA, frames, mazes))

"""Points moved by a law and by rates: rigid, invertible, and drawn in front of what is farther."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toyroom import CAMERA, EYE, bare
from worldrt.memory.spatial.focus import Rates
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.motion import still
from worldrt.memory.spatial.posing import Posed, over, posed, relative

PLACE = np.array([0.4, 0.0, 3.0])
STAY = still(np.array([[20.0, *PLACE, 0.9], [21.0, *PLACE, 0.9]]), np.ones((2, 4)))


def sighting(
    frames: NDArray[np.float64], place: NDArray[np.float64] = PLACE
) -> NDArray[np.float64]:
    rows = np.zeros((len(frames), 8))
    rows[:, 0], rows[:, 1:4], rows[:, 4], rows[:, 7] = frames, place, 0.9, 50
    return rows


def some(count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    random = np.random.default_rng(count)
    position = random.uniform([-0.4, -0.9, -0.4], [0.4, 0, 0.4], (count, 3))
    colour = random.integers(0, 256, (count, 3), dtype=np.uint8)
    return position.astype(np.float32), colour, np.full(count, 3.0, np.float32)


def test_at_its_own_moment_nothing_moves() -> None:
    position, colour, depth = some(63)
    state = np.array([*PLACE, 0, 0.9, 0])
    seen = sighting(np.full(63, 21.0))
    rates = Rates(0.3, 0.05)
    found = posed(position, colour, depth, seen, STAY, rates, state, EYE[:3, 3])
    np.testing.assert_allclose(found.points, position + PLACE, atol=1e-6)
    np.testing.assert_array_equal(found.colours, colour)
    assert np.all(found.source_depth >= depth)


@pytest.mark.parametrize("yaw", [0.2, -1.1])
def test_what_turned_by_the_rates_lies_on_itself(yaw: float) -> None:
    position, colour, depth = some(63)
    frames = np.random.default_rng(1).integers(15, 21, 63).astype(float)
    turn = yaw / 10 * (frames - 21)
    cos, sin = np.cos(turn), np.sin(turn)
    x, y, z = position.T
    then = np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=1).astype(np.float32)
    now = np.array([*PLACE, 0, 0.9, 0])
    above = PLACE + [1e-9, -50, 0]  # from where no side is a far one
    seen = sighting(frames)
    seen[:, 5:7] = seen[:, [1, 3]] + [1, 0]
    found = posed(then, colour, depth, seen, STAY, Rates(yaw / 10, 0), now, above + [9, 0, 0])
    np.testing.assert_allclose(found.points, position + PLACE, atol=1e-5)


def test_twice_as_high_is_twice_as_wide_and_coarse() -> None:
    position, colour, depth = some(31)
    seen = sighting(np.full(31, 21.0))
    small, large = (
        posed(position, colour, depth, seen, STAY, Rates(0, 0), state, EYE[:3, 3])
        for state in (np.array([*PLACE, 0, height, 0]) for height in (0.9, 1.8))
    )
    np.testing.assert_allclose(large.points - PLACE, 2 * (small.points - PLACE), atol=1e-5)
    np.testing.assert_allclose(large.source_depth, 2 * small.source_depth, rtol=1e-6)


def test_what_was_seen_from_the_other_side_is_left_out() -> None:
    position, colour, depth = some(31)
    seen = sighting(np.full(31, 21.0))
    state = np.array([*PLACE, 0, 0.9, 0])
    behind = PLACE + [0.8, -1.2, 6.0]
    found = posed(position, colour, depth, seen, STAY, Rates(0, 0), state, behind)
    assert len(found.points) == 0
    turned = state + [0, 0, 0, np.pi, 0, 0]
    assert len(posed(position, colour, depth, seen, STAY, Rates(0, 0), turned, behind).points) == 31


def test_an_unsteady_place_is_taken_as_measured() -> None:
    position, _, _ = some(7)
    moved = sighting(np.full(7, 21.0), PLACE + [0.03, 0, 0])
    np.testing.assert_allclose(relative(position, moved, STAY) * 0.9, position + [0.03, 0, 0])
    vague = STAY._replace(error=np.full(4, 0.5))
    np.testing.assert_allclose(relative(position, moved, vague) * 0.9, position, rtol=1e-6)


def test_nothing_posed_changes_nothing() -> None:
    none = Posed(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32))
    view = bare()
    found = over(
        view._replace(**{name: layer[0] for name, layer in view._asdict().items()}),
        [none],
        np.array([3]),
        EYE,
        CAMERA,
    )
    np.testing.assert_array_equal(found.rgb, view.rgb[0])
    np.testing.assert_allclose(found.depth, view.depth[0], rtol=1e-6)


@pytest.mark.parametrize("sightings", [1, 3, 20])
def test_a_thing_is_as_large_as_it_was_however_often_it_was_seen(sightings: int) -> None:
    """A plate of 21x17 pixels, white before black, each time measured a little elsewhere."""
    random = np.random.default_rng(sightings)
    column, row = np.meshgrid(np.arange(21) + 40.5, np.arange(17) + 30.5)
    pixels = np.stack([column, row], axis=-1).reshape(-1, 2)
    seen = np.concatenate([pixels + random.uniform(-0.4, 0.4, 2) for _ in range(sightings)])
    ways = (seen - [CAMERA.cx, CAMERA.cy]) / [CAMERA.fx, CAMERA.fy]
    points = EYE[:3, 3] + 2.0 * np.concatenate([ways, np.ones((len(ways), 1))], axis=1)
    plate = Posed(
        points.astype(np.float32),
        np.full((len(points), 3), 255, np.uint8),
        np.full(len(points), 2.0, np.float32),
    )
    black = Splat(*(layer[0] for layer in bare()))
    black = black._replace(rgb=np.zeros_like(black.rgb))
    shown = over(black, [plate], np.array([3]), EYE, CAMERA).rgb[..., 0]
    assert abs(shown.sum() / (21 * 17) - 1) < 0.08
    np.testing.assert_allclose(shown[33:44, 43:58], 1, atol=1e-6)
    assert shown[:29].max() == 0 and shown[:, :39].max() == 0

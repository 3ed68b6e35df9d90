"""Slots, histories and what follows from them."""

import numpy as np

from tests.toyroom import EYE
from worldrt.memory.spatial.fragments import Fragment
from worldrt.memory.spatial.tracks import HISTORY, TONES, Tracks, behind, tones


def fragment(x: float = 0.0, count: int = 41, hue: float = 0.0) -> Fragment:
    random = np.random.default_rng(count)
    points = random.uniform([x - 0.4, -0.9, 2.6], [x + 0.4, 0, 2.7], (count, 3))
    colours = np.tile(np.array([1, 0, 0]) if hue == 0 else np.array([0, 1, 0]), (count, 1))
    return Fragment(
        points=points,
        colours=colours.astype(np.float32),
        depth=points[:, 2],
        middle=np.array([x, 0.0, 2.65]),
        height=0.9,
        width=0.8,
        whole=True,
    )


def test_histories_are_rings_in_order_of_time() -> None:
    tracks = Tracks(2, 100, None)
    slot = tracks.create(fragment(), EYE, 5)
    for frame in range(6, 300):
        tracks.keep(slot, fragment(0.001 * frame), EYE, frame)
    past = tracks.past(slot)
    np.testing.assert_array_equal(past[:, 0], np.arange(300 - HISTORY, 300))
    np.testing.assert_allclose(np.diff(past[:, 1]), 0.001, atol=3e-4)


def test_names_are_never_used_again_and_the_longest_unseen_makes_room() -> None:
    tracks = Tracks(2, 100, None)
    slots = [tracks.create(fragment(x), EYE, frame) for frame, x in enumerate((-1.0, 1.0, 0.0))]
    assert slots == [0, 1, 0] and tracks.names.tolist() == [2, 1]
    tracks.forget(1)
    assert tracks.create(fragment(), EYE, 9) == 1 and tracks.names.tolist() == [2, 3]
    assert len(tracks.past(1)) == 1


def test_what_is_expected_goes_on_evenly_and_soon_follows_the_law() -> None:
    tracks = Tracks(1, 100, None)
    slot = tracks.create(fragment(-1.0), EYE, 0)
    for frame in range(1, 20):
        tracks.keep(slot, fragment(-1 + 0.1 * frame), EYE, frame)
    np.testing.assert_allclose(tracks.expected(slot, 21)[0], 1.1 * 1.108, atol=0.04)
    np.testing.assert_array_equal(tracks.expected(slot, 60), tracks.state(slot, 60))


def test_restoring_is_copying() -> None:
    one, other = Tracks(3, 50, None), Tracks(3, 50, None)
    one.create(fragment(), EYE, 1)
    other.restore(one.arrays())
    one.clear()
    assert not one.used.any() and other.used.tolist() == [True, False, False]
    assert other.past(0)[0, 0] == 1


def test_tones_are_shares_and_turn_with_the_hue() -> None:
    red, green = tones(fragment(), 0.0), tones(fragment(hue=1), 0.0)
    assert red.shape == (TONES,) and np.isclose(red.sum(), 1) and red[0] > 0.99
    np.testing.assert_allclose(tones(fragment(hue=1), 1 / 3), red, atol=1e-5)
    np.testing.assert_allclose(green, np.roll(red, TONES // 3), atol=1e-5)


def test_its_axis_lies_behind_what_is_seen() -> None:
    place = behind(fragment(1.0), EYE, 0.9)
    away = place - np.array([1.0, 0, 2.65])
    np.testing.assert_allclose(np.cross(away[[0, 2]], [1.0, 2.65]), 0, atol=1e-12)
    assert 0.2 < np.linalg.norm(away) < 0.4 and away[2] > 0

"""Slots, histories and what follows from them."""

import numpy as np
import pytest

from tests.toyroom import EYE
from worldrt.memory.spatial.fragments import Fragment
from worldrt.memory.spatial.motion import PAUSE
from worldrt.memory.spatial.tracks import HISTORY, PARTLY, TONES, UNTOLD, Tracks, tones


def fragment(x: float = 0.0, count: int = 41, hue: float = 0.0, **fields: object) -> Fragment:
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
        seen=(True, True, True, True),
        ends=(-0.4, 0.4),
        top=-0.9,
    )._replace(**fields)


def test_histories_are_rings_in_order_of_time() -> None:
    tracks = Tracks(2, 100, None)
    slot = tracks.create(fragment(), EYE, 5)
    for frame in range(6, 300):
        tracks.keep(slot, fragment(0.001 * frame), EYE, frame, 0.9)
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
        tracks.keep(slot, fragment(-1 + 0.1 * frame), EYE, frame, 0.9)
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
    tracks = Tracks(1, 100, None)
    slot = tracks.create(fragment(1.0), EYE, 0)
    place = tracks.place(slot, fragment(1.0), EYE, 0.9)
    away = place - np.array([1.0, 0, 2.65])
    assert abs(2.65 * away[0] - away[2]) < 1e-12
    assert 0.2 < np.linalg.norm(away) < 0.4 and away[2] > 0
    np.testing.assert_array_equal(tracks.past(slot)[0, 1:4], place)


@pytest.mark.parametrize("shown", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("side", [0, 1])
def test_one_end_tells_where_the_middle_is(shown: float, side: int) -> None:
    """Cut off from the left or from the right, what is left of it belongs to the same place."""
    tracks = Tracks(1, 100, None)
    slot = tracks.create(fragment(), EYE, 0)
    whole = tracks.place(slot, fragment(), EYE, 0.9)
    sign = 1 - 2 * side
    part = fragment(
        middle=np.array([sign * 0.4 * (shown - 1), 0.0, 2.65]),
        width=0.8 * shown,
        whole=False,
        seen=(side == 0, side == 1, True, True),
        ends=(-0.4 * shown, 0.4 * shown),
    )
    np.testing.assert_allclose(tracks.place(slot, part, EYE, 0.9), whole, atol=1e-12)
    tracks.keep(slot, part, EYE, 1, 0.9)
    assert tracks.past(slot)[1, 8:].tolist() == [PARTLY, PARTLY]
    assert tracks.slim[slot] == 0.8 / 0.9, "only what is whole tells how wide it is"


def test_what_is_hidden_below_stands_as_high_as_it_did() -> None:
    tracks = Tracks(1, 100, None)
    slot = tracks.create(fragment(), EYE, 0)
    part = fragment(
        middle=np.array([0.0, -0.5, 2.65]), height=0.4, whole=False, seen=(True, True, True, False)
    )
    tracks.keep(slot, part, EYE, 1, 0.9)
    np.testing.assert_allclose(tracks.past(slot)[1, 1:5], tracks.past(slot)[0, 1:5], atol=1e-12)
    assert tracks.past(slot)[1, 8:].tolist() == [PARTLY, UNTOLD]


def test_of_what_was_never_whole_the_widest_view_counts_until_it_is() -> None:
    tracks = Tracks(1, 100, None)
    sides = (False, True, True, True)
    slot = tracks.create(fragment(width=0.3, ends=(-0.2, 0.2), whole=False, seen=sides), EYE, 0)
    for frame, width in enumerate((0.7, 0.5), 1):
        part = fragment(width=width, ends=(-width / 2, width / 2), whole=False, seen=sides)
        tracks.keep(slot, part, EYE, frame, 0.9)
    np.testing.assert_allclose([tracks.slim[slot], tracks.reach[slot]], [0.7 / 0.9, 0.35 / 0.9])
    tracks.keep(slot, fragment(width=0.6, ends=(-0.3, 0.3)), EYE, 3, 0.9)
    np.testing.assert_allclose([tracks.slim[slot], tracks.reach[slot]], [0.6 / 0.9, 0.3 / 0.9])


def test_colours_that_were_not_seen_for_long_are_seen_anew() -> None:
    tracks = Tracks(1, 100, None)
    slot = tracks.create(fragment(), EYE, 0)
    tracks.keep(slot, fragment(hue=1), EYE, PAUSE, 0.9)
    assert 0.7 < tracks.tones[slot, 0] < 0.9
    tracks.keep(slot, fragment(hue=1), EYE, 2 * PAUSE + 1, 0.9)
    np.testing.assert_allclose(tracks.tones[slot], tones(fragment(hue=1), 0.0))

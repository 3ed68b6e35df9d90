"""Scripted keys: seeded, in order, let go in the end."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from worldrt.bench.presses import CHOICES, HOLD_S, REST_S, TAP_S, random_presses


@given(st.integers(0, 99), st.floats(0, 90))
def test_keys_go_down_and_up_in_turns_within_the_time(seed: int, seconds: float) -> None:
    presses = random_presses(seed, seconds)
    assert presses == random_presses(seed, seconds)
    assert all(0 < press.at_s <= seconds for press in presses) and len(presses) % 2 == 0
    assert [press.keys in CHOICES for press in presses[::2]] == [True] * (len(presses) // 2)
    assert all(press.keys == "" for press in presses[1::2])
    for index, (one, other) in enumerate(pairwise(presses)):
        shortest, longest = (TAP_S[0], HOLD_S[1]) if index % 2 == 0 else REST_S
        assert shortest - 1e-9 <= other.at_s - one.at_s <= longest + 1e-9


def test_a_minute_has_taps_and_holds() -> None:
    presses = random_presses(0, 60)
    held = [up.at_s - down.at_s for down, up in zip(presses[::2], presses[1::2], strict=True)]
    assert 30 < len(held) < 120
    assert 0.2 < sum(each <= TAP_S[1] for each in held) / len(held) < 0.6
    assert presses != random_presses(1, 60)

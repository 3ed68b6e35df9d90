"""Keys that a person might press: taps and holds at random times, the same for a seed."""

from random import Random
from typing import NamedTuple

CHOICES = ("W", "W", "W", "J", "L", "WJ", "WL", "S", "A", "D")
TAPS = 0.4
"""Share of short presses."""
TAP_S, HOLD_S, REST_S = (0.03, 0.09), (0.3, 1.5), (0.2, 1.0)
"""Seconds of a tap, of a hold and between two of them: shortest and longest."""


class Press(NamedTuple):
    """What is held from a time on."""

    at_s: float
    keys: str
    """Letters; empty: nothing."""


def random_presses(seed: int, seconds: float) -> list[Press]:
    """Presses and releases within `seconds`, in order; in the end nothing is held."""
    random, found, now = Random(seed), list[Press](), 0.0
    while True:
        held = random.uniform(*(TAP_S if random.random() < TAPS else HOLD_S))
        keys = random.choice(CHOICES)
        now += random.uniform(*REST_S)
        if now + held > seconds:
            return found
        found += [Press(now, keys), Press(now + held, "")]
        now += held

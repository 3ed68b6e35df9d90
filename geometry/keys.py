"""The keys that a person holds, as a line of text or by the name of a path.

A line is groups of keys held together, each for `*` frames (one without it), such as
`W*24 J*12 . WJ*8`; `.` holds none and small letters do as well. Names are `loop`, `spin`,
`out-and-back`, `square` and `random:SEED`. All but `random` end where they began: whole laps, then
still frames. Each turn is exact where turn_step divides it and off by at most half a turn_step
otherwise; a first lap that does not fit is cut.
"""

import re
from collections.abc import Callable
from enum import IntFlag
from random import Random

from worldrt.config import MotionConfig
from worldrt.errors import PathError

MAX_FRAMES = 1_000_000
"""Frames that a path may have: 11 hours at 24 a second."""

LEG = 24
"""Frames of a straight leg of a named path whose length was left open."""

HOLD, FORWARD_SHARE = 5, 0.7
"""`random` changes its keys every HOLD frames and walks in FORWARD_SHARE of them."""


class Keys(IntFlag):
    """The keys held during one frame: WASD move, IJKL and the arrows look."""

    NONE = 0
    W = 1
    A = 2
    S = 4
    D = 8
    I = 16  # noqa: E741
    J = 32
    K = 64
    L = 128
    UP = I
    LEFT = J
    DOWN = K
    RIGHT = L


_LETTERS = {letter: Keys[letter.upper()] for letter in "WASDIJKLwasdijkl"}
_KNOWN = "W A S D (move), I K J L (look up, down, left, right) and . (none)"


def read_keys(text: str, frames: int | None, motion: MotionConfig) -> tuple[Keys, ...]:
    """The keys of each frame of a named path or of a line of keys.

    Args:
        text: a name or keys.
        frames: how many a named path shall fill, 1 to MAX_FRAMES; None: its own length.
        motion: what one frame of a held key does; named paths measure their turns by it.

    Raises:
        PathError: the text is neither, frames is out of range, or a turn takes too many.
    """
    if frames is not None:
        check_frames(frames)
    name, colon, seed = text.strip().partition(":")
    if name == "random":
        if not re.fullmatch("[0-9]{1,18}", seed):
            raise PathError(
                f"The seed of {_quote(text)} is no whole number of 1 to 18 digits; write random:0."
            )
        return random_walk(int(seed), frames)
    if name in _NAMED and not colon:
        return _NAMED[name](frames, motion)
    # A lone word that is not made of keys was meant as a name.
    if re.fullmatch("[a-zA-Z][a-zA-Z_-]{2,}", name) and not set(name) <= _LETTERS.keys():
        raise PathError.unknown("path", text.strip()[:40], [*_NAMED, "random:SEED"])
    return parse_keys(text)


def parse_keys(text: str) -> tuple[Keys, ...]:
    """The keys of each frame of a line such as `W*24 J*12 . WJ*8`.

    Args:
        text: groups of keys, separated by blanks; 1 to MAX_FRAMES frames in all.

    Raises:
        PathError: there is no group, a key or count is not one, or there are too many frames.
    """
    held: list[Keys] = []
    for found in re.finditer(r"\S+", text):
        token, where = found[0], found.start() + 1
        letters, star, count = token.partition("*")
        frames = int(count) if re.fullmatch("[0-9]{1,7}", count) else 0 if star else 1
        if not 1 <= frames <= MAX_FRAMES:
            raise PathError(
                f"{_quote(token)} at position {where} holds its keys for {_quote(count)} frames; "
                f"write a number from 1 to {MAX_FRAMES}."
            )
        held += [_group(letters, token, where)] * frames
        if len(held) > MAX_FRAMES:
            raise PathError(
                f"{_quote(token)} at position {where} brings the path to {len(held)} frames; "
                f"at most {MAX_FRAMES} are allowed."
            )
    if not held:
        raise PathError(f"The path is empty; write groups such as 'W*24 J*12' of {_KNOWN}.")
    return tuple(held)


def spin(frames: int | None, motion: MotionConfig) -> tuple[Keys, ...]:
    """Turns to the right on the spot."""
    return _laps((Keys.L,) * _turn(360, motion), frames)


def loop(frames: int | None, motion: MotionConfig) -> tuple[Keys, ...]:
    """Circles to the right: forward and turn held together."""
    return _laps((Keys.W | Keys.L,) * _turn(360, motion), frames)


def out_and_back(frames: int | None, motion: MotionConfig) -> tuple[Keys, ...]:
    """Forward, half a turn, forward, half a turn; the legs fill the frames that there are."""
    return _polygon(2, frames, motion)


def square(frames: int | None, motion: MotionConfig) -> tuple[Keys, ...]:
    """Four sides with right-angle turns; the sides fill the frames that there are."""
    return _polygon(4, frames, motion)


def random_walk(seed: int, frames: int | None) -> tuple[Keys, ...]:
    """A seeded walk of straights, bends and turns; a longer one begins with the shorter."""
    length = 10 * LEG if frames is None else frames
    draw = Random(seed).random  # the one method whose numbers Python promises to keep
    held: list[Keys] = []
    for _ in range(0, length, HOLD):
        walks, bend = draw() < FORWARD_SHARE, draw()
        look = Keys.J if bend < 0.25 else Keys.L if bend >= 0.75 else Keys.NONE
        still = Keys.J if bend < 0.5 else Keys.L
        held += [Keys.W | look if walks else still] * HOLD
    return tuple(held[:length])


_NAMED: dict[str, Callable[[int | None, MotionConfig], tuple[Keys, ...]]] = {
    "loop": loop,
    "out-and-back": out_and_back,
    "spin": spin,
    "square": square,
}


def check_frames(frames: int) -> None:
    """Raise PathError unless a path may have that many frames."""
    if not 1 <= frames <= MAX_FRAMES:
        raise PathError(f"A path of {frames} frames can't be made; ask for 1 to {MAX_FRAMES}.")


def _group(letters: str, token: str, where: int) -> Keys:
    """The keys of one group, `.` or distinct letters."""
    if letters == ".":
        return Keys.NONE
    group = Keys.NONE
    for letter in letters:
        if letter not in _LETTERS or _LETTERS[letter] in group:
            why = "holds twice" if letter in _LETTERS else "does not know"
            raise PathError(
                f"{_quote(token)} at position {where} {why} {_quote(letter)}; keys are {_KNOWN}."
            )
        group |= _LETTERS[letter]
    if not letters:
        raise PathError(f"{_quote(token)} at position {where} has no key; keys are {_KNOWN}.")
    return group


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _turn(degrees: float, motion: MotionConfig) -> int:
    """Frames of a held look key that come nearest to an angle, at least one."""
    frames = max(1, round(degrees / motion.turn_step))
    if frames > MAX_FRAMES:
        raise PathError(
            f"At {motion.turn_step:g} degrees a frame, {degrees:g} degrees take {frames} frames; "
            f"at most {MAX_FRAMES} are allowed."
        )
    return frames


def _laps(lap: tuple[Keys, ...], frames: int | None) -> tuple[Keys, ...]:
    """As many whole laps as fit, then still frames; a first lap that doesn't fit is cut."""
    if frames is None:
        return lap
    laps = lap * max(1, frames // len(lap))
    return (laps + (Keys.NONE,) * (frames - len(laps)))[:frames]


def _polygon(sides: int, frames: int | None, motion: MotionConfig) -> tuple[Keys, ...]:
    """Equal legs with equal turns, of which there are `sides`."""
    turn = _turn(360 / sides, motion)
    leg = LEG if frames is None else max(1, frames // sides - turn)
    return _laps(((Keys.W,) * leg + (Keys.L,) * turn) * sides, frames)

"""The text that keys are written in, and the paths that have a name."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worldrt.config import MotionConfig
from worldrt.errors import PathError
from worldrt.geometry.keys import LEG, MAX_FRAMES, Keys, parse_keys, read_keys
from worldrt.geometry.trajectory import integrate

quick = settings(max_examples=60, deadline=None, derandomize=True)
MOTION = MotionConfig(move_step=0.1, turn_step=7.5)
GROUPS = st.integers(0, 255).map(Keys)


def spell(keys: Keys) -> str:
    return "".join(key.name or "" for key in Keys if key in keys) or "."


@quick
@given(runs=st.lists(st.tuples(GROUPS, st.integers(1, 30)), min_size=1, max_size=8))
def test_what_is_spelled_out_is_read_back(runs: list[tuple[Keys, int]]) -> None:
    expected = tuple(keys for keys, count in runs for _ in range(count))
    text = "  ".join(f"{spell(keys)}*{count}" for keys, count in runs)
    assert parse_keys(text) == expected
    assert parse_keys(f"\n{text.lower()}\t") == expected
    assert parse_keys(" ".join(map(spell, expected))) == expected  # no count is one frame


def test_a_line_of_every_kind() -> None:
    keys = parse_keys("W*2 . wj*1 .*2 DI")
    assert keys == (Keys.W, Keys.W, Keys(0), Keys.W | Keys.J, Keys(0), Keys(0), Keys.D | Keys.I)


def test_arrows_are_other_names_for_looking() -> None:
    assert (Keys.UP, Keys.LEFT, Keys.DOWN, Keys.RIGHT) == (Keys.I, Keys.J, Keys.K, Keys.L)
    assert [int(key) for key in Keys] == [2**bit for bit in range(8)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The path is empty; write groups such as 'W*24 J*12'"),
        (" \n\t ", "The path is empty"),
        ("W X*3", "'X*3' at position 3 does not know 'X'; keys are W A S D (move), I K J L"),
        ("W24", "'W24' at position 1 does not know '2'"),
        ("WW*3", "'WW*3' at position 1 holds twice 'W'"),
        ("wW", "'wW' at position 1 holds twice 'W'"),
        ("W.", "'W.' at position 1 does not know '.'"),
        ("..", "'..' at position 1 does not know '.'"),
        ("*3", "'*3' at position 1 has no key"),
        ("W*", "'W*' at position 1 holds its keys for '' frames; write a number from 1 to 1000000"),
        ("W  J*0", "'J*0' at position 4 holds its keys for '0' frames"),
        ("W*-1", "'W*-1' at position 1 holds its keys for '-1' frames"),
        ("W*1.5", "for '1.5' frames"),
        ("W*2*3", "for '2*3' frames"),
        ("W*1000001", "for '1000001' frames"),
        ("W*" + "9" * 5000, "for '9999999999999999999999999999999999999...' frames"),
        ("W*\u0663", "for '\u0663' frames"),
        ("W*600000 J*400001", "'J*400001' at position 10 brings the path to 1000001 frames"),
        ("\u0131*2", "does not know '\u0131'"),  # its upper case is a plain I
        ("W J \ud800", "at position 5 does not know '\\ud800'"),
    ],
)
def test_a_bad_line_is_refused_with_token_and_place(text: str, sentence: str) -> None:
    with pytest.raises(PathError, match=re.escape(sentence)):
        parse_keys(text)


def test_the_longest_path_is_read() -> None:
    assert len(parse_keys(f"W*{MAX_FRAMES - 1} J")) == MAX_FRAMES


@quick
@given(text=st.one_of(st.text(), st.text(alphabet="WASDIJKLwasdx.*0123 \n:-", max_size=40)))
@example("random:\ud800")
@example("W*1000000 " * 3)
def test_no_text_raises_anything_but_path_error(text: str) -> None:
    try:
        keys = read_keys(text, 7, MOTION)
    except PathError as error:
        assert len(str(error)) < 400
    else:
        assert 1 <= len(keys) <= MAX_FRAMES


def end_of(name: str, frames: int | None, motion: MotionConfig = MOTION) -> np.ndarray:
    return integrate(read_keys(name, frames, motion), np.eye(4), motion)[-1]


NAMES = ["spin", "loop", "square", "out-and-back"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("turn", [90.0, 45.0, 7.5, 1.5])
@pytest.mark.parametrize("frames", [None, 481, 962])
def test_a_path_that_fits_ends_where_it_began(name: str, turn: float, frames: int | None) -> None:
    motion = MotionConfig(move_step=0.1, turn_step=turn)
    assert frames is None or len(read_keys(name, frames, motion)) == frames
    np.testing.assert_allclose(end_of(name, frames, motion), np.eye(4), atol=1e-12)


@pytest.mark.parametrize("name", ["spin", "loop"])
@pytest.mark.parametrize("turn", [7.0, 11.0, 0.77])
def test_a_lap_with_an_odd_turn_closes_within_a_step(name: str, turn: float) -> None:
    motion = MotionConfig(move_step=0.1, turn_step=turn)
    end = end_of(name, None, motion)
    assert np.linalg.norm(end[:3, 3]) <= motion.move_step
    assert np.degrees(np.arccos(min(end[2, 2], 1))) <= turn / 2


def test_the_four_shapes() -> None:
    """Each name, walked with quarter turns and steps of 1 m, told by where it goes."""
    motion = MotionConfig(move_step=1.0, turn_step=90.0)

    def places(name: str, frames: int) -> list[tuple[int, int]]:
        poses = integrate(read_keys(name, frames, motion), np.eye(4), motion)
        return [(round(x), round(z)) for x, z in poses[:, (0, 2), 3]]

    assert places("spin", 4) == [(0, 0)] * 4
    assert places("loop", 4) == [(1, 0), (1, -1), (0, -1), (0, 0)]
    assert places("out-and-back", 9) == [
        *[(0, 1), (0, 2), (0, 2), (0, 2)],
        *[(0, 1), (0, 0), (0, 0), (0, 0)],
        (0, 0),  # the frame that is left over is still
    ]
    assert places("square", 12) == [
        *[(0, 1), (0, 2), (0, 2), (1, 2), (2, 2), (2, 2)],
        *[(2, 1), (2, 0), (2, 0), (1, 0), (0, 0), (0, 0)],
    ]


def test_lengths_that_were_left_open() -> None:
    lengths = {name: len(read_keys(name, None, MOTION)) for name in [*NAMES, "random:0"]}
    assert lengths == {
        "spin": 48,
        "loop": 48,
        "square": 4 * (LEG + 12),
        "out-and-back": 2 * (LEG + 24),
        "random:0": 10 * LEG,
    }


@pytest.mark.parametrize("name", [*NAMES, "random:3"])
@pytest.mark.parametrize("frames", [1, 2, 47, 100])
def test_every_name_fills_any_number_of_frames(name: str, frames: int) -> None:
    assert len(read_keys(name, frames, MOTION)) == frames


def test_laps_that_fit_are_whole_and_the_rest_is_still() -> None:
    assert read_keys("spin", 100, MOTION) == (Keys.L,) * 96 + (Keys.NONE,) * 4
    assert read_keys("spin", 30, MOTION) == (Keys.L,) * 30


def test_random_walks_are_seeded_and_begin_alike() -> None:
    walk = read_keys("random:7", 1000, MOTION)
    assert walk == read_keys(" random:7 ", 1000, MOTION)
    assert walk[:333] == read_keys("random:7", 333, MOTION)
    assert walk != read_keys("random:8", 1000, MOTION)
    walking = sum(Keys.W in keys for keys in walk) / len(walk)
    assert 0.6 < walking < 0.8
    turns = sum((Keys.L in keys) - (Keys.J in keys) for keys in walk)
    assert abs(turns) < 200  # neither side is preferred
    assert all(walk[i] == walk[i + 4] for i in range(0, 1000, 5))
    # The numbers themselves are part of what a recording relies on.
    assert walk[:30:5] == parse_keys("WJ*2 W*3 WJ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spinn", "Unknown path 'spinn': did you mean 'spin'? choose one of loop, out-and-back, "),
        ("out_and_back", "did you mean 'out-and-back'?"),
        ("Square", "did you mean 'square'?"),
        ("spin:3", "did you mean 'spin'?"),
        ("corridor", "Unknown path 'corridor': choose one of loop"),
        ("random", "The seed of 'random' is no whole number of 1 to 18 digits; write random:0."),
        ("random:x", "The seed of 'random:x'"),
        ("random:-1", "The seed of 'random:-1'"),
        ("random:" + "1" * 19, "The seed of 'random:1111"),
        ("spin loop", "'spin' at position 1 does not know 'p'"),
        ("wasdx", "Unknown path 'wasdx'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(text: str, sentence: str) -> None:
    with pytest.raises(PathError, match=re.escape(sentence)):
        read_keys(text, None, MOTION)


def test_a_word_of_keys_is_keys() -> None:
    assert read_keys("wasd", None, MOTION) == (Keys.W | Keys.A | Keys.S | Keys.D,)


@pytest.mark.parametrize("frames", [0, -1, MAX_FRAMES + 1])
def test_frames_out_of_range_are_refused(frames: int) -> None:
    sentence = f"A path of {frames} frames can't be made; ask for 1 to 1000000."
    with pytest.raises(PathError, match=re.escape(sentence)):
        read_keys("spin", frames, MOTION)


def test_a_turn_too_slow_to_finish_is_refused() -> None:
    with pytest.raises(PathError, match="360 degrees take 3600000 frames; at most 1000000"):
        read_keys("spin", None, MotionConfig(move_step=0.1, turn_step=1e-4))

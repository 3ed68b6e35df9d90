from itertools import pairwise
from threading import Thread
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.config import MotionConfig
from worldrt.geometry.keys import Keys
from worldrt.protocol.requests import Input
from worldrt.protocol.terms import HEARTBEAT_S, KEYMAP, MAX_INPUTS, SILENCE_S
from worldrt.server.inputs import MOST_LOOK, Inputs, Latched

MOTION = MotionConfig(move_step=0.25, turn_step=5, pitch_limit=30)
W, A, S, D, I, J, K, L = KEYMAP.values()  # noqa: E741
F = 3


def said(seq: int, keys: int = 0, **fields: tuple[float, ...]) -> Input:
    return Input(seq=seq, t_us=seq, keys=keys, **fields)  # type: ignore[arg-type]


def latch(inputs: Inputs, now: float, frames: int = F) -> Latched:
    return inputs.latch(now, frames, MOTION)


@pytest.mark.parametrize(
    "keys, sticks, axes",
    [
        (0, (0, 0, 0, 0), (0, 0, 0, 0)),
        (W, (0, 0, 0, 0), (0, 1, 0, 0)),
        (S, (0, 0, 0, 0), (0, -1, 0, 0)),
        (D | L, (0, 0, 0, 0), (1, 0, 1, 0)),
        (A | J, (0, 0, 0, 0), (-1, 0, -1, 0)),
        (I, (0, 0, 0, 0), (0, 0, 0, 1)),
        (K, (0, 0, 0, 0), (0, 0, 0, -1)),
        (W | S | J | L, (0, 0, 0, 0), (0, 0, 0, 0)),
        (0, (0.25, -0.5, 1, -1), (0.25, -0.5, 1, -1)),
        (W | A, (0.25, 0.5, 0, 0), (-0.75, 1, 0, 0)),
        (W | 2**8 | 2**15, (0, 0, 0, 0), (0, 1, 0, 0)),
    ],
)
def test_keys_and_sticks_add_up_to_one_at_most(
    keys: int, sticks: tuple[float, ...], axes: tuple[float, ...]
) -> None:
    inputs = Inputs()
    assert inputs.take(said(7, keys, axes=sticks), 1.5)
    latched = latch(inputs, 1.5)
    np.testing.assert_array_equal(latched.axes, [axes] * F)
    assert latched.axes.dtype == np.float64
    assert latched.keys == keys & 255
    assert (latched.seq, latched.received_us) == (7, 1_500_000)


def test_nobody_has_come_yet() -> None:
    latched = latch(Inputs(), 3.0)
    assert not latched.axes.any()
    assert (latched.keys, latched.seq) == (0, 0)


def test_the_keys_of_the_wire_are_those_of_the_walk() -> None:
    letters = {key.name: key.value for key in Keys if key.name in KEYMAP}
    assert letters == KEYMAP


@pytest.mark.parametrize("wait", [0.0, 0.1, 5.0])
def test_a_tap_is_held_for_one_block_however_late_that_begins(wait: float) -> None:
    inputs = Inputs()
    inputs.take(said(1, W), 1.0)
    inputs.take(said(2), 1.01)
    assert latch(inputs, 1.02 + wait).keys == W
    assert latch(inputs, 1.03 + wait).keys == 0


def test_a_key_that_a_block_has_obeyed_is_no_tap_when_it_is_let_go() -> None:
    inputs = Inputs()
    inputs.take(said(1, W), 1.0)
    assert latch(inputs, 1.0).keys == W
    inputs.take(said(2, W), 1.05)
    inputs.take(said(3), 1.06)
    assert latch(inputs, 1.07).keys == 0


def test_silence_lets_go_of_keys_and_sticks() -> None:
    inputs = Inputs()
    inputs.take(said(1, W, axes=(0, 0, 0.5, 0)), 1.0)
    assert latch(inputs, 1.0 + SILENCE_S - 0.01).axes[0].tolist() == [0, 1, 0.5, 0]
    assert not latch(inputs, 1.0 + SILENCE_S + 0.01).axes.any()
    inputs.take(said(2, W), 2.0)
    assert latch(inputs, 2.0).keys == W


def test_older_news_is_passed_over() -> None:
    inputs = Inputs()
    assert inputs.take(said(5), 1.0)
    assert not inputs.take(said(4, W), 1.0)
    assert not inputs.take(said(5, W), 1.0)
    assert latch(inputs, 1.0).keys == 0


def test_release_lets_go_of_taps_and_of_the_mouse() -> None:
    inputs = Inputs()
    inputs.take(said(1, W, look=(45.0, 45.0)), 1.0)
    inputs.release()
    latched = latch(inputs, 1.0)
    assert not latched.axes.any()
    assert latched.seq == 1
    inputs.take(said(2, look=(50.0, 45.0)), 1.1)
    assert latch(inputs, 1.1).axes[:, 2].tolist() == [1, 0, 0]


def test_another_connection_counts_anew() -> None:
    inputs = Inputs()
    inputs.take(said(900, W, look=(70.0, 10.0)), 1.0)
    inputs.rebase()
    assert latch(inputs, 1.0).seq == 0
    assert inputs.take(said(1, A, look=(5.0, -2.5)), 1.1)
    latched = latch(inputs, 1.1)
    assert (latched.keys, latched.seq) == (A, 1)
    assert latched.axes[:, 2:].tolist() == [[1, -0.5], [0, 0], [0, 0]]


def test_the_mouse_adds_what_the_keys_leave() -> None:
    inputs = Inputs()
    inputs.take(said(1, L, look=(12.0, 0.0)), 1.0)
    assert latch(inputs, 1.0).axes[:, 2].tolist() == [1, 1, 1]
    inputs.take(said(2, J, look=(12.0, 0.0)), 1.1)
    np.testing.assert_allclose(latch(inputs, 1.1).axes[:, 2], [1, 0.4 - 1, -1])


def test_the_mouse_is_turned_to_its_end_in_silence() -> None:
    inputs = Inputs()
    inputs.take(said(1, look=(-22.0, 7.5)), 1.0)
    turned = np.concatenate([latch(inputs, 1.0 + block).axes for block in range(3)])
    np.testing.assert_allclose(turned[:, 2], [-1, -1, -1, -1, -0.4, 0, 0, 0, 0])
    np.testing.assert_allclose(turned[:, 3], [1, 0.5, 0, 0, 0, 0, 0, 0, 0])


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=30),
    st.lists(st.integers(0, 29), max_size=40),
    st.integers(0, 5),
)
def test_the_mouse_turns_by_its_last_sum_whatever_is_lost(
    moves: list[tuple[float, float]], order: list[int], frames: int
) -> None:
    """Lost, late and double messages change nothing: MOST_LOOK is never reached here."""
    sums = np.cumsum(moves, axis=0)
    heard = [index for index in order if index < len(sums)] + [len(sums) - 1]
    inputs, turned = Inputs(), np.zeros(2)
    for now, index in enumerate(heard, start=1):
        inputs.take(said(index + 1, look=tuple(sums[index])), now)
        axes = latch(inputs, now, frames).axes
        assert np.abs(axes).max(initial=0) <= 1
        turned += axes[:, 2:].sum(0) * MOTION.turn_step
    turned += latch(inputs, 99.0, 36).axes[:, 2:].sum(0) * MOTION.turn_step
    np.testing.assert_allclose(turned, sums[-1], atol=1e-9)


def test_what_is_left_of_the_mouse_is_bounded() -> None:
    inputs = Inputs()
    inputs.take(said(1, look=(1e6, -1e6)), 1.0)
    axes = latch(inputs, 1.0, 50).axes
    np.testing.assert_allclose(axes.sum(0) * 5, [0, 0, MOST_LOOK, -MOST_LOOK])


def test_more_than_so_many_a_second_are_passed_over() -> None:
    inputs = Inputs()
    heeded = sum(inputs.take(said(1 + n), 1 + n / 1000) for n in range(10_000))
    assert MAX_INPUTS * 10 <= heeded <= MAX_INPUTS * 11


class Heard(NamedTuple):
    """A message that came through."""

    at: float
    message: Input


def keys_of(heard: list[Heard], last: float, now: float) -> int:
    """What a block that begins `now` obeys, the one before it having begun at `last`: a slow and
    obvious oracle over all that came, in the order in which it came."""

    def held(before: list[Heard], when: float) -> int:
        if not before or when - before[-1].at > SILENCE_S:
            return 0
        return before[-1].message.keys

    heeded: list[Heard] = []
    tapped = 0
    for one in heard:
        if one.at <= now and all(one.message.seq > other.message.seq for other in heeded):
            if one.at > last:
                tapped |= one.message.keys & ~held(heeded, one.at)
            heeded.append(one)
    return held(heeded, now) | tapped


@st.composite
def walks(draw: st.DrawFn) -> tuple[list[Heard], list[float], float]:
    """Messages as a client sends them over a bad line, the blocks' beginnings, and when the person
    lets go of everything."""
    now, seq, sent = 1.0, 0, list[Heard]()
    for _ in range(draw(st.integers(1, 6))):
        keys = draw(st.sampled_from([0, W, W | L, A, D, W | S]))
        until = now + draw(st.floats(0.001, 0.7))
        while now < until:
            seq += 1
            sent.append(Heard(now, said(seq, keys)))
            now = min(now + HEARTBEAT_S, until) if keys else until
    sent.append(Heard(now, said(seq + 1)))
    fates = st.lists(st.floats(0, 0.4), max_size=2)  # the delays of its copies; none: lost
    good = st.just([0.01])
    heard = [
        Heard(one.at + delay, one.message)
        for one in sent
        for delay in draw(st.one_of(good, good, good, fates))
    ]
    heard.sort(key=lambda one: one.at)
    blocks, last = list[float](), 1.0
    while last < now + 2:
        last += draw(st.floats(0.03, 0.5))
        blocks.append(last)
    return heard, blocks, now


@given(walks())
def test_no_key_sticks_and_no_tap_is_lost_on_a_bad_line(
    walk: tuple[list[Heard], list[float], float],
) -> None:
    heard, blocks, let_go = walk
    inputs, waiting, latches = Inputs(), heard.copy(), list[tuple[float, int]]()
    for last, now in pairwise([0.0, *blocks]):
        while waiting and waiting[0].at <= now:
            inputs.take(waiting[0].message, waiting.pop(0).at)
        latched = latch(inputs, now)
        assert latched.keys == keys_of(heard, last, now)
        latches.append((now, latched.keys))
    # The oracle aside: the end is still, the last tap having had its block.
    end = max([let_go, *(one.at for one in heard)]) + SILENCE_S
    assert not any(keys for _, keys in [one for one in latches if one[0] > end][1:])


@given(st.lists(st.floats(0.001, SILENCE_S - 0.001), min_size=1, max_size=50), st.floats(0.02, 0.5))
def test_what_is_held_is_held_in_every_block(gaps: list[float], block: float) -> None:
    """As long as one message comes through in SILENCE_S."""
    inputs, arrivals = Inputs(), 1 + np.cumsum([0.0, *gaps])
    seq = 0
    for now in np.arange(1.0, arrivals[-1], block):
        while seq < len(arrivals) and arrivals[seq] <= now:
            inputs.take(said(seq + 1, W), arrivals[seq])
            seq += 1
        assert latch(inputs, now).keys == W


def test_two_threads_lose_no_degree() -> None:
    inputs, turned = Inputs(), []
    count = 20_000

    def talk() -> None:
        for n in range(1, count + 1):
            inputs.take(said(n, look=(n * 1e-3, 0.0)), n / MAX_INPUTS)

    thread = Thread(target=talk)
    thread.start()
    while thread.is_alive():
        turned.append(latch(inputs, 0.0, 4).axes[:, 2].sum())
    turned.append(latch(inputs, 0.0, 4).axes[:, 2].sum())
    np.testing.assert_allclose(sum(turned) * MOTION.turn_step, count * 1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_ten_minutes_on_a_line_that_loses_doubles_and_delays_a_tenth(seed: int) -> None:
    """A key that is held is walked in every block; SILENCE_S after it is let go it is not."""
    draw = np.random.default_rng(seed)
    sent = np.arange(1.0, 601.0, HEARTBEAT_S)
    keys = [W] * (len(sent) - 1) + [0]  # the release may be lost as well
    arrivals = [
        (at + 0.01 + 0.15 * draw.random() * (draw.random() < 0.1), said(seq + 1, held))
        for seq, (at, held) in enumerate(zip(sent, keys, strict=True))
        for _ in range(draw.choice([0, 1, 2], p=[0.1, 0.8, 0.1]))
    ]
    arrivals.sort(key=lambda one: one[0])
    inputs, heard = Inputs(), iter([*arrivals, (1e9, said(1))])
    at, message = next(heard)
    for now in np.arange(1.2, 603.0, 4 / 15):
        while at <= now:
            inputs.take(message, at)
            at, message = next(heard)
        held = latch(inputs, now).keys
        assert held == W or now > sent[-1]
        assert held == 0 or now <= sent[-1] + 0.16 + SILENCE_S

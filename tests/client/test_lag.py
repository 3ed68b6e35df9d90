"""From a key to its frame: the parts are the whole, and each key is paired with one frame."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.test_screen import frame
from worldrt.client.clock import ServerClock
from worldrt.client.lag import UNSEEN, Lags, Stages
from worldrt.client.pictures import Frame
from worldrt.protocol.packets import Header
from worldrt.protocol.replies import Applied, ClockIs

AHEAD = 10**9
"""The server's clock, before ours."""


def lags() -> Lags:
    clock = ServerClock()
    clock.take(ClockIs(t0_us=0, t1_us=AHEAD + 2000, t2_us=AHEAD + 2000), 4000)
    return Lags(clock)


def obeying(seq: int, number: int = 0) -> Frame:
    header = Header(frame=number, seq=seq, sent_us=AHEAD + 90_000, decode_ms=5)
    each = frame(number, 0)
    return replace(each, header=header, arrived_us=95_000, decoded_us=96_000)


def applied(seq: int) -> Applied:
    received, latched, done = (AHEAD + us for us in (13_000, 20_000, 80_000))
    return Applied(seq=seq, chunk=0, received_us=received, latched_us=latched, done_us=done)


@pytest.mark.parametrize(
    "newest, input_ms, queue_ms", [(3, 3.0, 7.0), (4, 2.0, 8.0)], ids=["its own", "a newer one"]
)
def test_the_stages_of_a_key(newest: int, input_ms: float, queue_ms: float) -> None:
    found = lags()
    found.pressed(3, 10_000)
    found.applied(applied(newest))
    assert found.shown(obeying(2), 50_000) is None
    assert found.shown(obeying(newest, 7), 99_000) == 89.0
    (sample,) = found.samples
    assert (sample.seq, sample.t_us, sample.shown_us, sample.frame) == (3, 10_000, 99_000, 7)
    assert sample.stages == Stages(input_ms, queue_ms, 55.0, 5.0, 10.0, 5.0, 3.0, 1.0)
    assert found.shown(obeying(newest, 8), 120_000) is None


def test_a_lost_answer_leaves_the_whole() -> None:
    found = lags()
    found.pressed(1, 10_000)
    assert found.shown(obeying(1), 99_000) == 89.0
    assert found.samples[0].stages is None


def test_what_was_pressed_before_a_cut_is_not_measured() -> None:
    found = lags()
    found.pressed(1, 10_000)
    found.forget()
    assert found.shown(obeying(9), 99_000) is None and not found.samples


@given(st.lists(st.booleans(), max_size=UNSEEN))
def test_each_key_is_seen_once_by_the_first_frame_that_obeys_it(steps: list[bool]) -> None:
    """True: a key; False: a frame that obeys all keys before it."""
    found, seq, seen = lags(), 0, 0
    for number, pressed in enumerate(steps):
        if pressed:
            seq += 1
            found.pressed(seq, number)
            found.applied(applied(seq))
        else:
            newest = found.shown(obeying(seq, number), 10**6)
            assert (newest is not None) == (seq > seen)
            seen = seq
    assert [sample.seq for sample in found.samples] == list(range(1, seen + 1))


def test_keys_that_no_frame_shows_are_given_up() -> None:
    found = lags()
    for seq in range(1, UNSEEN + 3):
        found.pressed(seq, seq)
    found.shown(obeying(UNSEEN + 2), 10**6)
    assert [sample.seq for sample in found.samples] == list(range(3, UNSEEN + 3))

"""A mailbox stays small whatever comes, and what comes out of it can be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.protocol.packets import Kind
from worldrt.protocol.replies import Event, Loading, Paused
from worldrt.protocol.terms import Delivery
from worldrt.server import mailbox as module
from worldrt.server.coding import Shot
from worldrt.server.mailbox import MOST_MESSAGES, PATIENCE, Mailbox, Side


def shot(number: int, key: bool = True) -> Shot:
    return Shot(str(number).encode(), key, 0.0)


def drain(mailbox: Mailbox) -> list[object]:
    return list(iter(mailbox.take, None))


def test_messages_go_first_then_frames_then_what_is_beside_them() -> None:
    mailbox = Mailbox(4, Delivery.LATEST)
    mailbox.show_beside(Side(Kind.PLAN, b"old", 0.0))
    mailbox.show_beside(Side(Kind.PLAN, b"new", 0.0))
    mailbox.show_beside(Side(Kind.RECALLED, b"frames", 0.0))
    mailbox.show(shot(1))
    mailbox.show(shot(2))
    assert mailbox.tell(Event(text="a")) and mailbox.tell(Event(text="b"))
    assert drain(mailbox) == [
        Event(text="a"),
        Event(text="b"),
        shot(1),
        shot(2),
        Side(Kind.PLAN, b"new", 0.0),
        Side(Kind.RECALLED, b"frames", 0.0),
    ]


def test_of_messages_that_say_how_things_are_the_newest_is_sent() -> None:
    mailbox = Mailbox(4, Delivery.LATEST)
    first, second = (Loading(stage=stage, fraction=0.5, eta_s=None) for stage in "ab")
    for message in (first, Paused(paused=True), Event(text="x"), second, Paused(paused=False)):
        assert mailbox.tell(message)
    assert drain(mailbox) == [second, Paused(paused=False), Event(text="x")]


def test_more_answers_than_anybody_reads_are_refused() -> None:
    mailbox = Mailbox(4, Delivery.LATEST)
    told = [mailbox.tell(Event(text="x")) for _ in range(MOST_MESSAGES + 1)]
    assert told == [True] * MOST_MESSAGES + [False]


def test_keys_all_over_only_the_newest_stays_when_there_are_too_many() -> None:
    mailbox = Mailbox(3, Delivery.LATEST)
    for number in range(4):
        mailbox.show(shot(number))
    assert drain(mailbox) == [shot(3)] and mailbox.dropped == 3


def test_without_a_loss_nothing_is_dropped() -> None:
    mailbox = Mailbox(3, Delivery.LOSSLESS)
    for number in range(40):
        mailbox.show(shot(number))
    assert drain(mailbox) == [shot(number) for number in range(40)] and mailbox.dropped == 0


def test_a_key_is_asked_for_before_frames_that_hang_on_others_are_dropped() -> None:
    mailbox = Mailbox(3, Delivery.LATEST)
    assert mailbox.wants_key
    mailbox.show(shot(0, key=False))
    assert len(mailbox) == 0, "nothing shows before a key frame"
    mailbox.show(shot(1))
    assert not mailbox.wants_key
    for number in range(2, 6):
        mailbox.show(shot(number, key=False))
    assert mailbox.wants_key and mailbox.frames == 5
    mailbox.show(shot(6))
    assert drain(mailbox) == [shot(6)] and mailbox.dropped == 5


def test_after_forgetting_a_key_comes_first() -> None:
    mailbox = Mailbox(3, Delivery.LATEST)
    mailbox.show(shot(1))
    mailbox.show_beside(Side(Kind.PLAN, b"plan", 0.0))
    mailbox.forget()
    assert len(mailbox) == 0 and mailbox.wants_key


@given(st.lists(st.tuples(st.sampled_from(["key", "delta", "take"]), st.integers(1, 5))))
def test_it_is_bounded_and_all_that_comes_out_can_be_decoded(
    script: list[tuple[str, int]],
) -> None:
    """A frame that is no key comes out only right after the one before it."""
    mailbox = Mailbox(3, Delivery.LATEST)
    number, shown, before = 0, 0, -1
    for what, times in script:
        for _ in range(times):
            if what == "take":
                out = mailbox.take()
                if isinstance(out, Shot):
                    index = int(out.packet)
                    assert index > before and (out.key or index == before + 1)
                    before, shown = index, shown + 1
            else:
                mailbox.show(shot(number, key=what == "key"))
                number += 1
            assert mailbox.frames <= PATIENCE * 3
    assert mailbox.dropped + shown + mailbox.frames <= number


def test_who_takes_nothing_and_loses_nothing_must_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SHOTS", 5)
    box = Mailbox(2, Delivery.LOSSLESS)
    assert [box.show(shot(index)) for index in range(7)] == [True] * 5 + [False] * 2
    assert box.frames == 5

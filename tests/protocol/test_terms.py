from worldrt.geometry.keys import Keys
from worldrt.protocol import terms
from worldrt.protocol.declared import fields
from worldrt.protocol.terms import (
    ACK_S,
    HEARTBEAT_S,
    KEYMAP,
    MAX_INPUTS,
    MAX_MESSAGES,
    SILENCE_S,
    Close,
)


def test_the_keys_are_those_of_the_walk() -> None:
    assert {Keys[letter].value: letter for letter in KEYMAP} == {v: k for k, v in KEYMAP.items()}
    assert sum(KEYMAP.values()) == sum(key.value for key in Keys)


def test_a_few_lost_heartbeats_let_go_of_nothing() -> None:
    assert SILENCE_S >= 5 * HEARTBEAT_S


def test_a_client_that_does_as_told_is_never_too_loud() -> None:
    assert 1 / HEARTBEAT_S < MAX_INPUTS
    assert MAX_INPUTS + 1 / ACK_S < MAX_MESSAGES


def test_codes_of_our_own_are_in_the_private_range() -> None:
    ours = set(Close) - {Close.GOING_AWAY, Close.TOO_BIG}
    assert all(4000 <= code <= 4999 for code in ours)
    assert len(ours) == len(Close) - 2


def test_who_is_sent_away_for_good_does_not_come_back_by_itself() -> None:
    assert {code for code in Close if code.retryable} == {Close.GOING_AWAY, Close.FULL}


def test_every_limit_says_its_unit() -> None:
    for field in fields(terms):
        assert field.text or field.annotation, f"{field.name} says nothing of itself"

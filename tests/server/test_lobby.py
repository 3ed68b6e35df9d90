import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worldrt.protocol.terms import Close
from worldrt.server.access import Refusal
from worldrt.server.lobby import Lobby, Turn

IDLE, LIFE, AWAY = 60.0, 600.0, 30.0


def lobby(
    places: int = 1, waiting: int = 9, idle_s: float = IDLE, lifetime_s: float = LIFE
) -> Lobby:
    return Lobby(places, waiting, idle_s, lifetime_s, AWAY)


def test_places_are_given_in_order() -> None:
    house = lobby(places=2, waiting=2)
    assert [house.enter(name, 0.0) for name in "abcd"] == [None] * 4
    assert (house.seated, house.queue) == (("a", "b"), ("c", "d"))
    assert house.enter("e", 0.0) == Refusal(
        Close.FULL, "All 2 places are taken and 2 wait already."
    )
    house.leave("b")
    assert house.tick(1.0).seated == ["c"]
    assert (house.seated, house.queue) == (("a", "c"), ("d",))


def test_who_comes_late_does_not_pass_by_the_queue() -> None:
    house = lobby(places=1)
    for name in "ab":
        house.enter(name, 0.0)
    house.leave("a")
    house.enter("c", 1.0)
    assert house.tick(1.0).seated == ["b"]
    assert house.queue == ("c",)


@pytest.mark.parametrize(
    "idle_s, when, refusal",
    [
        (IDLE, IDLE, Refusal(Close.IDLE, "No key was pressed for 60 s.")),
        (math.inf, LIFE, Refusal(Close.LIFETIME, "A session lasts 600 s at most.")),
    ],
)
def test_who_stays_too_long_must_go(idle_s: float, when: float, refusal: Refusal) -> None:
    house = lobby(idle_s=idle_s)
    house.enter("a", 5.0)
    house.enter("b", 5.0)
    assert house.tick(5 + when - 0.1) == ([], [])
    assert house.tick(5 + when) == ([("a", refusal)], ["b"])
    assert house.seated == ("b",)


def test_a_key_puts_off_idleness_and_not_the_end() -> None:
    house = lobby()
    house.enter("a", 0.0)
    for now in range(0, int(LIFE), 50):
        house.active("a", now)
        assert house.tick(now) == ([], [])
    assert [refusal.code for _, refusal in house.tick(LIFE).gone] == [Close.LIFETIME]


def test_nobody_must_go_without_limits() -> None:
    house = lobby(idle_s=math.inf, lifetime_s=math.inf)
    house.enter("a", 0.0)
    house.enter("b", 0.0)
    assert house.tick(1e9) == ([], [])
    assert house.turn("b", 1e9) == Turn(1, 1, None)


def test_a_place_is_kept_for_a_while() -> None:
    house = lobby()
    house.enter("a", 0.0)
    house.detach("a", 1.0)
    assert house.tick(1 + AWAY - 0.1) == ([], [])
    assert house.attach("a", 1 + AWAY - 0.1)
    assert house.tick(1 + AWAY) == ([], [])
    house.detach("a", 100.0)
    gone = [("a", Refusal(Close.ENDED, "Nobody came back within 30 s."))]
    assert house.tick(100 + AWAY).gone == gone
    assert not house.attach("a", 100 + AWAY)


def test_who_comes_back_has_not_been_idle() -> None:
    house = lobby()
    house.enter("a", 0.0)
    house.detach("a", IDLE - 2)
    house.attach("a", IDLE - 1)
    assert house.tick(IDLE) == ([], [])


def test_who_waits_and_is_lost_has_lost_the_turn() -> None:
    house = lobby()
    for name in "abc":
        house.enter(name, 0.0)
    house.detach("b", 1.0)
    assert house.queue == ("c",)
    assert not house.attach("b", 1.0)


def test_each_learns_when_a_place_must_be_free() -> None:
    """By the longest that each before it may stay."""
    house = lobby(places=2, idle_s=math.inf)
    house.enter("a", 0.0)
    house.enter("b", 100.0)
    for name in "cdef":
        house.enter(name, 100.0)
    etas = [house.turn(name, 200.0) for name in "cdef"]
    assert etas == [
        Turn(1, 4, 400.0),
        Turn(2, 4, 500.0),
        Turn(3, 4, 400.0 + LIFE),
        Turn(4, 4, 500.0 + LIFE),
    ]
    assert house.turn("a", 200.0) is None
    assert house.turn("nobody", 200.0) is None
    house.leave("a")
    assert house.turn("c", 200.0) == Turn(1, 4, 0.0)


@dataclass
class Guest:
    """What an onlooker knows of one that has not gone."""

    came: int
    seated: float | None
    active: float
    away: float | None = None


@dataclass
class Book:
    """An onlooker's notes, slow and obvious."""

    guests: dict[str, Guest] = field(default_factory=dict)
    order: int = 0


class AnyDay(RuleBasedStateMachine):
    """Guests come, press keys, vanish, return and leave at random; an onlooker keeps book."""

    PLACES, WAITING = 2, 3

    def __init__(self) -> None:
        super().__init__()
        self.house = lobby(self.PLACES, self.WAITING)
        self.book = Book()
        self.now = 0.0
        self.etas: dict[str, float] = {}
        self.late = 0.0

    def pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.book.guests)))

    @rule()
    def comes(self) -> None:
        self.book.order += 1
        name, order = f"guest {self.book.order}", self.book.order
        seated = sum(guest.seated is not None for guest in self.book.guests.values())
        waiting = len(self.book.guests) - seated
        refusal = self.house.enter(name, self.now)
        if seated < self.PLACES and not waiting:
            self.book.guests[name] = Guest(order, self.now, self.now)
        elif waiting < self.WAITING:
            self.book.guests[name] = Guest(order, None, self.now)
        else:
            assert refusal is not None and refusal.code is Close.FULL
            return
        assert refusal is None

    @precondition(lambda self: self.book.guests)
    @rule(data=st.data())
    def presses(self, data: st.DataObject) -> None:
        name = self.pick(data)
        self.house.active(name, self.now)
        self.book.guests[name].active = self.now

    @precondition(lambda self: self.book.guests)
    @rule(data=st.data())
    def vanishes(self, data: st.DataObject) -> None:
        name = self.pick(data)
        self.house.detach(name, self.now)
        if self.book.guests[name].seated is None:
            del self.book.guests[name]
        else:
            self.book.guests[name].away = self.now

    @precondition(lambda self: self.book.guests)
    @rule(data=st.data())
    def returns(self, data: st.DataObject) -> None:
        name = self.pick(data)
        guest = self.book.guests[name]
        assert self.house.attach(name, self.now) is (guest.seated is not None)
        if guest.seated is not None:
            guest.away, guest.active = None, self.now

    @precondition(lambda self: self.book.guests)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        name = self.pick(data)
        self.house.leave(name)
        del self.book.guests[name]

    @rule(pause=st.floats(0.1, 100))
    def time_goes_by(self, pause: float) -> None:
        self.look()
        self.now += pause
        self.late = pause
        self.look()

    def look(self) -> None:
        gone, seated = self.house.tick(self.now)
        due = {}
        for name, guest in self.book.guests.items():
            if guest.seated is None:
                continue
            if guest.away is not None and self.now - guest.away >= AWAY:
                due[name] = Close.ENDED
            elif self.now - guest.seated >= LIFE:
                due[name] = Close.LIFETIME
            elif self.now - guest.active >= IDLE:
                due[name] = Close.IDLE
        assert {name: refusal.code for name, refusal in gone} == due
        for name in due:
            del self.book.guests[name]
        queue = sorted(
            (guest.came, name) for name, guest in self.book.guests.items() if guest.seated is None
        )
        free = self.PLACES - (len(self.book.guests) - len(queue))
        assert seated == [name for _, name in queue[:free]]
        for name in seated:
            self.book.guests[name].seated = self.book.guests[name].active = self.now

    @invariant()
    def the_books_agree(self) -> None:
        book = self.book.guests
        assert len(self.house.seated) <= self.PLACES
        assert set(self.house.seated) == {n for n in book if book[n].seated is not None}
        waiting = [name for name in book if book[name].seated is None]
        assert list(self.house.queue) == waiting

    @invariant()
    def nobody_waits_longer_than_was_said(self) -> None:
        """An announced time of admission is never put off but by looking late."""
        etas = {}
        for position, name in enumerate(self.house.queue, start=1):
            turn = self.house.turn(name, self.now)
            assert turn is not None and turn.eta_s is not None
            assert (turn.position, turn.waiting) == (position, len(self.house.queue))
            etas[name] = self.now + turn.eta_s
            assert etas[name] <= self.etas.get(name, math.inf) + self.late + 1e-6
        self.etas, self.late = etas, 0.0

    def teardown(self) -> None:
        for name in list(self.book.guests):
            self.house.leave(name)
        assert (self.house.seated, self.house.queue) == ((), ())


TestAnyDay = AnyDay.TestCase
TestAnyDay.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 20))
def test_never_more_than_there_are_places(places: int, waiting: int, guests: int) -> None:
    house = lobby(places, waiting)
    refused = [house.enter(str(n), 0.0) for n in range(guests)]
    assert len(house.seated) == min(guests, places)
    assert len(house.queue) == min(max(guests - places, 0), waiting)
    assert sum(refusal is not None for refusal in refused) == max(guests - places - waiting, 0)


def test_every_reason_fits_a_closing_frame() -> None:
    """123 bytes are all that a WebSocket's close can say."""
    house = Lobby(999, 0, 123456.5, 123456.5, 123456.5)
    for n in range(999):
        house.enter(str(n), 0.0)
    house.detach("0", 0.0)
    house.active("1", 123456.0)
    reasons = [house.enter("one more", 0.0), *(r for _, r in house.tick(123456.5).gone)]
    for reason in reasons:
        assert reason is not None and len(reason.why.encode()) <= 123

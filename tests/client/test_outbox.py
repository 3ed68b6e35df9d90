"""What a client says and when, in a time of our own."""

from hypothesis import given
from hypothesis import strategies as st

from worldrt.client.outbox import INPUT_US, MOST_CHANGES, NEVER, Outbox
from worldrt.protocol.requests import Ack, Clock, Input, Pause, Step
from worldrt.protocol.terms import ACK_S, HEARTBEAT_S, MAX_INPUTS, MAX_MESSAGES, Message

SECOND = 1_000_000


def walking(now_us: int = 0) -> Outbox:
    outbox = Outbox()
    outbox.begin(now_us)
    outbox.go(now_us)
    return outbox


def spent(outbox: Outbox, begun: int, end: int) -> list[tuple[int, Message]]:
    """All that is said until `end`, each as soon as it is due."""
    said, now = [], begun
    while True:
        now = max(now, outbox.next_us())
        if now > end:
            return said
        said += [(round(now), message) for message in outbox.take(round(now))]


def inputs(said: list[tuple[int, Message]]) -> list[Input]:
    return [message for _, message in said if isinstance(message, Input)]


def ack(frame: int, epoch: int = 1, lag_ms: float | None = None) -> Ack:
    return Ack(epoch=epoch, frame=frame, shown_us=frame, lag_ms=lag_ms)


def test_before_the_welcome_there_is_nothing_to_say() -> None:
    outbox = Outbox()
    assert outbox.next_us() == NEVER and outbox.take(10**9) == []


def test_a_tap_is_two_messages_and_nothing_more() -> None:
    outbox = walking()
    assert outbox.hold(5, keys=1) == 1
    assert outbox.hold(9, keys=0) == 2
    assert outbox.hold(9, keys=0) is None
    said = spent(outbox, 9, SECOND)
    assert inputs(said) == [Input(seq=1, t_us=5, keys=1), Input(seq=2, t_us=9)]
    times = [at for at, message in said if isinstance(message, Input)]
    assert times == [9, 9 + INPUT_US]


def test_what_is_held_is_said_again_and_again() -> None:
    outbox = walking()
    outbox.hold(0, keys=3, axes=(0.0, 0.5, 0.0, 0.0))
    said = inputs(spent(outbox, 0, SECOND))
    assert len(said) == 1 + int(1 / HEARTBEAT_S)
    assert [each.seq for each in said] == list(range(1, len(said) + 1))
    assert {(each.t_us, each.keys, each.axes) for each in said} == {(0, 3, (0.0, 0.5, 0.0, 0.0))}


def test_the_mouse_adds_up_and_keeps_the_key_and_its_time() -> None:
    outbox = walking()
    outbox.hold(7, keys=1)
    for _ in range(1000):
        assert outbox.hold(8, turned=(0.5, -0.25)) is None
    said = inputs(spent(outbox, 8, 8))
    assert len(said) == 1 and said[0].look == (500.0, -250.0)
    assert (said[0].keys, said[0].t_us) == (1, 7)


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3)), max_size=300))
def test_however_fast_keys_change_the_server_hears_the_last_state_within_its_limits(
    changes: list[tuple[int, int]],
) -> None:
    outbox, now, keys = walking(), 0, 0
    said: list[tuple[int, Message]] = []
    for after, keys in changes:
        said += spent(outbox, now, now + after)
        now += after
        outbox.hold(now, keys=keys)
    said += spent(outbox, now, now + SECOND)
    told = inputs(said)
    assert [each.seq for each in told] == sorted({each.seq for each in told})
    assert (told[-1].keys if told else 0) == keys
    for index, (at, _) in enumerate(said):
        within = [message for later, message in said[index:] if later < at + SECOND]
        assert len(inputs([(0, each) for each in within])) <= min(MAX_INPUTS, SECOND / INPUT_US)
        assert len(within) <= MAX_MESSAGES


def test_what_waits_is_bounded() -> None:
    outbox = walking()
    for number in range(10 * MOST_CHANGES):
        outbox.hold(1, keys=1 + number % 2)
    assert len(inputs(spent(outbox, 1, 1 + MOST_CHANGES * INPUT_US))) <= MOST_CHANGES + 1


def test_acknowledgements_keep_the_newest_and_their_distance() -> None:
    outbox = walking()
    outbox.shown(ack(1))
    assert [m for m in outbox.take(0) if isinstance(m, Ack)] == [ack(1)]
    outbox.shown(ack(2, lag_ms=5.0))
    outbox.shown(ack(4))
    outbox.shown(ack(3))
    assert not any(isinstance(m, Ack) for m in outbox.take(round(ACK_S * SECOND) - 1))
    said = [m for _, m in spent(outbox, 0, SECOND) if isinstance(m, Ack)]
    assert said == [ack(4, lag_ms=5.0)]
    outbox.shown(ack(0, epoch=2))
    assert ack(0, epoch=2) in outbox.take(2 * SECOND)


def test_requests_go_first_and_at_once() -> None:
    outbox = walking()
    outbox.hold(0, keys=1)
    outbox.ask(Pause(paused=True))
    outbox.ask(Step())
    assert outbox.next_us() == 0
    assert outbox.take(0) == [
        Pause(paused=True),
        Step(),
        Input(seq=1, t_us=0, keys=1),
        Clock(t0_us=0),
    ]


def test_the_clock_is_asked_often_at_first() -> None:
    times = [at for at, message in spent(walking(), 0, 10 * SECOND) if isinstance(message, Clock)]
    assert times[:9] == [100_000 * number for number in range(9)]
    assert times[9:] == [800_000 + 2 * SECOND * number for number in range(1, 5)]


def test_in_a_new_connection_keys_stay_held_and_all_else_is_void() -> None:
    outbox = walking()
    outbox.hold(0, keys=5, turned=(30.0, 0.0))
    outbox.ask(Step())
    outbox.shown(ack(9))
    outbox.reset()
    assert outbox.take(10) == []
    outbox.begin(20)
    assert outbox.take(20) == [Clock(t0_us=20)]
    outbox.go(30)
    assert inputs(spent(outbox, 30, 30)) == [Input(seq=2, t_us=0, keys=5)]
    outbox.shown(ack(3, epoch=1))
    assert ack(3, epoch=1) in outbox.take(SECOND)


def test_in_a_new_connection_nothing_held_is_said_once() -> None:
    """Else no frame of it would ever be known to obey the release."""
    outbox = walking()
    outbox.hold(0, keys=1)
    outbox.hold(1, keys=0)
    outbox.reset()
    outbox.begin(2)
    outbox.go(2)
    assert inputs(spent(outbox, 2, SECOND)) == [Input(seq=3, t_us=1)]

"""The server's clock, from samples whose ways there and back took different times."""

from hypothesis import given
from hypothesis import strategies as st

from worldrt.client.clock import KEPT, ServerClock
from worldrt.protocol.replies import ClockIs

delays = st.integers(0, 500_000)


def asked(offset: int, t0: int, there: int, thought: int, back: int) -> tuple[ClockIs, int]:
    """An answer of a server whose clock is `offset` ahead, and when it comes."""
    t1 = t0 + there + offset
    return ClockIs(t0_us=t0, t1_us=t1, t2_us=t1 + thought), t0 + there + thought + back


def test_before_an_answer_both_clocks_count_as_one() -> None:
    clock = ServerClock()
    assert (clock.known, clock.here(77), clock.round_trip_us) == (False, 77, 0)


@given(
    offset=st.integers(0, 10**12),
    trips=st.lists(st.tuples(delays, delays, delays), min_size=1, max_size=KEPT),
)
def test_it_is_off_by_half_the_shortest_round_trip_at_most(
    offset: int, trips: list[tuple[int, int, int]]
) -> None:
    clock = ServerClock()
    for number, (there, thought, back) in enumerate(trips):
        clock.take(*asked(offset, 10**6 * number, there, thought, back))
    assert clock.known
    assert clock.round_trip_us == min(there + back for there, _, back in trips)
    assert abs(clock.here(offset + 10**9) - 10**9) <= clock.round_trip_us / 2 + 1


def test_an_even_way_is_exact_and_old_samples_are_forgotten() -> None:
    clock = ServerClock()
    clock.take(*asked(offset=5000, t0=0, there=10, thought=3, back=10))
    assert clock.here(5000) == 0
    for number in range(KEPT):
        clock.take(*asked(offset=9000, t0=number, there=400, thought=3, back=400))
    assert clock.here(9000) == 0

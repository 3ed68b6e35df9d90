"""A screen in a time of our own: each frame a period after the one before, stalls counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.client.pictures import Frame
from worldrt.client.screen import FEW, STALL_US, Screen
from worldrt.protocol.packets import Flag, Header

PERIOD = 20_000


def frame(number: int, at_us: int, flags: Flag = Flag.KEY) -> Frame:
    header = Header(frame=number, flags=flags)
    return Frame(
        header=header,
        rgb=np.zeros((1, 1, 3), np.uint8),
        pose=np.eye(4),
        depth=None,
        arrived_us=at_us,
        decoded_us=at_us,
    )


def shown(screen: Screen, until: int) -> list[tuple[int, int]]:
    """When which frame is put up, if somebody looks at just the right time."""
    found = []
    while (due := screen.next_us()) is not None and due <= until:
        each = screen.show(round(due))
        assert each is not None
        found.append((round(due), each.header.frame))
    return found


def test_a_burst_leaves_evenly() -> None:
    screen = Screen(50.0, 20)
    for number in range(5):
        screen.add(frame(number, 1000))
    assert screen.show(999) is None
    assert shown(screen, 10**6) == [(1000 + PERIOD * number, number) for number in range(5)]
    assert (screen.shown, screen.dropped, screen.stalls) == (5, 0, 0)


def test_a_late_frame_is_shown_as_it_comes_and_time_goes_on_from_there() -> None:
    screen = Screen(50.0, 20)
    screen.add(frame(0, 0))
    assert shown(screen, 10**6) == [(0, 0)]
    for number in (1, 2):
        screen.add(frame(number, 300_000))
    assert shown(screen, 10**6) == [(300_000, 1), (320_000, 2)]
    assert (screen.stalls, screen.longest_us) == (1, 300_000)


def test_being_woken_late_does_not_slow_the_walk() -> None:
    screen, ends = Screen(50.0, 99), []
    for number in range(50):
        screen.add(frame(number, 0))
    while (due := screen.next_us()) is not None:
        ends.append(due)
        assert screen.show(round(due) + 3000) is not None
    assert ends[-1] == pytest.approx(49 * PERIOD)


def test_a_newer_input_does_not_wait_for_old_frames() -> None:
    screen = Screen(50.0, 20)
    for number in range(8):
        screen.add(frame(number, 0))
    screen.add(frame(8, 0, Flag.KEY | Flag.CUTOVER))
    assert [number for _, number in shown(screen, 10**6)] == [*range(8 - FEW, 8), 8]
    assert screen.dropped == 8 - FEW


def test_rest_and_restart_are_no_stalls() -> None:
    screen = Screen(50.0, 20)
    screen.add(frame(0, 0))
    shown(screen, 0)
    screen.rest()
    screen.add(frame(1, 10**7))
    assert shown(screen, 10**7) == [(10**7, 1)]
    screen.add(frame(2, 10**7))
    screen.restart()
    assert len(screen) == 0 and screen.next_us() is None
    screen.add(frame(0, 2 * 10**7))
    assert shown(screen, 2 * 10**7) == [(2 * 10**7, 0)]
    assert (screen.stalls, screen.longest_us) == (0, 0)


@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=60), st.integers(1, 9))
def test_frames_are_shown_in_order_never_early_and_never_more_than_may_wait(
    gaps: list[int], most: int
) -> None:
    screen, now, seen = Screen(50.0, most), 0, []
    for number, gap in enumerate(gaps):
        seen += shown(screen, now + gap)
        now += gap
        screen.add(frame(number, now))
        assert len(screen) <= most
    seen += shown(screen, now + 10**7)
    numbers, times = [number for _, number in seen], [at for at, _ in seen]
    assert numbers == sorted(numbers) and numbers[-1] == len(gaps) - 1
    assert len(numbers) == screen.shown == len(gaps) - screen.dropped
    pauses = np.diff(times)
    assert np.all(pauses >= PERIOD)
    assert screen.stalls == np.sum(pauses > STALL_US)
    assert screen.longest_us == max(pauses, default=0)

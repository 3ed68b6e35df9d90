import heapq
import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.server.pacing import FIRST_MARGIN, LEAST_MARGIN, MOST_MARGIN, Pacer

FPS, BLOCK = 15.0, 4


@dataclass
class Play:
    """A server, a line and a screen of 60 pictures a second, simulated in steps of 2 ms."""

    pacer: Pacer
    took: Callable[[Random], float]
    """Seconds of the next block."""
    there: float = 0.02
    """Seconds from a block's end to its first frame's arrival; further ones follow by 2 ms."""
    back: float = 0.005
    """Seconds of an acknowledgement."""
    acks: bool = True
    fps: float = FPS
    block: int = BLOCK
    random: Random = field(default_factory=lambda: Random(7))
    arrived: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    """When each block was."""
    most_ahead: int = 0
    """Frames made beyond the newest that was acknowledged."""
    _heap: list[tuple[float, int, int]] = field(default_factory=list)
    _epoch: float = 0.0
    _acked: int = -1

    def run(self, seconds: float) -> None:
        now = 0.0
        while now < seconds:
            self._advance(now)
            due = self.pacer.due(now)
            if due is None or due > now:
                now += 0.002
                continue
            took = self.took(self.random)
            self.began.append(now)
            now += took
            self._advance(now)
            self.pacer.generated(self.block, took, now)
            for index in range(self.block):
                at = now + self.there + 0.002 * index
                self.arrived.append(max(at, self.arrived[-1] if self.arrived else 0.0))
            self.most_ahead = max(self.most_ahead, len(self.arrived) - 1 - self._acked)

    def _advance(self, now: float) -> None:
        while True:
            self._show(now)
            if not (self._heap and self._heap[0][0] <= now):
                return
            when, frame, buffered = heapq.heappop(self._heap)
            self.pacer.acked(frame, buffered, when)
            self._acked = max(self._acked, frame)

    def _show(self, now: float) -> None:
        while len(self.shown) < len(self.arrived):
            frame = len(self.shown)
            wanted = self._epoch + frame / self.fps
            at = max(wanted, self.arrived[frame])
            refreshed = math.ceil(at * 60 - 1e-6) / 60
            if refreshed > now:
                return
            self._epoch += at - wanted
            self.shown.append(refreshed)
            buffered = sum(at <= refreshed for at in self.arrived[frame + 1 :])
            if self.acks:
                heapq.heappush(self._heap, (refreshed + self.back, frame, buffered))

    def gaps(self) -> list[float]:
        """Seconds that each frame came late on the screen."""
        return [b - a - 1 / self.fps for a, b in zip(self.shown[:-1], self.shown[1:], strict=True)]

    def lags(self) -> list[float]:
        """Seconds from keys pressed at random to their first frame on the screen, ordered."""
        lags = []
        for _ in range(2000):
            pressed = self.random.uniform(0.1, 0.9) * self.began[-1]
            frame = bisect_left(self.began, pressed + self.back) * self.block
            lags.append(self.shown[frame] - pressed)
        return sorted(lags)


def steady(seconds: float, spread: float = 0.0) -> Callable[[Random], float]:
    """Block times about `seconds`, log-normal."""
    return lambda random: seconds * random.lognormvariate(0, spread)


@pytest.mark.parametrize(
    "took, there, fps, block",
    [(0.12, 0.02, 15, 4), (0.15, 0.03, 15, 4), (0.27, 0.03, 24, 12), (0.03, 0.01, 60, 4)],
)
def test_control_is_fresh_and_the_screen_does_not_stop(
    took: float, there: float, fps: float, block: int
) -> None:
    """Where there is time to spare: p95 of motion to photon within 1.5 blocks and 100 ms."""
    play = Play(Pacer(fps, block, 1000), steady(took, 0.1), there, fps=fps, block=block)
    play.run(120)
    assert len(play.shown) > 0.97 * 120 * fps
    assert max(play.gaps()) < 0.15
    assert sum(gap > 0.03 for gap in play.gaps()) < 12
    lags = play.lags()
    assert lags[1900] < 1.5 * block / fps + 0.1


def test_blocks_are_begun_as_late_as_the_margin_allows() -> None:
    """Not as early as the lead allows: that would be seconds of lag."""
    play = Play(Pacer(FPS, BLOCK, 5000), steady(0.05))
    play.run(60)
    assert play.most_ahead <= 2 * BLOCK - 1
    assert play.lags()[1000] < 0.5 * BLOCK / FPS + 0.05 + 0.15


def test_jitter_widens_the_margin_and_calm_narrows_it() -> None:
    pacer = Pacer(FPS, BLOCK, 1000)
    play = Play(pacer, steady(0.12, 0.5))
    play.run(60)
    wild = pacer.margin
    assert FIRST_MARGIN < wild <= MOST_MARGIN
    pacer = Pacer(FPS, BLOCK, 1000)
    pacer.margin = wild
    calm = Play(pacer, steady(0.12))
    calm.run(120)
    assert LEAST_MARGIN <= pacer.margin < wild
    assert pacer.margin < 0.02 + 1.2 / FPS
    assert max(calm.gaps()[60:]) < 0.03


@pytest.mark.parametrize("lead_ms", [50, 1000])
def test_a_machine_below_real_time_never_rests(lead_ms: float) -> None:
    """Each block is begun when the one before is there, though that is on its way for a while."""
    play = Play(Pacer(FPS, BLOCK, lead_ms), steady(0.4), there=0.08)
    play.run(60)
    assert len(play.began) >= 0.98 * 60 / 0.4
    assert play.most_ahead <= 2 * BLOCK
    assert play.lags()[1900] < 2 * 0.4 + 0.1


def test_a_slow_first_block_is_no_measure() -> None:
    times = iter([30.0])
    play = Play(Pacer(FPS, BLOCK, 5000), lambda random: next(times, 0.1))
    play.run(60)
    assert play.most_ahead < 12


@pytest.mark.parametrize("lead_ms, frames", [(50, 8), (533, 8), (800, 12), (1000, 12), (3000, 44)])
def test_who_acknowledges_nothing_stops_the_world(lead_ms: float, frames: int) -> None:
    pacer = Pacer(FPS, BLOCK, lead_ms)
    play = Play(pacer, steady(0.1), acks=False)
    play.run(20)
    assert len(play.arrived) == frames
    assert pacer.due(1e9) is None
    pacer.acked(frames - 1, 0, 20.0)
    assert pacer.due(20.0) is not None


def test_a_pause_of_the_client_ends_at_once() -> None:
    pacer = Pacer(FPS, BLOCK, 1000)
    play = Play(pacer, steady(0.1))
    play.run(10)
    pacer.restart()
    assert pacer.due(50.0) == 50.0
    assert pacer.lead_ms(50.0) == 0


def test_lead_is_the_time_until_the_screen_runs_dry() -> None:
    pacer = Pacer(10, 5, 1000)
    assert pacer.lead_ms(0.0) == 0
    pacer.generated(5, 0.2, 1.0)
    pacer.acked(0, 4, 1.05)
    assert pacer.lead_ms(1.05) == pytest.approx(500, abs=50)
    pacer.acked(4, 0, 1.45)
    assert pacer.lead_ms(1.45) == pytest.approx(100, abs=50)
    assert pacer.lead_ms(9.0) == 0


def test_max_lead_may_change_at_any_time() -> None:
    pacer = Pacer(FPS, BLOCK, 50)
    for _ in range(2):
        pacer.generated(BLOCK, 0.1, 1.0)
    assert pacer.due(1.0) is None
    pacer.max_lead_ms = 900
    assert pacer.due(1.0) is not None


def test_nonsense_of_a_client_is_passed_over() -> None:
    pacer = Pacer(FPS, BLOCK, 50)
    pacer.generated(BLOCK, 0.1, 1.0)
    pacer.acked(2**32 - 1, 2**32 - 1, 1.1)
    before = pacer.due(1.1)
    pacer.acked(0, 0, 1.2)
    assert pacer.due(1.2) == before
    for _ in range(2):
        pacer.generated(BLOCK, 0.1, 1.3)
    assert pacer.due(1.3) is None


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.floats(0, 0.5)), max_size=60),
    st.floats(50, 3000),
    st.integers(1, 7),
)
def test_the_lead_is_bounded_whatever_is_acknowledged(
    news: list[tuple[int, int, float]], lead_ms: float, block: int
) -> None:
    """By max_lead_ms, or by the block on its way and one more."""
    pacer, made, acked, now = Pacer(FPS, block, lead_ms), 0, -1, 1.0
    most = max(lead_ms / 1000 * FPS, 2 * block)
    for frame, buffered, pause in news:
        now += pause
        due = pacer.due(now)
        ahead = made - 1 - acked
        assert (due is None) == (ahead > block and ahead + block > lead_ms / 1000 * FPS)
        if due is not None and due <= now:
            made += block
            pacer.generated(block, pause, now)
            assert made - 1 - acked <= most
        pacer.acked(frame, buffered, now)
        acked = max(acked, min(frame, made - 1))
        assert LEAST_MARGIN <= pacer.margin <= MOST_MARGIN


def test_a_walk_goes_on_after_what_was_made_last() -> None:
    """Also where its session has not counted the block yet, whose clean pass still runs."""
    pacer = Pacer(15.0, 4, 500)
    pacer.generated(4, 0.05, 1.0)
    pacer.generated(4, 0.05, 1.2)
    pacer.restart()
    assert pacer.due(2.0) == 2.0
    pacer.generated(4, 0.05, 2.05)
    pacer.acked(11, 0, 2.2)  # the twelfth frame: nothing is ahead of it
    assert pacer.lead_ms(2.2) < 1000 / 15 + 1

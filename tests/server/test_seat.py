"""A seat: when its next block is due, and what becomes of a session in it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from worldrt.actions import ActionLog, header_of
from worldrt.memory.policy import SwitchMode
from worldrt.protocol.requests import Input
from worldrt.server.inputs import Inputs
from worldrt.server.pacing import Pacer
from worldrt.server.seat import Seat, Seen
from worldrt.session import Session
from worldrt.starts import Start
from worldrt.world import World


class Held(Pacer):
    """A pacer that is due when it is told."""

    when: float | None = 5.0
    restarted = 0

    def due(self, now: float) -> float | None:
        return self.when

    def restart(self) -> None:
        self.restarted += 1


@pytest.fixture
def seat(world: World, start: Start) -> Iterator[Seat]:
    session = Session(world, start)
    pacer = Held(world.config.fps, world.config.block_frames, 500)
    one = Seat(session, Inputs(), pacer, None, None, *[lambda *_: None] * 3)
    yield one
    one.close()


def test_a_walk_is_due_when_its_pacer_says(seat: Seat) -> None:
    assert seat.due(3.0) == 5.0
    seat.pacer.when = None  # type: ignore[attr-defined]
    assert seat.due(3.0) is None


def test_nothing_is_due_while_it_is_paused_or_away_but_a_step(seat: Seat) -> None:
    seat.stand(paused=True)
    assert seat.due(3.0) is None
    seat.step()
    assert seat.due(3.0) == 3.0
    seat.stand(away=True)
    assert seat.due(3.0) is None, "the step is forgotten with the client"
    seat.step()
    assert seat.due(3.0) is None
    seat.stand(away=False)
    assert seat.due(3.0) is None, "still paused"
    seat.stand(paused=False)
    assert seat.due(3.0) == 5.0


def test_a_step_needs_a_screen_that_has_room(seat: Seat) -> None:
    seat.stand(paused=True)
    seat.step()
    seat.pacer.when = None  # type: ignore[attr-defined]
    assert seat.due(3.0) is None


def test_pacing_begins_anew_when_it_goes_on_and_not_before(seat: Seat) -> None:
    pacer = seat.pacer
    assert isinstance(pacer, Held)
    before = pacer.restarted
    seat.stand(paused=False)
    seat.stand(paused=True)
    seat.stand(away=True)
    seat.stand(paused=False)
    assert pacer.restarted == before
    seat.stand(away=False)
    assert pacer.restarted == before + 1


def test_a_block_obeys_what_is_held_when_it_begins(seat: Seat) -> None:
    import time

    seat.inputs.take(Input(seq=4, t_us=1, keys=128), time.monotonic())
    shown: list[Seen] = []
    made = seat.block(lambda seen: (shown.append(seen), time.sleep(0.01)))
    seen = made.seen
    assert shown == [seen]
    assert seen.latched.seq == 4 and seen.latched.keys == 128
    assert np.array_equal(seen.latched.axes, [[0, 0, 1, 0]] * 4)
    assert seen.index == 0 and seat.blocks == 1
    assert seen.began < seen.done <= made.ended - 0.01
    assert seen.sight.frames is made.chunk.frames
    assert "clean" not in seen.sight.stage_ms and "clean" in made.chunk.stage_ms
    assert made.points > 0 and made.keyframes > 0 and made.memory_bytes > 0
    assert seat.block(print).chunk.first == 4


def test_switches_and_policies_hold_for_the_next_block(seat: Seat) -> None:
    seat.block(print)
    assert seat.switch(SwitchMode.KEEP) == 1
    assert seat.use_policy("infinity") == 1
    made = seat.block(print)
    assert [type(each).__name__ for each in made.chunk.switches] == ["Receipt", "PolicyReceipt"]
    assert seat.session.policy == "infinity"


def test_blocks_are_logged_and_the_log_ends_with_the_session(
    world: World, start: Start, tmp_path: Path
) -> None:
    session = Session(world, start, seed=3)
    log = ActionLog(
        tmp_path / "a.actions.jsonl", header_of(session, world="tiny", start="room", seed=3)
    )
    seat = Seat(session, Inputs(), Held(10, 4, 500), None, log, *[lambda *_: None] * 3)
    for _ in range(2):
        seat.note(seat.block(print))
    seat.close()
    lines = log.path.read_text().splitlines()
    assert len(lines) == 4 and '"blocks":2' in lines[-1]
    assert threading.active_count() < 50

"""Looking away and back: toys in sight from both ends, nothing of them in between."""

import math

import numpy as np
import pytest

from worldrt.bench.memory import absence, ways
from worldrt.bench.memory.absence import KINDS, VISIBLE, absences
from worldrt.config import MotionConfig
from worldrt.errors import SimulatorError
from worldrt.simulators.doom.maze import generate
from worldrt.simulators.movers import seen

MOTION = MotionConfig(move_step=0.22, turn_step=5.0)


@pytest.mark.parametrize("seed", range(6))
def test_toys_are_in_sight_before_and_after_and_not_between(seed: int) -> None:
    maze = generate(seed)
    for one in absences(maze, MOTION, np.random.default_rng(seed), (32, 70)):
        way, kinds, frames = one.name.split("-")
        poses = ways.poses(one.way)
        assert [mover.kind for mover in one.movers.movers] == list(KINDS[kinds])
        assert one.hidden.stop - one.hidden.start == int(frames)
        np.testing.assert_array_equal(poses[:VISIBLE], poses[:1].repeat(VISIBLE, axis=0))
        np.testing.assert_array_equal(poses[-VISIBLE:], poses[-1:].repeat(VISIBLE, axis=0))
        for mover in one.movers.movers:
            for at in (0, VISIBLE - 1, -VISIBLE, -1):
                assert seen(maze, mover.place, poses[at])
            assert not any(seen(maze, mover.place, pose) for pose in poses[one.hidden])
        # Before and after the hidden frames the camera turns; it does not jump.
        yaw = np.diff(np.unwrap(one.way[:, 2]))
        assert np.degrees(np.abs(yaw)).max() <= 5 + 1e-9
        home = np.linalg.norm(one.way[-1, :2] - one.way[0, :2])
        assert home == pytest.approx({"exit": 0, "back": 2}[way])
        assert math.cos(one.way[-1, 2] - one.way[0, 2]) == pytest.approx(1)


def test_what_is_replaced_changes_while_nobody_looks() -> None:
    for one in absences(generate(4), MOTION, np.random.default_rng(4), (32, 512)):
        if "replaced" in one.name:
            gone, come = one.movers.movers
            first, last = one.hidden.start - 1, one.hidden.stop
            assert gone.state(first).there and not gone.state(last).there
            assert come.state(last).there and not come.state(first).there


def test_a_walk_off_takes_as_long_as_it_takes() -> None:
    """Two metres are 10 frames, however few are asked for."""
    found = absences(generate(4), MOTION, np.random.default_rng(4), (3,))
    lengths = {one.name: one.hidden.stop - one.hidden.start for one in found}
    assert lengths["exit-moving-3"] == 3 and lengths["back-moving-3"] == 10


def test_a_maze_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SimulatorError("Toy 1 of 4 finds no place.")

    monkeypatch.setattr(absence, "in_maze", full)
    with pytest.raises(SimulatorError) as refused:
        absences(generate(4), MOTION, np.random.default_rng(4), (32,))
    assert str(refused.value) == (
        "Maze 4 has no place where 4 toys are seen from both ends of a walk of 2.0 m; take "
        "another seed."
    )

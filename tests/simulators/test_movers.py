"""Laws of motion by their symmetries, and toys that stand where a walk can see them."""

import math

import numpy as np
import pytest

from tests.toyroom import CAMERA, EYE, look, room, toy
from worldrt.config import MotionConfig
from worldrt.errors import ConfigError, SimulatorError
from worldrt.simulators import walks
from worldrt.simulators.doom import collision, maze
from worldrt.simulators.movers import KINDS, SWELL, Movers, in_maze, seen, triangle

SLOW = MotionConfig(move_step=0.1, turn_step=5)


def test_the_triangle_wave() -> None:
    turns = np.linspace(-2, 2, 81)
    waves = np.array([triangle(each) for each in turns])
    np.testing.assert_allclose(waves, 2 / np.pi * np.arcsin(np.sin(math.tau * turns)), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_what_moves_comes_back_after_a_period_and_not_before(kind: str) -> None:
    mover = toy(kind, period=17.0)
    for frame in (-3, 0, 2.5, 40):
        a, b, half = (mover.state(frame + more) for more in (0, 51, 8.5))
        np.testing.assert_allclose(a.pose, b.pose, atol=1e-9)
        np.testing.assert_allclose(a.size, b.size, atol=1e-9)
        assert math.isclose(math.remainder(a.hue - b.hue, 1), 0, abs_tol=1e-9) and a.there
        moved = np.abs(a.pose - half.pose).max(), np.abs(a.size - half.size).max()
        changed = abs(math.remainder(a.hue - half.hue, 1))
        assert (moved[0] > 1e-6) == (kind in ("ping-pong", "rotor"))
        assert (moved[1] > 1e-6) == (kind == "grower")
        assert (changed > 0.4) == (kind == "recolour")


def test_each_kind_in_closed_form() -> None:
    pong = toy("ping-pong", period=20.0, phase=0.25)
    np.testing.assert_allclose(pong.state(0).pose[:3, 3], pong.place + pong.way)
    np.testing.assert_allclose(pong.state(10).pose[:3, 3], pong.place - pong.way)
    steps = np.diff([pong.state(frame).pose[:3, 3] for frame in range(11)], axis=0)
    np.testing.assert_allclose(steps, np.tile(-pong.way / 5, (10, 1)), atol=1e-12)
    rotor = toy("rotor", period=20.0, yaw=0.0, phase=0.0)
    np.testing.assert_allclose(rotor.state(5).pose[:3, 2], [1, 0, 0], atol=1e-12)
    grower = toy("grower", period=20.0, phase=0.0)
    np.testing.assert_allclose(grower.state(5).size, (1 + SWELL) * grower.size)
    np.testing.assert_allclose(grower.state(15).size, (1 - SWELL) * grower.size)
    gone, come = toy("removed", change=9), toy("added", change=9)
    assert [gone.state(f).there for f in (8, 9)] == [True, False]
    assert [come.state(f).there for f in (8, 9)] == [False, True]


def test_drawing_names_each_and_leaves_its_arguments_alone() -> None:
    movers = Movers(
        [
            toy("rotor", place=np.array([-0.9, 0, 3.0])),
            toy("removed", place=np.array([0.9, 0, 3.0]), change=5),
        ]
    )
    rgb, depth = room(EYE)
    kept = rgb.copy(), depth.copy()
    _, _, ids = movers.draw(rgb, depth, EYE, CAMERA, 0)
    np.testing.assert_array_equal(rgb, kept[0])
    np.testing.assert_array_equal(depth, kept[1])
    columns = np.arange(128)
    assert set(np.unique(ids)) == {-1, 0, 1} and ids.dtype == np.int16
    assert columns[np.any(ids == 0, axis=0)].max() < 64 < columns[np.any(ids == 1, axis=0)].min()
    assert set(np.unique(look(movers, 5)[2])) == {-1, 0}
    for first, second in zip(look(movers, 3), look(movers, 3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_nearer_toy_hides_the_farther_one_in_any_order() -> None:
    near = toy("rotor", place=np.array([0, 0, 2.5]))
    far = toy("grower", place=np.array([0.2, 0, 4.5]), seed=1)
    a, b = look(Movers([near, far]), 3), look(Movers([far, near]), 3)
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    np.testing.assert_array_equal(a[2] == 0, b[2] == 1)
    assert a[1][a[2] == 0].max() < a[1][a[2] == 1].min()


@pytest.mark.parametrize("number", [3, 5, 11])
def test_toys_in_a_maze_stand_clear_and_are_seen(number: int) -> None:
    world = maze.generate(number)
    walk = walks.look_around(world, world.start(), 72, SLOW, number)
    movers = in_maze(world, number, KINDS, walk)
    again = in_maze(world, number, KINDS, walk)
    assert [mover.kind for mover in movers.movers] == list(KINDS)
    for mover, other in zip(movers.movers, again.movers, strict=True):
        np.testing.assert_array_equal(mover.place, other.place)
        assert mover.place[1] == 0
        assert any(seen(world, mover.place, pose) for pose in walk)
        for frame in np.linspace(0, mover.period, 13):
            x, _, z = mover.state(frame).pose[:3, 3]
            assert collision.clear(world.labels, x, z, 0.6)
            assert np.hypot(*(walk[:, [0, 2], 3] - [x, z]).T).min() > 0.8
        if mover.kind in ("removed", "added"):
            hidden = mover.change == len(walk) or not seen(world, mover.place, walk[mover.change])
            assert hidden
    for frame in (0, 7, 31):
        places = np.array([state.pose[:3, 3] for state in movers.state(frame)])
        gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9 * np.eye(len(KINDS))
        assert gaps.min() > 0.9


@pytest.mark.parametrize(
    "fields, sentence",
    [
        (
            {"kind": "ghost"},
            "A mover is one of ping-pong, rotor, grower, recolour, removed, added, got 'ghost'.",
        ),
        ({"body": "cat"}, "A toy is one of block, robot, tower, house, tent, got 'cat'."),
        ({"period": 1.0}, "A period is longer than 1 frame, got 1."),
        ({"size": np.array([1.0, 0, 1])}, "A size is positive, got [1.0, 0.0, 1.0] m."),
    ],
)
def test_nonsense_is_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        toy(**({"kind": "rotor"} | fields))  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_a_full_maze_is_refused() -> None:
    world = maze.generate(3)
    walk = walks.look_around(world, world.start(), 3, SLOW, 3)
    with pytest.raises(SimulatorError) as error:
        in_maze(world, 3, ("ping-pong",) * 40, walk)
    assert str(error.value).endswith(
        "of 40 finds no place along this walk in maze 3; ask for fewer or walk through larger "
        "rooms."
    )

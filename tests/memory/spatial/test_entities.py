"""Things that move, in a room drawn exactly: followed, moved on unseen, drawn, and let go."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toyroom import CAMERA, EYE, bare, look, room, toy
from worldrt.errors import ConfigError, InputError, ShapeError
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.fragments import fragments
from worldrt.memory.spatial.frame import Splat
from worldrt.simulators.movers import Movers

AWAY = from_yaw_pitch(np.array([0, -1.28, 0.0]), np.pi, 0.0)


def watch(entities: Entities, movers: Movers, frames: range, noise: float = 0.0) -> list[list[int]]:
    """Observe the toys for some frames; whose names were seen in each."""
    random = np.random.default_rng(abs(frames.start))
    names = []
    for frame in frames:
        rgb, depth, ids = look(movers, frame)
        depth = (depth * (1 + noise * random.standard_normal(depth.shape))).astype(np.float32)
        pose = EYE.copy()
        pose[:3, 3] += noise * random.standard_normal(3)
        names.append(entities.observe(rgb, depth, pose, ids >= 0, frame))
    return names


def errors(
    entities: Entities, movers: Movers, last: int, frame: int
) -> tuple[float, float, NDArray[np.bool_]]:
    """Squared error of the drawn frame and of the frozen one, over the thing's pixels."""
    truth, _, ids = look(movers, frame)
    frozen, _, frozen_ids = look(movers, last)
    drawn = entities.draw(bare(), EYE[None], CAMERA, [frame])
    pixels = (ids >= 0) | (frozen_ids >= 0) | (drawn.written[0] > 0)
    true = truth[pixels] / 255
    output = np.sum((drawn.rgb[0][pixels] - true) ** 2)
    return float(output), float(np.sum((frozen[pixels] / 255 - true) ** 2)), pixels


def liveness(entities: Entities, movers: Movers, last: int, hidden: int) -> float:
    """1 - error / error of the frozen thing, over 16 frames after so many hidden ones."""
    frames = range(last + 1 + hidden, last + 33 + hidden, 2)
    output, frozen, _ = zip(*(errors(entities, movers, last, f) for f in frames), strict=True)
    return 1 - sum(output) / sum(frozen)


@pytest.mark.parametrize(
    "kind, least",
    [
        ("ping-pong", (0.75, 0.75, 0.5)),
        ("rotor", (0.75, 0.7, 0.5)),
        ("grower", (0.75, 0.7, 0.5)),
        ("recolour", (0.85, 0.85, 0.85)),
    ],
)
def test_liveness_after_a_short_look(kind: str, least: tuple[float, ...]) -> None:
    scores = []
    for seed in range(4):
        movers, entities = Movers([toy(kind, seed)]), Entities(CAMERA)
        watch(entities, movers, range(32))
        scores.append([liveness(entities, movers, 31, hidden) for hidden in (32, 128, 512)])
    means = np.mean(scores, axis=0)
    assert np.all(means >= least), means


@pytest.mark.parametrize("kind", ["ping-pong", "rotor", "grower", "recolour"])
def test_liveness_with_noise(kind: str) -> None:
    movers, entities = Movers([toy(kind, 3)]), Entities(CAMERA)
    watch(entities, movers, range(48), noise=0.01)
    assert liveness(entities, movers, 47, 32) >= 0.6


def test_what_stands_still_stays_for_ever() -> None:
    movers, entities = Movers([toy("removed", change=9999)]), Entities(CAMERA)
    watch(entities, movers, range(32))
    (first,), (later,) = entities.tick(31), entities.tick(31 + 4000)
    np.testing.assert_array_equal(first.state, later.state)
    assert later.spread > first.spread and later.seen == 31
    truth, depth, ids = look(movers, 500)
    drawn = entities.draw(bare(), EYE[None], CAMERA, [500])
    inner = (ids >= 0) & (drawn.written[0] > 0)
    assert np.count_nonzero(inner) > 0.95 * np.count_nonzero(ids >= 0)
    assert np.abs(drawn.rgb[0][inner] - truth[inner] / 255).mean() < 0.06
    np.testing.assert_allclose(drawn.depth[0][inner], depth[inner], rtol=0.05)


def test_a_removed_thing_is_gone_after_a_few_looks() -> None:
    movers, entities = Movers([toy("removed", change=100)]), Entities(CAMERA)
    watch(entities, movers, range(32))
    for frame in range(32, 100):
        entities.observe(*room(AWAY), AWAY, np.zeros((96, 128), np.bool_), frame)
    assert len(entities) == 1, "nothing was seen of its place"
    lag = 0
    while len(entities) and lag < 9:
        watch(entities, movers, range(100 + lag, 101 + lag))
        lag += 1
    assert lag <= 4
    empty = entities.draw(bare(), EYE[None], CAMERA, [110])
    np.testing.assert_array_equal(empty.rgb, bare().rgb)


def test_an_added_thing_is_there_at_the_first_look() -> None:
    movers, entities = Movers([toy("added", change=100)]), Entities(CAMERA)
    assert watch(entities, movers, range(96, 102)) == [[], [], [], [], [0], [0]]
    output, _, pixels = errors(entities, movers, 100, 101)
    assert output / np.count_nonzero(pixels) < 0.05


def test_a_hidden_thing_is_no_removed_one() -> None:
    movers, entities = Movers([toy("removed", change=50)]), Entities(CAMERA)
    watch(entities, movers, range(16))
    rgb, depth = room(EYE)
    wall = np.minimum(depth, 1.5)
    for frame in range(16, 40):
        entities.observe(rgb, wall, EYE, np.zeros((96, 128), np.bool_), frame)
    assert len(entities) == 1


def test_two_that_cross_keep_their_names() -> None:
    way = np.array([1.2, 0, 0])
    near = toy("ping-pong", place=np.array([0, 0, 3.0]), way=way, period=40.0, phase=0.0, hue=0.0)
    far = toy("ping-pong", 1, place=np.array([0, 0, 4.6]), way=-way, period=40.0, phase=0.0)
    movers, entities = Movers([near, far]), Entities(CAMERA)
    watch(entities, movers, range(-10, 40))
    beliefs = {belief.name: belief.state for belief in entities.tick(39)}
    places = [state.pose[:3, 3] for state in movers.state(39)]
    found = [
        min(beliefs, key=lambda name: np.linalg.norm(beliefs[name][:3] - place)) for place in places
    ]
    assert sorted(beliefs) == [0, 1] and sorted(found) == [0, 1]
    first = Entities(CAMERA)
    watch(first, movers, range(-10, -9))
    start = {belief.name: belief.state for belief in first.tick(-10)}
    for name, mover in zip(found, movers.movers, strict=True):
        place = mover.state(-10).pose[:3, 3]
        assert np.linalg.norm(start[name][:3] - place) < 0.3, "who it was at the beginning"


def test_what_is_never_seen_whole_is_followed() -> None:
    """Something that stands still hides a third of it all the time."""
    near = toy("removed", change=999, place=np.array([-0.55, 0, 2.5]))
    far = toy("recolour", 1, place=np.array([0.15, 0, 4.0]), period=24.0, phase=0.0)
    entities = Entities(CAMERA)
    for frame in range(32):
        rgb, depth, ids = look(Movers([near, far]), frame)
        (found,) = fragments(rgb, depth, ids == 1, EYE, CAMERA)
        assert not found.whole and not found.seen[0]
        assert entities.observe(rgb, depth, EYE, ids == 1, frame) == [0]
    rgb, depth, _ = look(Movers([near]), 0)
    ones = np.ones((1, *depth.shape), np.float32)
    still = Splat((rgb[None] / 255).astype(np.float32), depth[None], ones, 0 * ones)
    (belief,) = entities.tick(67)
    assert np.hypot(*(belief.state[:3] - far.place)[[0, 2]]) < 0.25
    truth, _, ids = look(Movers([near, far]), 67)
    frozen = look(Movers([near, far]), 31)[0] / 255
    drawn = entities.draw(still, EYE[None], CAMERA, [67]).rgb[0]
    away = [np.sum((image - truth / 255)[ids == 1] ** 2) for image in (drawn, frozen)]
    assert away[0] < 0.2 * away[1]


def test_what_comes_into_view_as_a_sliver_is_measured_when_it_is_whole() -> None:
    mover, entities = toy("removed", change=99, place=np.array([0.0, 0, 3.4])), Entities(CAMERA)
    names = []
    for frame, yaw in enumerate(np.radians([52, 50, 48, 46, 40, 30, 20, 20])):
        pose = from_yaw_pitch(EYE[:3, 3], yaw, 0.0)
        rgb, depth, ids = look(Movers([mover]), frame, pose)
        names += entities.observe(rgb, depth, pose, ids >= 0, frame)
    assert set(names) == {0} and len(names) >= 6
    (belief,) = entities.tick(9)
    assert np.hypot(*(belief.state[:3] - mover.place)[[0, 2]]) < 0.15


def test_a_nearer_wall_hides_a_thing_and_unknown_ground_does_not() -> None:
    movers, entities = Movers([toy("removed", change=99)]), Entities(CAMERA)
    watch(entities, movers, range(4))
    view = bare()
    wall = view._replace(depth=np.full_like(view.depth, 1.5))
    drawn = entities.draw(wall, EYE[None], CAMERA, [5])
    np.testing.assert_array_equal(drawn.rgb, wall.rgb)
    np.testing.assert_allclose(drawn.depth, wall.depth, rtol=1e-6)
    alone = entities.draw(Splat.empty(1, 96, 128), EYE[None], CAMERA, [5])
    shown = alone.mask[0] > 0.5
    np.testing.assert_allclose(alone.written[0][shown], 3, rtol=1e-6)
    truth, _, ids = look(movers, 5)
    assert np.count_nonzero(shown & (ids >= 0)) > 0.9 * np.count_nonzero(ids >= 0)


def test_saving_and_going_on_is_never_having_stopped() -> None:
    movers = Movers([toy("rotor", place=np.array([-0.9, 0, 3.4])), toy("ping-pong", 1)])
    whole, first, second = Entities(CAMERA), Entities(CAMERA), Entities(CAMERA)
    watch(whole, movers, range(40))
    watch(first, movers, range(17))
    first.tick(30)
    second.restore(first.state())
    watch(second, movers, range(17, 40))
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, second.state()[name], err_msg=name)
    a, b = (each.draw(bare(), EYE[None], CAMERA, [77]) for each in (whole, second))
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)
    first.clear()
    assert len(first) == 0 and first.tick(3) == []


@pytest.mark.parametrize("room_for", [1, 2, 3, 5])
def test_others_take_over_as_many_as_they_have_room_for_the_latest_seen(room_for: int) -> None:
    """Of three, the first of which was seen last."""
    toys = [toy("removed", place=np.array([x, 0, 3.4]), change=99) for x in (-1.6, 0.0, 1.6)]
    entities = Entities(CAMERA, capacity=4)
    for frame, shown in enumerate((toys[:1], toys[:2], toys, toys[:1])):
        rgb, depth, ids = look(Movers(shown), frame)
        entities.observe(rgb, depth, EYE, ids >= 0, frame)
    other = Entities(CAMERA, capacity=room_for)
    other.restore(entities.state())
    wanted = sorted(entities.tick(9), key=lambda thing: (-thing.seen, thing.name))[:room_for]
    found = other.tick(9)
    assert [thing.name for thing in found] == sorted(thing.name for thing in wanted)
    assert found[0].seen == 3 == other.walked - 1
    for thing in found:
        told = next(each for each in wanted if each.name == thing.name)
        np.testing.assert_array_equal(thing.state, told.state)
    rgb, depth, ids = look(Movers([toys[0], toy("rotor", place=np.array([0, 0, 5.0]))]), 4)
    known = {thing.name for thing in entities.tick(4)}
    names = other.observe(rgb, depth, EYE, ids >= 0, 4)
    assert len(names) == min(2, room_for) and not known.issuperset(names)


def test_bytes_stay_the_same_over_two_thousand_frames() -> None:
    random = np.random.default_rng(0)
    small = CAMERA.scaled(0.5)
    entities = Entities(small, capacity=3, points=400)
    before, rgb = entities.nbytes, random.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for frame in range(2000):
        depth = np.full((48, 64), 6.0, np.float32)
        for _ in range(2):
            row, column = random.integers(2, 38), random.integers(2, 54)
            depth[row : row + 7, column : column + 8] = random.uniform(2, 5)
        depth[::7, ::5] = random.choice([0, np.nan, 6])
        entities.observe(rgb, depth, EYE, depth < 5.5, frame)
    assert entities.nbytes == before and len(entities) <= 3
    assert sum(array.nbytes for array in entities.state().values()) == before
    names = [belief.name for belief in entities.tick(2000)]
    assert len(set(names)) == len(names)
    assert Entities(CAMERA).nbytes < 4e6


def test_nothing_to_see_changes_nothing() -> None:
    entities = Entities(CAMERA)
    nothing = np.zeros((96, 128), np.bool_)
    rgb, depth = room(EYE)
    assert entities.observe(rgb, depth, EYE, nothing, 0) == []
    for unknown in (0, np.nan, np.inf):
        blind = np.full((96, 128), unknown, np.float32)
        assert entities.observe(rgb, blind, EYE, ~nothing, 1) == []
    view = bare()
    assert entities.draw(view, EYE[None], CAMERA, [3]) is view


def test_another_may_say_where_things_are() -> None:
    told = np.array([0.2, 0.0, 3.0, 0.0, 0.9, 0.0])
    entities = Entities(CAMERA, advance=lambda history, frame: told + [0.01 * frame, 0, 0, 0, 0, 0])
    watch(entities, Movers([toy("removed", change=99)]), range(4))
    (belief,) = entities.tick(10)
    np.testing.assert_allclose(belief.state, told + [0.1, 0, 0, 0, 0, 0])
    drawn = entities.draw(bare(), EYE[None], CAMERA, [10])
    columns = np.flatnonzero(np.any(drawn.written[0] > 0, axis=0))
    assert abs(columns.mean() + 0.5 - (64 + 64 * 0.3 / 2.7)) < 3


@pytest.mark.parametrize(
    "change, kind, sentence",
    [
        (
            {"rgb": np.zeros((5, 7, 3), np.uint8)},
            ShapeError,
            "rgb has shape [5, 7, 3], expected [96, 128, 3].",
        ),
        (
            {"depth": np.zeros((5, 7), np.float32)},
            ShapeError,
            "depth has shape [5, 7], expected [96, 128].",
        ),
        (
            {"moving": np.zeros((5, 7), np.bool_)},
            ShapeError,
            "moving has shape [5, 7], expected [96, 128].",
        ),
        (
            {"pose": np.full((4, 4), np.nan)},
            InputError,
            "16 of a pose's 16 numbers are not finite; pass finite ones.",
        ),
    ],
)
def test_bad_frames_are_refused(
    change: dict[str, NDArray[np.generic]], kind: type[Exception], sentence: str
) -> None:
    rgb, depth = room(EYE)
    usual = dict(rgb=rgb, depth=depth, pose=EYE, moving=depth < 3, frame=0)
    with pytest.raises(kind) as error:
        Entities(CAMERA).observe(**(usual | change))  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ConfigError) as error:
        Entities(CAMERA, capacity=0)
    assert str(error.value) == "Entities hold at least 1 thing of 1 to 32767 points, got 0 of 8192."
    with pytest.raises(ShapeError) as other:
        Entities(CAMERA, points=7).restore(Entities(CAMERA, 3).state())
    sentence = "figure_position has shape [3, 8192, 3], expected [3, 7, 3], as here."
    assert str(other.value) == sentence
    with pytest.raises(ShapeError):
        Entities(CAMERA).draw(bare(), EYE[None], CAMERA, [1, 2])

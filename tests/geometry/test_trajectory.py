"""Walking: what held keys do to a pose, and the doors by which a path comes in."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from worldrt.config import MotionConfig
from worldrt.errors import InputError, PathError, ShapeError
from worldrt.geometry.keys import Keys, parse_keys
from worldrt.geometry.se3 import check_pose, exp, from_yaw_pitch, yaw_pitch
from worldrt.geometry.trajectory import (
    Trajectory,
    axes_of,
    integrate,
    parse_poses,
    read_path,
    steer,
)

quick = settings(max_examples=25, deadline=None, derandomize=True)
MOTION = MotionConfig(move_step=0.25, turn_step=7.3, pitch_limit=20)
START = from_yaw_pitch(np.array([3.0, -1.5, 40.0]), 2.1, 0.1)
HELD = st.integers(0, 255).map(Keys)
WALKS = st.lists(HELD, max_size=40)


def walk(text: str, motion: MotionConfig = MOTION, start: NDArray = START) -> NDArray:
    return integrate(parse_keys(text), start, motion)


@quick
@given(keys=WALKS, cut=st.integers(0, 40))
def test_a_walk_in_two_parts_is_the_whole_walk_to_the_bit(keys: list[Keys], cut: int) -> None:
    whole = integrate(keys, START, MOTION)
    first = integrate(keys[:cut], START, MOTION)
    second = integrate(keys[cut:], first[-1] if len(first) else START, MOTION)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


def test_a_walk_frame_by_frame_does_not_drift() -> None:
    """1,000 frames, each begun from the last pose as a matrix: still the uncut walk to the bit."""
    keys = parse_keys("WL*13 D*3 WJI*20 SK*9 . J*2") * 20
    pose = START
    for key in keys:
        pose = integrate([key], pose, MOTION)[0]
    np.testing.assert_array_equal(pose, integrate(keys, START, MOTION)[-1])


@quick
@given(keys=WALKS)
def test_every_pose_is_rigid_level_and_within_the_pitch_limit(keys: list[Keys]) -> None:
    poses = integrate(keys, START, MOTION)
    assert poses.shape == (len(keys), 4, 4)
    for pose in poses:
        check_pose(pose)
    assert (poses[:, 1, 0] == 0).all()  # no roll
    assert (poses[:, 1, 3] == START[1, 3]).all()  # no height, whatever the pitch
    assert np.abs(np.degrees(yaw_pitch(poses)[1])).max(initial=0) <= 20 + 1e-12


@quick
@given(keys=WALKS)
def test_opposite_keys_cancel(keys: list[Keys]) -> None:
    """Holding the other key of a pair as well is holding neither."""
    for pair in (Keys.W | Keys.S, Keys.A | Keys.D, Keys.I | Keys.K, Keys.J | Keys.L):
        both = integrate([key | pair for key in keys], START, MOTION)
        neither = integrate([key & ~pair for key in keys], START, MOTION)
        np.testing.assert_array_equal(both, neither)


@quick
@given(keys=WALKS)
def test_every_frame_moves_by_one_step_or_not_at_all(keys: list[Keys]) -> None:
    """Diagonals are as fast as straight lines."""
    poses = np.concatenate([START[None], integrate(keys, START, MOTION)])
    lengths = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
    moving = [
        (Keys.W in key) != (Keys.S in key) or (Keys.A in key) != (Keys.D in key) for key in keys
    ]
    np.testing.assert_allclose(lengths, np.where(moving, 0.25, 0.0), atol=1e-12)


@quick
@given(keys=st.lists(HELD.map(lambda key: key & ~(Keys.I | Keys.K)), max_size=40))
def test_where_one_starts_only_moves_the_walk(keys: list[Keys]) -> None:
    """In the start's own axes every walk is the walk from the origin."""
    start = from_yaw_pitch(np.array([3.0, -1.5, 40.0]), 2.1, 0)
    here = start @ integrate(keys, np.eye(4), MOTION)
    np.testing.assert_allclose(integrate(keys, start, MOTION), here, atol=1e-8)


@pytest.mark.parametrize(
    ("key", "place"),
    [("W", (0, 0, 1)), ("S", (0, 0, -1)), ("D", (1, 0, 0)), ("A", (-1, 0, 0)), (".", (0, 0, 0))],
)
def test_where_each_key_leads(key: str, place: tuple[int, int, int]) -> None:
    pose = walk(f"{key}*4", start=np.eye(4))[-1]
    np.testing.assert_allclose(pose, from_yaw_pitch(np.array(place), 0, 0), atol=1e-15)


@pytest.mark.parametrize(
    ("key", "angles"), [("L", (14.6, 0)), ("J", (-14.6, 0)), ("I", (0, 14.6)), ("K", (0, -14.6))]
)
def test_where_each_key_looks(key: str, angles: tuple[float, float]) -> None:
    pose = walk(f"{key}*2", start=np.eye(4))[-1]
    np.testing.assert_allclose(np.degrees(yaw_pitch(pose)), angles, atol=1e-12)


def test_a_frame_turns_before_it_moves() -> None:
    motion = MotionConfig(move_step=2.0, turn_step=90.0)
    pose = walk("WL", motion, np.eye(4))[0]
    np.testing.assert_allclose(pose[:3, 3], [2, 0, 0], atol=1e-15)


@pytest.mark.parametrize("turns", [1, 8, 48, 7200])
def test_a_full_turn_closes_to_the_bit(turns: int) -> None:
    motion = MotionConfig(move_step=0.1, turn_step=360 / turns)
    once = integrate([Keys.L] * turns, np.eye(4), motion)
    many = integrate([Keys.L] * turns * (20_000 // turns), np.eye(4), motion)
    np.testing.assert_array_equal(once[-1], np.eye(4))
    np.testing.assert_array_equal(many[-1], np.eye(4))


def test_pitch_stops_at_the_limit_and_comes_back_at_once() -> None:
    motion = MotionConfig(move_step=0.1, turn_step=6, pitch_limit=15)
    pitch = np.degrees(yaw_pitch(walk("I*5 K K*6", motion, np.eye(4)))[1])
    expected = [6, 12, 15, 15, 15, 9, 3, -3, -9, -15, -15, -15]
    np.testing.assert_allclose(pitch, expected, atol=1e-12)


def test_a_world_without_pitch_stays_level() -> None:
    level = MotionConfig(move_step=0.1, turn_step=6)
    np.testing.assert_array_equal(walk("I*9 K*4", level, np.eye(4)), np.tile(np.eye(4), (13, 1, 1)))


@quick
@given(keys=WALKS)
def test_a_step_that_allows_everything_changes_nothing(keys: list[Keys]) -> None:
    free = integrate(keys, START, MOTION, step=lambda position, wanted: wanted)
    np.testing.assert_array_equal(free, integrate(keys, START, MOTION))


def test_a_wall_is_slid_along() -> None:
    """Nothing beyond z = 1: walking into it at 30 degrees goes on sideways, and turning is free."""

    def wall(position: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        assert position[2] <= 1  # what was granted last, not what was wanted
        return np.array([wanted[0], wanted[1], min(wanted[2], 1.0)])

    start = from_yaw_pitch(np.zeros(3), np.radians(30), 0)
    poses = integrate(parse_keys("W*20 L*3"), start, MOTION, step=wall)
    np.testing.assert_allclose(poses[-1, :3, 3], [20 * 0.25 * 0.5, 0, 1], atol=1e-9)
    assert np.degrees(yaw_pitch(poses[-1])[0]) == pytest.approx(30 + 3 * 7.3)


# Sticks, of which keys are the special case.

AXES = st.lists(
    st.tuples(*[st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, 1.0])] * 4), max_size=40
).map(lambda rows: np.array(rows).reshape(-1, 4))


@quick
@given(axes=AXES, cut=st.integers(0, 40))
def test_steering_in_two_parts_is_steering_the_whole_to_the_bit(axes: NDArray, cut: int) -> None:
    whole = steer(axes, START, MOTION)
    first = steer(axes[:cut], START, MOTION)
    second = steer(axes[cut:], first[-1] if len(first) else START, MOTION)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@quick
@given(axes=AXES)
def test_a_stick_moves_by_how_far_it_is_pushed_and_never_faster_than_a_key(axes: NDArray) -> None:
    poses = np.concatenate([START[None], steer(axes, START, MOTION)])
    lengths = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=-1)
    pushed = np.minimum(np.linalg.norm(axes[:, :2], axis=-1), 1)
    np.testing.assert_allclose(lengths, 0.25 * pushed, atol=1e-12)
    yaws = np.unwrap([yaw_pitch(pose)[0] for pose in poses])
    np.testing.assert_allclose(np.diff(yaws), np.radians(7.3) * axes[:, 2], atol=1e-9)
    for pose in poses:
        check_pose(pose)


@pytest.mark.parametrize(
    ("key", "axes"),
    [
        ("W", (0, 1, 0, 0)),
        ("S", (0, -1, 0, 0)),
        ("D", (1, 0, 0, 0)),
        ("A", (-1, 0, 0, 0)),
        ("L", (0, 0, 1, 0)),
        ("J", (0, 0, -1, 0)),
        ("I", (0, 0, 0, 1)),
        ("K", (0, 0, 0, -1)),
        ("WDJI", (1, 1, -1, 1)),
        (".", (0, 0, 0, 0)),
    ],
)
def test_a_stick_at_its_stop_is_a_held_key(key: str, axes: tuple[float, ...]) -> None:
    held = parse_keys(f"{key}*5")
    np.testing.assert_array_equal(axes_of(held), np.tile(np.array(axes, float), (5, 1)))
    steered = steer(np.tile(np.array(axes, float), (5, 1)), START, MOTION)
    np.testing.assert_array_equal(steered, integrate(held, START, MOTION))


def test_two_half_turns_are_a_whole_one_to_the_bit() -> None:
    half = steer(np.tile([0, 0, 0.5, 0.5], (2, 1)), START, MOTION)
    whole = steer(np.array([[0, 0, 1.0, 1.0]]), START, MOTION)
    np.testing.assert_array_equal(half[-1], whole[-1])


@pytest.mark.parametrize(
    ("axes", "error", "sentence"),
    [
        (np.zeros((3, 3)), ShapeError, "axes has shape [3, 3], expected [F, 4]: right, ahead"),
        (np.zeros(4), ShapeError, "axes has shape [4], expected [F, 4]"),
        ([[0, 0, 0, 0], [0, 1.5, 0, 0]], InputError, "Axis 'ahead' of frame 1 is 1.5; give -1 to"),
        ([[0, 0, np.nan, 0]], InputError, "Axis 'turn right' of frame 0 is nan; give -1 to 1"),
        ([[0, 0, 0, -np.inf]], InputError, "Axis 'look up' of frame 0 is -inf; give -1 to 1"),
    ],
)
def test_sticks_out_of_range_are_refused(
    axes: NDArray | list[list[float]], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        steer(np.array(axes), START, MOTION)


ROLLED = exp(np.array([0, 0, 0, 0, 0, 0.1]))


@pytest.mark.parametrize(
    ("start", "error", "sentence"),
    [
        (np.eye(3), ShapeError, "pose has shape [3, 3]"),
        (np.full((4, 4), np.nan), InputError, "16 of a pose's 16 numbers are not finite"),
        (ROLLED, InputError, "The start is rolled by 5.73 degrees, 0 is allowed"),
        (START @ ROLLED, InputError, "The start is rolled by 5.73 degrees"),
        (np.diag([-1.0, -1, 1, 1]), InputError, "The start is rolled by 180 degrees"),
        (
            from_yaw_pitch(np.zeros(3), 0, np.radians(-21)),
            InputError,
            "The start looks -21 degrees up, this world allows 20 either way",
        ),
    ],
)
def test_a_start_that_cannot_be_walked_from_is_refused(
    start: NDArray, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        integrate([Keys.W], start, MOTION)


def test_a_start_in_float32_is_level_enough() -> None:
    level = MotionConfig(move_step=0.1, turn_step=6)
    start = from_yaw_pitch(np.ones(3), 2.1, 0).astype(np.float32).astype(np.float64)
    start[1, 2] = 1e-7
    assert walk("W", level, start)[0, 1, 2] == 0


# Paths that are lists of poses.

POSES = exp(np.random.default_rng(2).normal(size=(5, 6)))


def test_matrices_come_back_from_json_to_the_bit() -> None:
    np.testing.assert_array_equal(parse_poses(json.dumps(POSES.tolist())), POSES)


@quick
@given(
    views=st.lists(
        st.tuples(st.tuples(*[st.floats(-1e3, 1e3)] * 3), st.floats(-179, 179), st.floats(-89, 89)),
        min_size=1,
        max_size=5,
    )
)
def test_views_come_back_from_json(
    views: list[tuple[tuple[float, ...], float, float]],
) -> None:
    text = json.dumps([{"position": p, "yaw": yaw, "pitch": pitch} for p, yaw, pitch in views])
    poses = parse_poses(text)
    for pose, (position, yaw, pitch) in zip(poses, views, strict=True):
        assert pose[:3, 3].tolist() == list(position)
        np.testing.assert_allclose(np.degrees(yaw_pitch(pose)), (yaw, pitch), atol=1e-9)


def test_views_and_matrices_may_be_mixed_and_pitch_left_out() -> None:
    poses = parse_poses(json.dumps([{"position": [1, 2, 3], "yaw": 90}, np.eye(4).tolist()]))
    np.testing.assert_allclose(poses[0], from_yaw_pitch(np.array([1, 2, 3]), np.pi / 2, 0))
    np.testing.assert_array_equal(poses[1], np.eye(4))


GOOD = '{"position": [0, 0, 0], "yaw": 0}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "The list has 0 poses; write 1 to 1000000."),
        ("[", "The list of poses can't be read (Input data was truncated)"),
        ("[" * 100_000, "can't be read"),
        ("[1]", "`$[0]`"),
        (f'[{GOOD}, {{"position": [0, 0], "yaw": 0}}]', "`$[1].position`"),
        (f'[{GOOD}, {{"position": [0, 0, "a"], "yaw": 0}}]', "`$[1].position[2]`"),
        (f'[{GOOD}, {{"position": [0, 0, 0]}}]', "missing required field `yaw` - at `$[1]`"),
        ('[{"position": [0, 0, 0], "yaw": 0, "roll": 1}]', "unknown field `roll`"),
        ('[{"position": [0, 0, 0], "yaw": 0, "pitch": 91}]', "`float` <= 90.0 - at `$[0].pitch`"),
        ('[{"position": [0, 0, 0], "yaw": 1e999}]', "Number out of range - at `$[0].yaw`"),
        ('[{"position": [NaN, 0, 0], "yaw": 0}]', "JSON is malformed"),
        (json.dumps([np.eye(3).tolist()]), "`array` of length 4 - at `$[0][0]`"),
        (json.dumps([np.eye(4).tolist(), np.zeros((4, 4)).tolist()]), "Pose 1 of 2: A pose's last"),
        (json.dumps([(2 * np.eye(4)).tolist()]), "Pose 0 of 1: A pose's last row"),
        (json.dumps([np.diag([1, 1, -1, 1]).tolist()]), "Pose 0 of 1: A pose's rotation is 0 from"),
        ('["\ud800"]', "can't be read"),
    ],
)
def test_a_bad_list_is_refused_with_the_index(text: str, sentence: str) -> None:
    with pytest.raises(PathError, match=re.escape(sentence)):
        parse_poses(text)


# The one door.


def test_keys_begin_anew_and_poses_stay_at_the_last() -> None:
    keys = read_path("W*2 L", None, MOTION)
    np.testing.assert_array_equal(keys.poses(START, MOTION, 8), walk("W*2 L W*2 L W*2"))
    np.testing.assert_array_equal(keys.poses(START, MOTION, 2), walk("W*2"))
    poses = Trajectory(POSES)
    np.testing.assert_array_equal(poses.poses(np.eye(4), MOTION, 3), POSES[:3])
    held = poses.poses(np.eye(4), MOTION, 7)
    np.testing.assert_array_equal(held, POSES[[0, 1, 2, 3, 4, 4, 4]])


def test_walls_stop_keys_and_not_given_poses() -> None:
    start = from_yaw_pitch(np.zeros(3), 0, 0)
    stay = Trajectory((Keys.W, Keys.L)).poses(start, MOTION, 4, lambda here, there: here)
    assert (stay[:, :3, 3] == 0).all()
    assert np.degrees(yaw_pitch(stay[-1])[0]) == pytest.approx(2 * 7.3)
    given = Trajectory(POSES).poses(start, MOTION, 5, lambda here, there: here)
    np.testing.assert_array_equal(given, POSES)


def test_poses_are_told_in_the_starts_axes() -> None:
    path = read_path('[{"position": [0, 0, 2], "yaw": 90}]', None, MOTION)
    start = from_yaw_pitch(np.array([5.0, 0, 0]), np.pi / 2, 0)
    expected = from_yaw_pitch(np.array([7.0, 0, 0]), np.pi, 0)
    np.testing.assert_allclose(path.poses(start, MOTION, 1)[0], expected, atol=1e-15)


@pytest.mark.parametrize(
    "text", ["W*3 DJ", "spin", " random:4 ", f"\n[{GOOD}]", json.dumps(POSES.tolist())]
)
@pytest.mark.parametrize("name", ["path.json", "path.TXT"])
def test_a_file_holds_what_a_line_may_say(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    said, read = (read_path(t, 50, MOTION) for t in (text, str(tmp_path / name)))
    np.testing.assert_array_equal(read.steps, said.steps)
    assert type(read.steps) is type(said.steps)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b"[\xff]")
    for name in ("latin.json", "missing.txt", "nul\0.json", "n" * 300 + ".json"):
        with pytest.raises(PathError, match="The path file can't be read"):
            read_path(str(tmp_path / name), None, MOTION)
    with pytest.raises(PathError, match="missing.txt"):
        read_path(str(tmp_path / "missing.txt"), None, MOTION)


@pytest.mark.parametrize("frames", [0, -5, 1_000_001])
@pytest.mark.parametrize("path", [Trajectory((Keys.W,)), Trajectory(POSES)])
def test_frames_out_of_range_are_refused(path: Trajectory, frames: int) -> None:
    with pytest.raises(PathError, match=f"A path of {frames} frames can't be made"):
        path.poses(START, MOTION, frames)


def test_a_bad_start_is_refused_by_poses_as_well() -> None:
    with pytest.raises(ShapeError, match="pose has shape"):
        Trajectory(POSES).poses(np.eye(3), MOTION, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["position", "yaw"]), inner),
    max_leaves=20,
)


@quick
@given(
    text=st.one_of(
        st.text(),
        st.text().map("[".__add__),
        st.text().map(lambda stem: stem + ".json"),
        JSON.map(lambda value: json.dumps([value])),
    )
)
@example("spinn")
@example(json.dumps([[[1e308] * 4] * 3 + [[0, 0, 0, 1]]]))
def test_no_text_raises_anything_but_path_error(text: str) -> None:
    try:
        path = read_path(text, 3, MOTION)
    except PathError:
        return
    assert path.poses(START, MOTION, 3).shape == (3, 4, 4)

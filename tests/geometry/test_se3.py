"""Rigid poses obey the axioms of their group, next to 0 and to half a turn as well."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from worldrt.errors import InputError, ShapeError
from worldrt.geometry import se3

close = partial(np.testing.assert_allclose, rtol=0)
quick = settings(max_examples=30, deadline=None, derandomize=True)

AXES = arrays(np.float64, 3, elements=st.floats(-1, 1)).filter(lambda v: np.linalg.norm(v) > 0.1)
ANGLES = st.one_of(
    st.floats(0, np.pi),
    st.floats(0, 1e-3),
    st.floats(-14, 0).map(lambda e: 10**e),
    st.floats(-14, 0).map(lambda e: np.pi - 10**e),
)
PLACES = arrays(np.float64, 3, elements=st.floats(-100, 100))


@st.composite
def twists(draw: st.DrawFn) -> NDArray[np.float64]:
    axis = draw(AXES)
    return np.concatenate([draw(PLACES), axis / np.linalg.norm(axis) * draw(ANGLES)])


POSES = twists().map(se3.exp)


@quick
@given(a=POSES, b=POSES, c=POSES)
def test_poses_are_a_group(a: NDArray, b: NDArray, c: NDArray) -> None:
    close((a @ b) @ c, a @ (b @ c), atol=1e-10)
    close(a @ se3.inverse(a), np.eye(4), atol=1e-12)
    close(se3.inverse(a) @ a, np.eye(4), atol=1e-12)
    close(se3.inverse(a @ b), se3.inverse(b) @ se3.inverse(a), atol=1e-10)
    se3.check_pose(a @ b)


@quick
@given(pose=POSES)
def test_log_then_exp_is_the_pose(pose: NDArray) -> None:
    close(se3.exp(se3.log(pose)), pose, atol=1e-11)


@quick
@given(twist=twists())
def test_exp_then_log_is_the_twist_up_to_half_a_turn(twist: NDArray) -> None:
    """At half a turn both senses are right, so its neighbourhood only has to stay within it."""
    back = se3.log(se3.exp(twist))
    assert np.linalg.norm(back[3:]) <= np.pi + 1e-12
    if np.linalg.norm(twist[3:]) < np.pi - 1e-6:
        close(back, twist, atol=1e-8)


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-12, 1e-7, 9.999e-3, 1.0001e-2, 1.0, np.pi])
def test_exp_is_the_limit_of_small_steps(angle: float) -> None:
    """Composing 2^20 steps of a twist by squaring is the definition of its exponential."""
    twist = np.array([1.0, -2.0, 0.5, 0.6 * angle, 0.0, 0.8 * angle])
    generator = np.zeros((4, 4))
    generator[:3, :3] = np.cross(twist[3:], np.eye(3)).T  # columns: angular velocity x each axis
    generator[:3, 3] = twist[:3]
    small = generator / 2**20
    step = np.eye(4) + small + small @ small / 2
    close(se3.exp(twist), np.linalg.matrix_power(step, 2**20), atol=1e-8)


@pytest.mark.parametrize("angle", [1e-9, 1e-5, 3e-3, 6e-3, 9.9e-3, 1.01e-2, 0.3])
def test_series_and_quotients_agree_where_one_takes_over(angle: float) -> None:
    """Twice a twist is the twist done twice; 1,000 km of path make a wrong digit seen."""
    twist = np.array([1e6, -5e5, 2e5, 0.6 * angle, 0.48 * angle, -0.64 * angle])
    close(se3.exp(2 * twist), se3.exp(twist) @ se3.exp(twist), atol=1e-8)
    close(se3.log(se3.exp(twist)), twist, atol=1e-8)


def test_exp_of_a_quarter_turn_with_speed_is_a_quarter_circle() -> None:
    """Ahead at speed pi/2 while turning right by pi/2: radius 1, from (0, 0, 0) to (1, 0, 1)."""
    pose = se3.exp(np.array([0, 0, np.pi / 2, 0, np.pi / 2, 0]))
    close(pose, se3.from_yaw_pitch(np.array([1.0, 0, 1]), np.pi / 2, 0), atol=1e-15)


@quick
@given(pose=POSES)
def test_a_quaternion_and_its_negative_are_one_rotation(pose: NDArray) -> None:
    wxyz = se3.quaternion(pose)
    assert wxyz[0] >= 0
    assert np.linalg.norm(wxyz) == pytest.approx(1, abs=1e-15)
    for q in (wxyz, -wxyz, 3e-200 * wxyz, 3e200 * wxyz):
        close(se3.from_quaternion(q, pose[:3, 3]), pose, atol=1e-13)


@pytest.mark.parametrize("axis", range(3))
def test_quaternion_of_half_a_turn_about_an_axis(axis: int) -> None:
    turn = np.eye(4)
    turn[:3, :3] = -np.eye(3)
    turn[axis, axis] = 1
    close(np.abs(se3.quaternion(turn)), np.eye(4)[axis + 1], atol=1e-15)
    assert np.linalg.norm(se3.log(turn)[3:]) == pytest.approx(np.pi, abs=1e-15)


def test_quaternion_is_right_handed_with_the_real_part_first() -> None:
    """A quarter turn about +y takes z to x: to the right."""
    half = np.sqrt(0.5)
    pose = se3.from_quaternion(np.array([half, 0, half, 0]), np.array([1.0, 2, 3]))
    close(pose @ [0, 0, 1, 1], [2, 2, 3, 1], atol=1e-15)


@quick
@given(place=PLACES, yaw=st.floats(-3.14, 3.14), pitch=st.floats(-1.57, 1.57))
def test_yaw_and_pitch_come_back(place: NDArray, yaw: float, pitch: float) -> None:
    pose = se3.from_yaw_pitch(place, yaw, pitch)
    se3.check_pose(pose)
    assert pose[1, 0] == 0  # no roll: the side axis is level
    close(se3.yaw_pitch(pose), (yaw, pitch), atol=1e-12)


@pytest.mark.parametrize("pitch", [-np.pi / 2, np.pi / 2])
def test_yaw_survives_straight_up_and_down(pitch: float) -> None:
    got = se3.yaw_pitch(se3.from_yaw_pitch(np.zeros(3), 0.7, pitch))
    close(got, (0.7, pitch), atol=1e-7)


@pytest.mark.parametrize("pitch", [-np.pi / 2, np.pi / 2])
def test_yaw_at_a_pole_is_that_of_the_side_axis(pitch: float) -> None:
    """Rounding in the view axis, which is all that is left of its heading there, has no say."""
    pose = se3.from_yaw_pitch(np.zeros(3), 0.7, pitch)
    pose[:3, 2] = [-1e-17, -np.sin(pitch), 1e-17]
    close(se3.yaw_pitch(pose), (0.7, pitch), atol=1e-15)


@quick
@given(a=PLACES, b=PLACES)
def test_the_cross_matrix_is_the_cross_product(a: NDArray, b: NDArray) -> None:
    close(se3.cross_matrix(a) @ b, np.cross(a, b), atol=1e-11)


def test_yaw_turns_right_and_pitch_looks_up() -> None:
    ahead = np.array([0, 0, 1.0, 0])
    right = se3.from_yaw_pitch(np.zeros(3), np.pi / 2, 0) @ ahead
    up = se3.from_yaw_pitch(np.zeros(3), 0, np.pi / 2) @ ahead
    close(right[:3], [1, 0, 0], atol=1e-15)
    close(up[:3], [0, -1, 0], atol=1e-15)  # y points down


@quick
@given(a=POSES, b=POSES, t=st.floats(0, 1))
def test_interpolation_is_straight_and_steady(a: NDArray, b: NDArray, t: float) -> None:
    between = se3.interpolate(a, b, t)
    se3.check_pose(between)
    close(between[:3, 3], (1 - t) * a[:3, 3] + t * b[:3, 3], atol=1e-12)
    whole, part = (se3.log(se3.inverse(a) @ p)[3:] for p in (b, between))
    assert np.linalg.norm(part) == pytest.approx(t * np.linalg.norm(whole), abs=1e-7)
    close(se3.interpolate(a, b, 0.0), a, atol=1e-12)
    close(se3.interpolate(a, b, 1.0), b, atol=1e-11)


def test_interpolation_takes_the_short_way_round() -> None:
    a, b = (se3.from_yaw_pitch(np.zeros(3), np.radians(d), 0) for d in (170, -170))
    yaw, _ = se3.yaw_pitch(se3.interpolate(a, b, 0.25))
    assert np.degrees(yaw) == pytest.approx(175)


@pytest.mark.parametrize("lead", [(), (1,), (5,), (3, 1, 7), (0,)])
def test_leading_axes_are_carried(lead: tuple[int, ...]) -> None:
    random = np.random.default_rng(3)
    twist = random.normal(size=(*lead, 6))
    pose, other = se3.exp(twist), se3.exp(random.normal(size=(*lead, 6)))
    t = random.uniform(size=lead)
    each = [  # one call on all of them is the same as one call each
        (se3.inverse, (pose,)),
        (se3.exp, (twist,)),
        (se3.cross_matrix, (twist[..., :3],)),
        (se3.log, (pose,)),
        (se3.quaternion, (pose,)),
        (lambda p: np.stack(se3.yaw_pitch(p), axis=-1), (pose,)),
        (se3.from_quaternion, (se3.quaternion(pose), pose[..., :3, 3])),
        (se3.from_yaw_pitch, (pose[..., :3, 3], t, -t)),
        (se3.interpolate, (pose, other, t)),
    ]
    for function, arguments in each:
        whole = function(*arguments)
        assert whole.shape[: len(lead)] == lead
        for index in np.ndindex(lead):
            close(whole[index], function(*(a[index] for a in arguments)), atol=1e-13)


def test_one_pose_broadcasts_against_many() -> None:
    shares = np.linspace(0, 1, 5)
    path = se3.interpolate(np.eye(4), se3.from_yaw_pitch(np.ones(3), 1.0, 0), shares)
    close(se3.yaw_pitch(path)[0], shares, atol=1e-15)
    close(path[:, :3, 3], shares[:, None] * np.ones(3), atol=1e-15)


def bad(row: int, column: int, value: float) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[row, column] = value
    return pose


@pytest.mark.parametrize(
    ("pose", "sentence"),
    [
        (np.eye(3), r"pose has shape \[3, 3\], expected \[4, 4\]"),
        (np.eye(4)[None], r"pose has shape \[1, 4, 4\]"),
        (np.zeros(0), r"pose has shape \[0\]"),
        (bad(1, 3, np.nan), "1 of a pose's 16 numbers are not finite"),
        (np.full((4, 4), np.inf), "16 of a pose's 16"),
        (bad(3, 0, 1.0), r"last row is \[1.0, 0.0, 0.0, 1.0\]"),
        (bad(3, 3, 2.0), "last row"),
        (bad(0, 0, -1.0), "determinant -1 "),
        (bad(0, 0, 1 + 1e-5), "2e-05 from orthonormal"),
        (bad(0, 1, 0.1), "0.1 from orthonormal"),
        (bad(2, 2, 0.0), "determinant 0 "),
        (bad(2, 2, 1e300), "inf from orthonormal"),
        (np.diag([2.0, 0.5, 1, 1]), "3 from orthonormal"),
    ],
)
def test_what_is_no_pose_is_refused(pose: NDArray, sentence: str) -> None:
    with pytest.raises((ShapeError, InputError), match=sentence):
        se3.check_pose(pose)


@quick
@given(pose=POSES)
def test_poses_pass_in_either_precision(pose: NDArray) -> None:
    se3.check_pose(pose)
    se3.check_pose(pose.astype(np.float32))


@pytest.mark.parametrize(
    ("wxyz", "translation", "error"),
    [
        (np.zeros(4), np.zeros(3), InputError),
        (np.array([1, 0, np.nan, 0]), np.zeros(3), InputError),
        (np.array([1, 0, np.inf, 0]), np.zeros(3), InputError),
        (np.ones(3), np.zeros(3), ShapeError),
        (np.ones(4), np.zeros(2), ShapeError),
    ],
)
def test_what_is_no_quaternion_is_refused(
    wxyz: NDArray, translation: NDArray, error: type[Exception]
) -> None:
    with pytest.raises(error):
        se3.from_quaternion(wxyz, translation)

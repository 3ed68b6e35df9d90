"""Courses: free of collisions, the same for a seed, with the lengths and marks they state."""

import math

import numpy as np
import pytest

from worldrt.bench.memory.absence import VISIBLE
from worldrt.bench.memory.course import LOOK, PROTOCOLS, Course, courses
from worldrt.bench.memory.pairs import revisits
from worldrt.config import MotionConfig
from worldrt.errors import ConfigError
from worldrt.geometry.se3 import yaw_pitch
from worldrt.simulators.doom.maze import generate

MOTION = MotionConfig(move_step=0.22, turn_step=5.0)
SEEDS = (0, 5, 12)
SHORT = {"S1": 16, "S3": 260, "S5": 700, "S6": 32, "S7": 200}
CASES = [(protocol, seed) for protocol in PROTOCOLS for seed in SEEDS]


def laid_out(protocol: str, seed: int) -> list[Course]:
    return courses(protocol, seed, MOTION, SHORT.get(protocol))


@pytest.mark.parametrize(("protocol", "seed"), CASES)
def test_every_course_can_be_walked(protocol: str, seed: int) -> None:
    maze = generate(seed)
    for course in laid_out(protocol, seed):
        assert course.protocol == protocol and course.name.startswith(f"{protocol}-")
        assert course.seed == seed
        assert course.in_town or all(maze.free(pose[:3, 3]) for pose in course.poses)
        moved = np.linalg.norm(np.diff(course.poses[:, :3, 3], axis=0), axis=1)
        cosine = (course.poses[1:, :3, 2] * course.poses[:-1, :3, 2]).sum(axis=1)
        assert moved.max() <= MOTION.move_step + 1e-9
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() <= MOTION.turn_step + 1e-4


@pytest.mark.parametrize(("protocol", "seed"), CASES)
def test_marks_mean_what_they_say(protocol: str, seed: int) -> None:
    for course in laid_out(protocol, seed):
        frames = len(course.poses)
        assert course.scored.shape == course.visit.shape == (frames,)
        assert 0 < course.context <= np.flatnonzero(course.scored)[0] or protocol == "S5"
        assert course.scored.any() and not course.scored[0]
        visited = np.flatnonzero(course.visit >= 0)
        assert (course.visit[visited] < visited).all() and course.scored[visited].all()
        assert not course.scored[course.visit[visited]].any(), "a visit is given, not scored"
        np.testing.assert_array_equal(course.poses[visited], course.poses[course.visit[visited]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_seed_is_a_course_whatever_else_is_laid_out(protocol: str) -> None:
    ones, twos = laid_out(protocol, 5), laid_out(protocol, 5)
    assert len({course.name for course in ones}) == len(ones)
    for one, two in zip(ones, twos, strict=True):
        np.testing.assert_array_equal(one.poses, two.poses)
        np.testing.assert_array_equal(one.scored, two.scored)
    others = laid_out(protocol, 6)
    assert any(not np.array_equal(a.poses, b.poses) for a, b in zip(ones, others, strict=True))


@pytest.mark.parametrize("protocol", ["S1", "S3", "S6", "S7"])
def test_a_length_alone_is_the_one_among_all(protocol: str) -> None:
    _, lengths = PROTOCOLS[protocol]
    every = {course.name: course.poses for course in courses(protocol, 5, MOTION)}
    for course in courses(protocol, 5, MOTION, lengths[-1]):
        np.testing.assert_array_equal(course.poses, every[course.name])


@pytest.mark.parametrize("seed", SEEDS)
def test_s1_comes_back_as_the_mirror_of_its_way_out(seed: int) -> None:
    found = courses("S1", seed, MOTION)
    sizes = {course.name: len(course.poses) for course in found}
    assert sizes == {
        **{f"S1-{way}-{n}": 2 * n + 1 for way in ("forward", "strafe") for n in (16, 32, 64)},
        "S1-yaw": 37,
    }
    for course in found:
        np.testing.assert_array_equal(course.poses, course.poses[::-1])
        middle = len(course.poses) // 2
        np.testing.assert_array_equal(course.scored, np.arange(len(course.poses)) > middle)
        assert course.context == middle + 1
        ahead = course.poses[middle, :3, 3] - course.poses[0, :3, 3]
        if "forward" in course.name:
            assert ahead @ course.poses[0, :3, 2] > 0.9 * 0.21 * middle
        if "strafe" in course.name:
            assert abs(ahead @ course.poses[0, :3, 2]) < 1e-9
            assert -(ahead @ course.poses[0, :3, 0]) > 0.9 * 0.21 * middle


@pytest.mark.parametrize("protocol", ["S2", "S4"])
@pytest.mark.parametrize("seed", SEEDS)
def test_second_round_is_the_first(protocol: str, seed: int) -> None:
    for course in courses(protocol, seed, MOTION):
        once = course.context
        assert len(course.poses) == 2 * once and course.scored.sum() == once
        np.testing.assert_array_equal(course.poses[:once], course.poses[once:])
        yaw = np.unwrap(np.arctan2(course.poses[: once + 1, 0, 2], course.poses[: once + 1, 2, 2]))
        turns = (yaw[-1] - yaw[0]) / math.tau
        assert turns == pytest.approx(round(turns)) and abs(round(turns)) == 1
        if protocol == "S4":
            assert once == {"S4-spin": 72, "S4-pitch": 82}[course.name]
            assert np.ptp(course.poses[:, :3, 3], axis=0).max() == 0
            pitch = np.degrees(yaw_pitch(course.poses)[1])
            nods = 15 if course.name == "S4-pitch" else 0
            assert course.in_town == (nods > 0)
            np.testing.assert_allclose([pitch.min(), pitch.max()], [-nods, nods], atol=0.1)


def test_s3_looks_four_times_leaves_and_looks_again() -> None:
    for course in courses("S3", 5, MOTION)[::2]:
        away = int(course.name.rsplit("-", 1)[1])
        assert len(course.poses) == 240 + away + 240 and course.context == 240
        np.testing.assert_array_equal(np.flatnonzero(course.scored), 240 + away + np.arange(240))
        np.testing.assert_array_equal(course.poses[:240], course.poses[-240:])
        yaws = np.arctan2(course.poses[:240:LOOK, 0, 2], course.poses[:240:LOOK, 2, 2])
        np.testing.assert_allclose(np.cos(np.diff(yaws)), 0, atol=1e-12)
        still = course.poses[:42]
        assert (still == still[0]).all()
        apart = np.linalg.norm(course.poses[240:-240, :3, 3] - course.poses[0, :3, 3], axis=1)
        assert apart.max() > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_s3_looks_again_from_a_step_aside(seed: int) -> None:
    same, other = courses("S3", seed, MOTION, 60)
    assert (same.name, other.name) == ("S3-detour-60", "S3-aside-60")
    assert other.context == 240 and other.scored.sum() == 240 and (other.visit == -1).all()
    np.testing.assert_array_equal(other.poses[:300], same.poses[:300])
    moved = np.linalg.inv(same.poses[-240:]) @ other.poses[-240:]
    np.testing.assert_allclose(np.linalg.norm(moved[:, :3, 3], axis=1), 0.6, atol=1e-9)
    np.testing.assert_allclose(np.degrees(np.arccos(moved[:, 0, 0])), 12, atol=1e-6)


def test_s5_scores_revisits_and_the_published_cuts() -> None:
    walk, worldmem, forcing = courses("S5", 5, MOTION, 700)
    np.testing.assert_array_equal(np.flatnonzero(walk.scored), revisits(walk.poses)[:, 1])
    assert walk.scored.sum() >= 20
    assert (len(worldmem.poses), worldmem.context, worldmem.scored.sum()) == (700, 600, 100)
    assert (len(forcing.poses), forcing.context, forcing.scored.sum()) == (800, 600, 200)
    np.testing.assert_array_equal(worldmem.poses, forcing.poses[100:])


@pytest.mark.parametrize("seed", SEEDS)
def test_s6_looks_away_for_as_long_as_it_says(seed: int) -> None:
    for course in courses("S6", seed, MOTION):
        _, way, kinds, frames = course.name.split("-")
        assert course.hidden is not None and course.movers is not None
        assert course.hidden.stop - course.hidden.start == int(frames)
        assert course.context == VISIBLE and course.scored.sum() == VISIBLE
        assert len(course.movers) == {"moving": 4, "replaced": 2}[kinds]
        first, gone = course.poses[0], course.poses[course.hidden]
        # Views of 90 degrees share no direction; who stands behind sees nothing before.
        assert (gone[:, :3, 2] @ first[:3, 2] <= 1e-9).all()
        assert ((gone[:, :3, 3] - first[:3, 3]) @ first[:3, 2] <= 1e-9).all()
        assert (course.visit >= 0).any() == (way == "exit")
        if kinds == "replaced":
            changes = {mover.change for mover in course.movers.movers}
            assert all(course.hidden.start <= at < course.hidden.stop for at in changes)


def test_s7_is_s2_and_s3() -> None:
    found = courses("S7", 5, MOTION)
    assert [course.name for course in found] == ["S7-square", "S7-loop", "S7-detour-500"]
    plain = [*courses("S2", 5, MOTION), *courses("S3", 5, MOTION, 500)[:1]]
    for course, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(course.poses, other.poses)


@pytest.mark.parametrize(
    ("protocol", "length", "words"),
    [
        ("S9", None, "Unknown protocol 'S9': choose one of S1, S2, S3, S4, S5, S6, S7."),
        ("S2", 30, "Protocol S2 has no length, got 30; leave it out."),
        ("S3", 0, "A length is at least 1 frame, got 0."),
        ("S1", 400, "S1 goes 400 frames out, but maze 5 has a straight way of"),
        ("S5", 40, "Of 50 random walks of 40 frames in maze 5 none comes back 20 times"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(protocol: str, length: int | None, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        courses(protocol, 5, MOTION, length)
    assert str(refused.value).startswith(words)


def test_a_turn_too_slow_for_the_looks_is_refused() -> None:
    with pytest.raises(ConfigError, match="turn by at least 1.5 degrees a frame"):
        courses("S3", 5, MotionConfig(move_step=0.22, turn_step=1.0), 500)

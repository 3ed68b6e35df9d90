"""Plans that make sense, and rows whose figures are those of the frames that were walked."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.bench.test_policy_walk import room_course
from worldrt.bench.course import Course
from worldrt.bench.drift import drift
from worldrt.bench.metrics import ssim
from worldrt.bench.policy_rows import WINDOW, Plan, PolicyRow, course_file, mark, measure
from worldrt.bench.policy_walk import walk
from worldrt.errors import ConfigError
from worldrt.world import World

FRAMES = 56
"""A turn in the room has 36 frames, so the last second shows what frames 11 to 20 showed."""


@pytest.fixture(scope="module")
def plan(world_folder: Path) -> Plan:
    return Plan(
        world=str(world_folder),
        long_seeds=(5,),
        short_seeds=(3,),
        marks=(4, 24, FRAMES),
        lap=36,
        warm_up=2,
    )


@pytest.fixture(scope="module")
def courses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("courses")
    room_course(FRAMES).write(course_file(folder, 5))
    room_course(24).write(course_file(folder, 3))
    return folder


@pytest.fixture(scope="module")
def row(plan: Plan, courses: Path) -> PolicyRow:
    return measure(plan, courses, "window")


def test_means_are_over_the_first_frames_of_all_walks(
    world: World, courses: Path, row: PolicyRow
) -> None:
    long = walk(world, Course.read(course_file(courses, 5)), "window", 320)
    short = walk(world, Course.read(course_file(courses, 3)), "window", 320)
    assert row.psnr == pytest.approx(np.mean([long.psnr[:24], short.psnr]))
    assert row.psnr_seen == pytest.approx(np.mean([long.psnr_seen[:24], short.psnr_seen]))
    novel = np.concatenate([long.psnr_novel[:24], short.psnr_novel[:-1]])
    assert row.psnr_novel == pytest.approx(novel.mean())
    np.testing.assert_allclose(row.curve, long.psnr[:50].reshape(5, 10).mean(axis=1))


def test_marks_are_of_the_frames_that_end_there(
    world: World, courses: Path, row: PolicyRow
) -> None:
    long = walk(world, Course.read(course_file(courses, 5)), "window", 320)
    assert [one.frame for one in row.marks] == [4, 24, FRAMES]
    assert row.marks[0].psnr == pytest.approx(long.psnr[:4].mean())
    last = row.marks[2]
    assert last == mark(FRAMES, [long])
    assert last.psnr == pytest.approx(long.psnr[-WINDOW:].mean())
    assert last.ssim == pytest.approx(ssim(long.frames[-8:], long.course.truth[-8:]))
    assert last.psnr_novel == pytest.approx(np.nanmean(long.psnr_novel[-WINDOW:]))


def test_drift_is_against_the_same_views(world: World, courses: Path, row: PolicyRow) -> None:
    long = walk(world, Course.read(course_file(courses, 5)), "window", 320)
    frames, truth = long.frames, long.course.truth
    same, begun = slice(10, 20), slice(0, 10)
    assert row.drift == drift(frames[same], frames[-10:], truth[same], truth[-10:])
    assert row.drift_from_start == drift(frames[begun], frames[-10:], truth[begun], truth[-10:])
    assert row.revisit is not None and row.revisit.gain > 3


def test_costs_are_those_of_the_blocks(row: PolicyRow) -> None:
    assert (row.policy, row.frames) == ("window", FRAMES)
    assert row.context_tokens == 12 * 12
    assert row.cache_bytes > 100_000 and row.block_ms > 0 and row.seconds > 0
    assert 0 <= row.policy_percent < 100


def test_policy_that_grows_has_no_figures_beyond_its_end(plan: Plan, courses: Path) -> None:
    row = measure(msgspec.structs.replace(plan, most_context=24), courses, "full")
    assert row.frames == 24 and [one.frame for one in row.marks] == [4, 24]
    assert row.drift is row.drift_from_start is row.revisit is None
    assert row.context_tokens == 28 * 12 and len(row.curve) == 2


def test_row_survives_being_written(row: PolicyRow) -> None:
    assert msgspec.json.decode(msgspec.json.encode(row), type=PolicyRow) == row


@pytest.mark.parametrize(
    ("seeds", "long", "short"), [(1, 1, 0), (3, 1, 2), (4, 1, 3), (5, 2, 3), (8, 2, 6)]
)
def test_a_quarter_of_the_mazes_is_walked_at_length(seeds: int, long: int, short: int) -> None:
    plan = Plan.of("maze", seeds)
    assert list(plan.courses.values()) == [1024] * long + [256] * short
    assert list(plan.courses) == list(range(seeds))


def test_marks_a_lap_apart_show_the_same_views() -> None:
    plan = Plan.of("maze", 1)
    assert (plan.marks[-1] - plan.marks[-2]) % plan.lap == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Plan.of("maze", 0), "0 mazes measures nothing"),
        (lambda: Plan(world="maze", long_seeds=()), "one of them at length"),
        (lambda: Plan(world="maze", long_seeds=(1,), short_seeds=(1,)), "different mazes"),
        (lambda: Plan(world="maze", long_seeds=(1,), marks=(8,)), "two or more rising"),
        (lambda: Plan(world="maze", long_seeds=(1,), marks=(8, 8)), "two or more rising"),
        (lambda: Plan(world="maze", long_seeds=(1,), marks=(0, 8)), "two or more rising"),
    ],
)
def test_plans_that_make_no_sense_are_refused(call, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        call()

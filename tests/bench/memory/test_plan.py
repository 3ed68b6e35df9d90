"""What a run of the memory benchmark walks, from what a user said."""

import pytest

from worldrt.bench.memory.plan import NOT_GENERATED, PROTOCOLS, QUICK_COURSES, Job, Plan, make_plan
from worldrt.config import MotionConfig
from worldrt.errors import ConfigError

MOTION = MotionConfig(move_step=0.22, turn_step=5.0)


def test_everything_is_walked_unless_less_is_asked_for() -> None:
    plan = make_plan("maze", False, "both", "", None)
    assert plan.tracks == ("memory", "generative") and plan.protocols == PROTOCOLS
    assert plan.seeds == (0, 1, 2, 3, 4)
    assert make_plan("maze", True, "both", "", None).seeds == (0, 1)


def test_jobs_are_each_track_protocol_and_maze_but_what_makes_no_sense() -> None:
    plan = make_plan("maze", True, "both", " s6, S3,S8,", 3)
    assert plan.protocols == ("S3", "S6", "S8")
    expected = {("memory", name, seed) for name in ("S3", "S6") for seed in range(3)}
    expected |= {("generative", "S3", seed) for seed in range(3)}
    assert {tuple(job) for job in plan.jobs} == expected
    assert len(plan.jobs) == len(expected)
    assert [job.track for job in plan.jobs[:3]] == ["generative"] * 3, "the longest first"
    assert not any(job.protocol in NOT_GENERATED for job in plan.jobs if job.track == "generative")


def test_job_comes_back_from_its_name() -> None:
    for job in make_plan("maze", True, "both", "", 2).jobs:
        assert Job.parse(str(job)) == job


def test_quick_courses_are_some_of_all() -> None:
    for track, quick in QUICK_COURSES.items():
        for protocol in quick:
            job = Job(track, protocol, 0)
            some = [course.name for course in job.courses(MOTION, True)]
            assert tuple(some) == quick[protocol], "each is there under its name"
            assert set(some) <= {course.name for course in job.courses(MOTION, False)}
    jobs = make_plan("maze", True, "both", "", 1).jobs
    assert {(job.track, job.protocol) for job in jobs} == {
        (track, protocol) for track, quick in QUICK_COURSES.items() for protocol in quick
    }


def test_no_world_is_sent_to_town() -> None:
    """S4's `pitch` is a course of the memory alone."""
    found = {track: Job(track, "S4", 0).courses(MOTION, False) for track in QUICK_COURSES}
    assert [course.name for course in found["memory"]] == ["S4-spin", "S4-pitch"]
    assert [course.name for course in found["generative"]] == ["S4-spin"]


@pytest.mark.parametrize(
    "track, protocols, seeds, sentence",
    [
        ("memry", "", None, "Unknown track 'memry': did you mean 'memory'?"),
        ("both", "S1,S9", None, "Unknown protocol 'S9'"),
        ("both", "", 0, "needs 1 to 1000000 mazes, got 0"),
        ("both", "", 1_000_001, "needs 1 to 1000000 mazes, got 1000001"),
    ],
)
def test_nonsense_is_refused(track: str, protocols: str, seeds: int | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_plan("maze", False, track, protocols, seeds)


@pytest.mark.parametrize(
    "quick, protocols, sentence",
    [
        (False, "S6,S7", "Nothing of S6, S7 is walked on the track 'generative'; ask"),
        (True, "S2", "Nothing of S2 is walked on the track 'generative' with --quick; ask"),
    ],
)
def test_what_is_walked_nowhere_is_refused(quick: bool, protocols: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make_plan("maze", quick, "generative", protocols, None)


def test_plan_of_scale_alone_has_no_jobs() -> None:
    assert make_plan("maze", True, "both", "S8", None).jobs == []
    assert Plan(world="", quick=True, tracks=(), protocols=("S1",), seeds=(0,)).jobs == []

"""All figures of a walked course: which there are, and that they rank what must be ranked."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory import figures as module
from worldrt.bench.memory.course import Course
from worldrt.bench.memory.figures import Walked, ages, figures
from worldrt.bench.memory.memory_track import middles, play
from worldrt.bench.memory.moving import Return
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.systems import SYSTEMS
from worldrt.bench.memory.truth import Truth
from worldrt.bench.memory.video import Costs, Video
from worldrt.simulators.movers import Mover, Movers

COURSE = there_and_back(16)
TRUTH = truth_of(COURSE)
NOTHING = np.zeros((15, 48, 64), np.float32)


@pytest.fixture(scope="module")
def walked() -> Walked:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Truth, "render", lambda course, camera: TRUTH)
        return Walked.record(COURSE, ROOM_CAMERA, "memory")


@pytest.fixture(scope="module")
def found(walked: Walked) -> dict[str, dict[str, float]]:
    setting = Setting(camera=ROOM_CAMERA, budget=4_000_000, truth=TRUTH.depth)
    return {name: figures(play(name, COURSE, TRUTH, setting), walked) for name in SYSTEMS}


def test_everything_measured_is_a_number(found: dict[str, dict[str, float]]) -> None:
    for system, told in found.items():
        assert all(np.isfinite(value) for value in told.values()), system
        assert {"psnr_seen", "ssim_seen", "psnr_first", "covered"} < set(told), system
    everything = {"coverage", "duplicates", "age", "ghost", "absrel", "psnr_mg", "bytes"}
    assert everything < set(found["map:coverage"]) and everything < set(found["frames:nearest"])


def test_the_camera_of_what_is_shown_is_where_it_ought_to_be(
    found: dict[str, dict[str, float]],
) -> None:
    ours, ceiling = found["map"], found["truth3d"]
    assert ours["registered"] == ceiling["registered"] == 1
    assert ceiling["r_dist"] < 0.001 and ceiling["drift_m"] < 0.005
    assert ceiling["r_dist"] <= ours["r_dist"] < 0.02 and ours["drift_m"] < 0.05
    assert found["none"]["registered"] == 0 and "r_dist" not in found["none"]
    assert all("t_dist" not in told for told in found.values()), "a turn on the spot"


def test_what_drifts_is_told_as_a_share_of_the_way(walked: Walked) -> None:
    """The same turn, but the first frame is told to have been 2 m away."""
    away = TRUTH.poses.copy()
    away[0, 0, 3] += 2
    moved = replace(walked, truth=replace(TRUTH, poses=away))
    # Each frame is shown one of the turn (8 degrees) too late.
    late = np.concatenate([TRUTH.rgb[:1], TRUTH.rgb[:-1]])
    video = Video(frames=late, depth=NOTHING, mask=NOTHING, chosen={}, costs=Costs())
    told = figures(video, moved)
    assert told["registered"] > 0.5
    assert told["r_dist"] == pytest.approx(np.radians(8), abs=0.01)
    assert told["drift_m"] < 0.05
    assert told["t_dist"] == pytest.approx(told["drift_m"] / 2)


def test_ages_are_those_of_what_was_told(walked: Walked) -> None:
    setting = Setting(camera=ROOM_CAMERA, budget=4_000_000, truth=TRUTH.depth)
    repeat = ages(play("repeat", COURSE, TRUTH, setting))
    # Frame 15 is shown in 16 to 30: ages 1 to 15, of which seven are below 8.
    assert repeat.shown == [7 / 15, 8 / 15, *[0.0] * 9] and repeat.chosen == []
    last = ages(play("frames:last", COURSE, TRUTH, setting))
    chosen = [middle - at for middle in middles(COURSE.scored) for at in range(8, 16)]
    expected = [sum(low <= age < high for age in chosen) for low, high in ((0, 8), (8, 16))]
    assert last.chosen[:2] == pytest.approx([count / len(chosen) for count in expected])
    assert sum(last.chosen) == pytest.approx(1) and sum(last.shown) == pytest.approx(1)
    nothing = ages(play("none", COURSE, TRUTH, setting))
    assert nothing.shown == nothing.chosen == []


def test_static_cheat_gains_nothing(found: dict[str, dict[str, float]]) -> None:
    assert found["static"]["psnr_mg"] == 0 and "psnr_nmr" not in found["static"]
    assert found["map"]["psnr_mg"] > 3


def test_oracle_covers_most_and_the_ceiling_looks_best(
    found: dict[str, dict[str, float]],
) -> None:
    assert found["frames:oracle"]["coverage"] == pytest.approx(1)
    for system, told in found.items():
        # Greedy is not the optimum, so a lucky choice may show a little more.
        assert told.get("coverage", 0) <= 1.02, system
        if system not in ("static", "truth3d"):
            assert told["psnr_seen"] <= found["truth3d"]["psnr_seen"], system
    assert found["none"]["covered"] == 0 == found["none"]["coverage"]


def test_coverage_of_the_oracles_own_choice_is_one(walked: Walked) -> None:
    assert list(walked.best) == list(walked.wanted) == middles(COURSE.scored)
    assert all(0.9 < share <= 1 for share in walked.best.values())


def test_seen_is_what_the_given_frames_show(walked: Walked) -> None:
    assert set(walked.seen) == set(np.flatnonzero(COURSE.scored).tolist())
    assert all(mask.mean() > 0.95 for mask in walked.seen.values()), "the way back sees nothing new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Truth, "render", lambda course, camera: TRUTH)
        short = replace(COURSE, context=1)
        generative = Walked.record(short, ROOM_CAMERA, "generative")
    assert generative.best == generative.wanted == {}
    shares = [mask.mean() for mask in generative.seen.values()]
    assert shares[0] < 0.3 < 0.9 < shares[-1], "a world is given the context alone"
    assert list(generative.between) == list(range(1, 16)) and walked.between == {}
    still = Video(frames=TRUTH.rgb, depth=NOTHING, mask=NOTHING, chosen={}, costs=Costs())
    assert figures(still, generative)["psnr_novel"] == 60


def test_long_courses_are_measured_on_some_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Truth, "render", lambda course, camera: TRUTH)
    monkeypatch.setattr(module, "MOST_SCORED", 4)
    monkeypatch.setattr(module, "MOST_PAIRS", 3)
    few = Walked.record(COURSE, ROOM_CAMERA, "memory")
    assert list(few.seen) == [16, 21, 25, 30], "spread from the first to the last"
    assert len(few.mined.revisits) == 3 >= len(few.mined.baselines)


def test_course_without_things_that_move_has_no_return(walked: Walked) -> None:
    assert isinstance(walked.course, Course) and walked.back is None


@pytest.mark.parametrize("told_back", [False, True])
def test_memory_that_is_told_back_is_judged_by_its_lag_alone(
    walked: Walked, told_back: bool
) -> None:
    """What it was told a moment ago is no foresight: the last picture again would be alive."""
    scored = np.flatnonzero(COURSE.scored)
    ids = np.full((len(scored), 48, 64), -1, np.int8)
    ids[:, 10:20, 10:20] = 0
    real = replace(TRUTH.at(scored), ids=ids)
    rgb = real.rgb.copy()
    rgb[:, 10:20, 10:20] = 0
    gone = replace(real, rgb=rgb, ids=np.full_like(ids, -1))
    mover = Mover(kind="added", place=np.zeros(3), size=np.ones(3), way=np.zeros(3))
    course = replace(COURSE, movers=Movers([mover]))
    back = Return(truth=real, frozen=gone, empty=gone)
    video = Video(
        frames=TRUTH.rgb,
        depth=NOTHING,
        mask=NOTHING,
        chosen={},
        costs=Costs(),
        told_back=told_back,
    )
    found = figures(video, replace(walked, course=course, back=back))
    assert ("lag" in found and "lag_added" in found) == told_back
    assert ("liveness" in found and "iou_added" in found) == (not told_back)
    assert found.get("lag", 0) == 0 and found.get("liveness", 1) == 1

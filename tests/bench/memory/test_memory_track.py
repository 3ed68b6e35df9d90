"""The memory alone: what it is told, when it is asked, and that the controls behave."""

import numpy as np
import pytest

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory.memory_track import blocks, middles, play
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.systems import CEILING, STATIC, SYSTEMS
from worldrt.bench.memory.video import Video
from worldrt.bench.metrics import psnr

COURSE = there_and_back(12)
TRUTH = truth_of(COURSE)
SETTING = Setting(camera=ROOM_CAMERA, budget=4_000_000, truth=TRUTH.depth)
SCORED = COURSE.scored


@pytest.fixture(scope="module")
def videos() -> dict[str, Video]:
    return {name: play(name, COURSE, TRUTH, SETTING) for name in SYSTEMS}


def quality(video: Video) -> float:
    return psnr(video.frames[SCORED], TRUTH.rgb[SCORED])


def test_what_is_not_scored_is_shown_as_it_was_given(videos: dict[str, Video]) -> None:
    for name, video in videos.items():
        assert video.frames.shape == TRUTH.rgb.shape and len(video.depth) == SCORED.sum()
        if name != STATIC:
            np.testing.assert_array_equal(video.frames[~SCORED], TRUTH.rgb[~SCORED])


def test_controls_are_where_they_belong(videos: dict[str, Video]) -> None:
    assert not videos["none"].mask.any() and (videos["none"].frames[SCORED] == 128).mean() > 0.99
    assert (videos["repeat"].frames[SCORED] == TRUTH.rgb[11]).mean() > 0.98
    assert (videos[STATIC].frames == TRUTH.rgb[12]).all()
    ours, ceiling = quality(videos["map"]), quality(videos[CEILING])
    floor = max(quality(videos["none"]), quality(videos["repeat"]))
    assert floor < ours - 3 < ceiling - 3


def test_all_that_remember_beat_those_that_do_not(videos: dict[str, Video]) -> None:
    for name in ("frames:nearest", "frames:montecarlo", "frames:oracle", "map", "map:coverage"):
        assert quality(videos[name]) > quality(videos["repeat"]) + 3, name


def test_choices_are_asked_for_in_the_middle_of_each_block(videos: dict[str, Video]) -> None:
    for name in ("frames:nearest", "map"):
        assert list(videos[name].chosen) == middles(SCORED) == [14, 18, 21]
        assert all(0 <= at < 12 for chosen in videos[name].chosen.values() for at in chosen)
        assert len(videos[name].costs.retrieve_ms) == len(videos[name].costs.view_ms) == 3
        assert len(videos[name].costs.insert_ms) == 12
    assert videos[CEILING].chosen == {} and videos[STATIC].chosen == {}


def test_memory_that_is_told_back_knows_each_frame_when_the_next_comes() -> None:
    told = play("repeat", COURSE, TRUTH, SETTING, tell_back=True)
    assert told.told_back and len(told.costs.insert_ms) == len(COURSE.poses)
    for frame in np.flatnonzero(SCORED):
        assert (told.frames[frame] == TRUTH.rgb[frame - 1]).mean() > 0.98


def test_memory_believes_what_it_is_told() -> None:
    """Depths of half their size halve the memory's."""
    half = play("map", COURSE, TRUTH, SETTING, told_depth=TRUTH.depth * np.float32(0.5))
    shown = half.mask > 0.9
    assert shown.mean() > 0.5
    share = half.depth[shown] / TRUTH.depth[SCORED][shown]
    assert np.median(share) == pytest.approx(0.5, rel=0.02)
    moved = COURSE.poses.copy()
    moved[:, 0, 3] += 50  # all poses alike: the views are the same
    there = play("map", COURSE, TRUTH, SETTING, told_poses=moved)
    assert quality(there) == pytest.approx(quality(play("map", COURSE, TRUTH, SETTING)), abs=0.3)


def test_blocks_are_cut_where_the_kind_changes() -> None:
    scored = np.array([0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1], np.bool_)
    assert blocks(scored) == [
        (0, 4, False),
        (4, 1, False),
        (5, 2, True),
        (7, 1, False),
        (8, 4, True),
        (12, 1, True),
    ]
    assert middles(scored) == [6, 10, 12]
    assert [count for _, count, _ in blocks(scored, 1)] == [1] * 13

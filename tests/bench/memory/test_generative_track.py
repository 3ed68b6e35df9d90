"""A world with each memory on one course: what it is given, and what it makes."""

from dataclasses import replace

import numpy as np
import pytest

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory.generative_track import OWN, play, systems
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.systems import STATIC
from worldrt.bench.memory.video import Video
from worldrt.bench.metrics import psnr
from worldrt.errors import ConfigError
from worldrt.world import World

COURSE = there_and_back(12)
TRUTH = truth_of(COURSE)
SETTING = Setting(camera=ROOM_CAMERA, budget=4_000_000, latent_shape=(16, 6, 8))


@pytest.fixture(scope="module")
def videos(world: World) -> dict[str, Video]:
    setting = replace(SETTING, truth=TRUTH.depth)
    return {name: play(world, name, COURSE, TRUTH, setting) for name in systems(world, quick=False)}


def test_a_quick_run_has_what_is_judged(world: World) -> None:
    assert set(systems(world, quick=True)) < set(systems(world, quick=False))
    assert {"none", "frames:nearest", "frames:montecarlo", OWN} < set(systems(world, quick=True))


def test_the_cheat_shows_the_last_true_frame_for_ever(videos: dict[str, Video]) -> None:
    cheat = videos[STATIC].frames
    np.testing.assert_array_equal(cheat[12:], np.repeat(TRUTH.rgb[11:12], len(cheat) - 12, axis=0))


def test_what_is_recalled_is_not_drawn(videos: dict[str, Video]) -> None:
    """And each way of choosing makes another video."""
    ways = [name for name in videos if name.endswith(":context")]
    assert len(ways) == 3
    for way in ways:
        assert not np.array_equal(videos[way].frames, videos["none"].frames)


def test_context_is_given_and_the_rest_is_made(videos: dict[str, Video]) -> None:
    for name, video in videos.items():
        if name == STATIC:
            continue
        np.testing.assert_array_equal(video.frames[:12], TRUTH.rgb[:12])
        assert (video.frames[12:] != TRUTH.rgb[12:]).mean() > 0.1, name
        assert len(video.depth) == len(video.mask) == 11
        # The last of three blocks reaches a frame beyond the end.
        assert len(video.costs.block_ms) == 3


def test_memory_is_known_where_it_was_seen(videos: dict[str, Video]) -> None:
    assert not videos["none"].mask.any() and videos["none"].costs.points == 0
    for name in ("frames:nearest", "frames:montecarlo", OWN):
        assert videos[name].mask.mean() > 0.5, name
        assert videos[name].costs.points > 0 < videos[name].costs.bytes


def test_scored_frames_need_not_follow_the_context(world: World, videos: dict[str, Video]) -> None:
    at = np.arange(len(COURSE.poses))
    late = play(world, "none", replace(COURSE, scored=at >= 18), TRUTH, SETTING)
    assert len(late.depth) == 5
    np.testing.assert_array_equal(late.depth, videos["none"].depth[6:])
    np.testing.assert_array_equal(late.frames, videos["none"].frames)


def test_memory_helps_a_world_that_adds_nothing_of_its_own(videos: dict[str, Video]) -> None:
    """The tiny world's weights are random: it is its memory with noise, and none is noise alone."""
    told = {name: psnr(video.frames[12:], TRUTH.rgb[12:]) for name, video in videos.items()}
    assert told[OWN] > told["none"] and told["frames:nearest"] > told["none"]


def test_unknown_memory_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="Unknown memory 'mop'"):
        play(world, "mop", COURSE, TRUTH, SETTING)

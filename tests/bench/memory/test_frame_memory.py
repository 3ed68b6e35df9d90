"""A memory of whole frames: what it draws, gives back and looks at."""

import numpy as np
import pytest

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory.frame_memory import (
    Ceiling,
    FrameMemory,
    Quarters,
    ends,
    quarter,
    warp,
)
from worldrt.bench.memory.setting import Setting
from worldrt.bench.metrics import psnr
from worldrt.errors import ConfigError
from worldrt.memory.spatial import keyframes
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.memory import Footage

COURSE = there_and_back(9)
TRUTH = truth_of(COURSE)
SETTING = Setting(camera=ROOM_CAMERA, budget=0, truth=TRUTH.depth)


def told(method: str, frames: int, latents: bool = False) -> FrameMemory:
    memory = FrameMemory(method, SETTING)
    given = slice(frames)
    random = np.random.default_rng(0).standard_normal((frames, 2, 6, 8)).astype(np.float32)
    past = random if latents else None
    memory.remember(Footage(TRUTH.rgb[given], TRUTH.depth[given], COURSE.poses[given], 0, past))
    return memory


def test_frame_drawn_into_its_own_view_is_itself() -> None:
    kept = Frame(TRUTH.rgb[0], TRUTH.depth[0], COURSE.poses[0], 7)
    view = warp([kept], COURSE.poses[:1], ROOM_CAMERA)
    inside = view.mask[0] == 1
    assert inside.mean() > 0.8
    assert psnr(view.rgb[0], TRUTH.rgb[0] / 255, inside) > 40
    np.testing.assert_allclose(view.depth[0][inside], TRUTH.depth[0][inside], rtol=1e-3)
    np.testing.assert_allclose(view.written[0][inside], 7, rtol=1e-6)


def test_no_frames_make_an_empty_view() -> None:
    view = warp([], COURSE.poses[:3], ROOM_CAMERA)
    assert view.rgb.shape == (3, 48, 64, 3) and not view.mask.any()


def test_unknown_depth_is_not_drawn() -> None:
    depth = np.full_like(TRUTH.depth[0], np.nan)
    depth[1::2] = 0
    view = warp([Frame(TRUTH.rgb[0], depth, COURSE.poses[0], 0)], COURSE.poses[:1], ROOM_CAMERA)
    assert not view.mask.any()


def test_view_is_drawn_from_what_the_method_chooses() -> None:
    memory = told("last", 9)
    np.testing.assert_array_equal(memory.chosen(COURSE.poses[:1], 3, 9), [8, 7, 6])
    far = memory.view(COURSE.poses[:1], 9)
    near = told("nearest", 9).view(COURSE.poses[:1], 9)
    assert near.mask.mean() > far.mask.mean()
    assert len(memory) == 9 * 48 * 64 and memory.nbytes > 9 * 48 * 64 * 7


def test_latents_come_back_in_order_of_time() -> None:
    memory = told("nearest", 9, latents=True)
    found = memory.retrieve(COURSE.poses[8:9], 3, 9, 0)
    assert found is not None and found.frames == tuple(sorted(found.frames)) == found.ids
    assert found.frames[-1] == 8 and found.latents.shape == (3, 2, 6, 8)
    for row, frame in enumerate(found.frames):
        np.testing.assert_array_equal(found.poses[row], COURSE.poses[frame])
    assert told("nearest", 9).retrieve(COURSE.poses[8:9], 3, 9, 0) is None, "no latents"
    assert FrameMemory("nearest", SETTING).retrieve(COURSE.poses[:1], 3, 0, 0) is None


def test_recent_frames_are_not_recalled() -> None:
    assert set(told("nearest", 9).chosen(COURSE.poses[8:9], 8, 9, recent=4)) <= set(range(5))


def test_generated_frames_are_kept_like_real_ones() -> None:
    memory, known = told("last", 3), np.ones((2, 48, 64), np.float32)
    memory.imagine(Footage(TRUTH.rgb[3:5], TRUTH.depth[3:5], COURSE.poses[3:5], 3), known)
    assert memory.chosen(COURSE.poses[:1], 2, 5) == [4, 3]


def test_oracle_needs_the_truth() -> None:
    memory = FrameMemory("oracle", Setting(camera=ROOM_CAMERA, budget=0))
    memory.remember(Footage(TRUTH.rgb[:2], TRUTH.depth[:2], COURSE.poses[:2], 0))
    with pytest.raises(ConfigError, match="truth"):
        memory.view(COURSE.poses[2:3], 2)


def test_ceiling_shows_each_view_from_its_own_frame() -> None:
    memory = Ceiling(SETTING)
    memory.remember(Footage(TRUTH.rgb, TRUTH.depth, COURSE.poses, 0))
    view = memory.view(COURSE.poses[4:6], 4)
    for row, frame in enumerate((4, 5)):
        covered = view.mask[row] == 1
        np.testing.assert_allclose(view.written[row][covered], frame, rtol=1e-6)
        assert covered.mean() > 0.8


def test_quarter_pixels_are_those_of_the_quarter_camera() -> None:
    """The middle of a quarter pixel projects to the middle of the pixel that it stands for."""
    coarse = keyframes.quarter(ROOM_CAMERA)
    np.testing.assert_array_equal(
        quarter(TRUTH.depth[0]), TRUTH.depth[0][2::4, 2::4].astype(np.float32)
    )
    assert quarter(TRUTH.depth).shape[1:] == (coarse.height, coarse.width)
    points = coarse.unproject(quarter(TRUTH.depth[0]), np.eye(4))
    pixels, _ = ROOM_CAMERA.project(points, np.eye(4))
    rows, columns = np.mgrid[: coarse.height, : coarse.width]
    np.testing.assert_allclose(pixels[..., 0], 4 * columns + 2.5, atol=1e-9)
    np.testing.assert_allclose(pixels[..., 1], 4 * rows + 2.5, atol=1e-9)


def test_blocks_are_chosen_for_by_their_ends() -> None:
    views = np.arange(9)
    assert [views[:count][ends(count)].tolist() for count in (1, 2, 3, 4)] == [
        [0],
        [0, 1],
        [0, 2],
        [0, 3],
    ]


def test_quarters_grow_without_forgetting() -> None:
    quarters, random = Quarters(ROOM_CAMERA), np.random.default_rng(3)
    depths = random.uniform(1, 5, (150, 48, 64)).astype(np.float32)
    depths[3, 2, 2] = np.inf
    for index, depth in enumerate(depths):
        quarters.add(depth, np.eye(4) * index, index + 5)
    found = quarters.candidates()
    np.testing.assert_array_equal(found.index, np.arange(5, 155))
    np.testing.assert_array_equal(found.ids, np.arange(150))
    assert found.depth[3, 0, 0] == 0 and (found.poses[149] == np.eye(4) * 149).all()
    expected = quarter(depths)
    expected[3, 0, 0] = 0
    np.testing.assert_array_equal(found.depth, expected)

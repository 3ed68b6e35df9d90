"""The controls: no memory knows nothing, and the last frame stays where it is on the screen."""

import numpy as np

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory.controls import Nothing, Repeat
from worldrt.bench.memory.setting import Setting
from worldrt.memory.spatial.memory import Footage

SETTING = Setting(camera=ROOM_CAMERA, budget=0)
COURSE = there_and_back(5)
TRUTH = truth_of(COURSE)
LATENTS = np.zeros((5, 2, 6, 8), np.float32)


def test_nothing_is_remembered_of_anything() -> None:
    memory = Nothing(SETTING)
    memory.remember(Footage(TRUTH.rgb[:5], TRUTH.depth[:5], COURSE.poses[:5], 0, LATENTS))
    known = np.zeros((2, 48, 64), np.float32)
    memory.imagine(Footage(TRUTH.rgb[5:7], TRUTH.depth[5:7], COURSE.poses[5:7], 5), known)
    view = memory.view(COURSE.poses[:3], 7)
    assert view.rgb.shape == (3, 48, 64, 3) and view.mask.shape == (3, 48, 64)
    assert all(image.dtype == np.float32 and not image.any() for image in view)
    assert memory.retrieve(COURSE.poses[:1], 8, 7, 0) is None
    assert memory.chosen(COURSE.poses[:1], 8, 7) == []
    assert len(memory) == memory.nbytes == 0


def test_last_frame_is_shown_wherever_the_camera_looks() -> None:
    memory = Repeat(SETTING)
    assert not memory.view(COURSE.poses[:1], 0).mask.any() and len(memory) == 0
    memory.remember(Footage(TRUTH.rgb[:5], TRUTH.depth[:5], COURSE.poses[:5], 0))
    view = memory.view(COURSE.poses[:2], 5)
    for row in range(2):
        np.testing.assert_array_equal(np.rint(view.rgb[row] * 255), TRUTH.rgb[4])
        np.testing.assert_array_equal(view.depth[row], TRUTH.depth[4])
    assert (view.mask == 1).all() and (view.written == 4).all()
    assert len(memory) == 48 * 64 and memory.nbytes == 48 * 64 * 7
    known = np.zeros((1, 48, 64), np.float32)
    memory.imagine(Footage(TRUTH.rgb[6:7], TRUTH.depth[6:7], COURSE.poses[6:7], 6), known)
    assert (memory.view(COURSE.poses[:1], 7).written == 6).all()


def test_unknown_depth_of_the_last_frame_is_no_memory() -> None:
    memory = Repeat(SETTING)
    depth = TRUTH.depth[:1].copy()
    depth[0, 0, :3] = 0, np.nan, np.inf
    memory.remember(Footage(TRUTH.rgb[:1], depth, COURSE.poses[:1], 0))
    view = memory.view(COURSE.poses[:1], 1)
    assert view.mask[0, 0].sum() == 61 and np.isfinite(view.depth).all()

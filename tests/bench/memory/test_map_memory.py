"""The map as a system under test: points or keyframes, and what moves."""

import numpy as np

from tests.bench.memory.rooms import ROOM_CAMERA, there_and_back, truth_of
from worldrt.bench.memory.map_memory import KeyframeMemory, MapMemory
from worldrt.bench.memory.setting import Setting
from worldrt.bench.metrics import psnr
from worldrt.memory.spatial.memory import Footage

COURSE = there_and_back(9)
TRUTH = truth_of(COURSE)
SHAPE = (2, 6, 8)
BUDGET = 4_000_000


def told(draw: str | None = None, latents: bool = False) -> MapMemory:
    shape = SHAPE if latents else None
    setting = Setting(camera=ROOM_CAMERA, budget=BUDGET, latent_shape=shape)
    memory = MapMemory(setting) if draw is None else KeyframeMemory(setting, method=draw)
    values = np.arange(9 * 2 * 6 * 8, dtype=np.float32).reshape(9, *SHAPE) % 7
    past = values if latents else None
    memory.remember(Footage(TRUTH.rgb[:9], TRUTH.depth[:9], COURSE.poses[:9], 0, past))
    return memory


def test_points_and_keyframes_show_what_was_seen() -> None:
    for draw in (None, "coverage", "surfel"):
        memory = told(draw)
        view = memory.view(COURSE.poses[9:11], 9)
        covered = view.mask > 0.5
        assert covered.mean() > 0.7, draw
        assert psnr(view.rgb, TRUTH.rgb[9:11] / 255, covered) > 20, draw
        np.testing.assert_allclose(view.depth[covered], TRUTH.depth[9:11][covered], rtol=0.1)


def test_pictures_of_keyframes_are_counted_in_the_bytes() -> None:
    plain, drawn = told(), told("coverage")
    assert plain.nbytes == plain.map.nbytes <= BUDGET < 1.1 * drawn.nbytes
    assert (drawn.nbytes - drawn.map.nbytes) % (48 * 64 * 7) == 0 < drawn.nbytes - plain.nbytes
    assert len(plain) == len(plain.map) > 48 * 64


def test_chosen_frames_are_keyframes_and_come_back_with_their_latents() -> None:
    memory = told(latents=True)
    chosen = memory.chosen(COURSE.poses[9:10], 8, 9)
    found = memory.retrieve(COURSE.poses[9:10], 8, 9, 0)
    assert found is not None and found.frames == tuple(sorted(chosen))
    assert set(chosen) <= set(range(9)) and 0 in chosen
    values = np.arange(9 * 2 * 6 * 8, dtype=np.float32).reshape(9, *SHAPE) % 7
    np.testing.assert_array_equal(found.latents, values[list(found.frames)])
    np.testing.assert_array_equal(found.poses, COURSE.poses[list(found.frames)])
    assert told().retrieve(COURSE.poses[9:10], 8, 9, 0) is None, "no latents"


def test_generated_frames_write_where_nothing_was_known() -> None:
    memory = told()
    before = len(memory)
    known = np.ones((1, 48, 64), np.float32)
    behind = COURSE.poses[:1].copy()
    behind[0, :3, :3] = behind[0, :3, :3] @ np.diag([-1.0, 1.0, -1.0])
    memory.imagine(Footage(TRUTH.rgb[:1], TRUTH.depth[:1], behind, 9), known)
    assert len(memory) == before, "all of it was known"
    memory.imagine(Footage(TRUTH.rgb[:1], TRUTH.depth[:1], behind, 10), 0 * known)
    assert len(memory) > before


def test_moving_pixels_go_to_the_entities_and_are_drawn_from_there() -> None:
    """A red plate before the wall: the map is the room, the view has the plate."""
    moving = np.zeros((40, 48, 64), np.bool_)
    moving[:, 20:28, 28:36] = True
    rgb, depth = TRUTH.rgb[0].copy(), TRUTH.depth[0].copy()
    rgb[moving[0]], depth[moving[0]] = (220, 20, 20), 0.5 * depth[24, 32]
    setting = Setting(camera=ROOM_CAMERA, budget=BUDGET, moving=moving)
    memory = MapMemory(setting)
    for index in range(6):
        memory.remember(Footage(rgb[None], depth[None], COURSE.poses[:1], index))
    plate = memory.view(COURSE.poses[:1], 6)
    wall = memory.map.view(COURSE.poses[:1])
    assert plate.rgb[0, 24, 32, 0] > 0.7 > plate.rgb[0, 24, 32, 1]
    assert not (wall.rgb[0, 24, 32] > 0.8).any()
    assert memory.nbytes > memory.map.nbytes

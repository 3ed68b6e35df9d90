"""The map in rooms that are ray-cast exactly: what it writes, keeps, hides, deletes and forgets."""

import numpy as np
import pytest

from tests.memory.spatial.scene import (
    CAMERA,
    ENOUGH,
    ODD,
    PILLAR,
    POSE,
    WALL,
    a_map,
    grey,
    noisy,
    shot,
    standing,
    walk,
)
from worldrt.errors import InputError, ShapeError
from worldrt.kernels.front import front
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.surface import on_surface


@pytest.fixture(scope="module")
def remembered() -> SpatialMap:
    """A map after the walk; tests only look at it."""
    memory = a_map()
    for index, pose in enumerate(walk()):
        memory.insert(shot(pose, index, PILLAR))
    return memory


def test_a_frame_seen_again_from_its_own_pose_is_the_frame() -> None:
    memory = a_map()
    frame = shot(standing(1.0, -3.0, -20), 5, PILLAR)
    inserted = memory.insert(frame)
    surface = on_surface(frame.depth)
    assert inserted.points == len(memory) == np.count_nonzero(surface) > 0.9 * frame.depth.size
    assert inserted.keyframe == 0 and inserted.carved == 0
    assert inserted.novel == surface.mean()
    view = memory.view(frame.pose[None])
    np.testing.assert_allclose(view.mask[0][surface], 1, rtol=1e-3)
    np.testing.assert_allclose(view.rgb[0][surface], frame.rgb[surface] / 255, atol=0.5 / 255)
    np.testing.assert_allclose(view.depth[0][surface], frame.depth[surface], rtol=1e-3)
    np.testing.assert_allclose(view.written[0][surface], 5, rtol=1e-6)


def test_the_second_of_two_frames_at_one_pose_writes_nearly_nothing() -> None:
    memory = a_map()
    frame = shot(POSE, 0, PILLAR)
    first = memory.insert(frame)
    second = memory.insert(frame._replace(index=1))
    assert second.points <= 0.01 * first.points and second.novel <= 0.01
    assert second.carved == 0 and second.keyframe is None


def test_views_from_elsewhere_are_the_truth(remembered: SpatialMap) -> None:
    poses = [standing(0.4, -2.3, 7), standing(2.2, 2.9, -140), standing(-1.9, 0.2, 61)]
    view = remembered.view(np.stack(poses))
    for index, pose in enumerate(poses):
        truth = shot(pose, 0, PILLAR)
        shown = view.mask[index] > 0.6
        assert shown.mean() > 0.95
        error = np.abs(view.rgb[index] - truth.rgb / 255)[shown]
        assert np.mean(error) < 0.02
        assert np.median(np.abs(view.depth[index] / truth.depth - 1)[shown]) < 0.01


def test_the_splat_of_culled_pages_is_that_of_all_points(remembered: SpatialMap) -> None:
    everything = np.flatnonzero(remembered.points.page_count).astype(np.int32)
    for pose in walk()[::9]:
        whole = remembered._splat([everything], pose[None])
        pages = remembered.points.cull(pose, CAMERA, 0.05, np.inf)
        for image, wanted in zip(remembered._splat([pages], pose[None]), whole, strict=True):
            np.testing.assert_array_equal(image, wanted)


def test_nearer_views_write_finer_points_once() -> None:
    memory = a_map()
    memory.insert(grey(90, 4.0))
    near = standing(0.3, 1.2, 0.0)  # 1.8 m from the wall
    written = memory.insert(grey(90, 1.8, near, index=1)).points
    assert written > 0.5 * CAMERA.width * CAMERA.height
    assert memory.insert(grey(90, 1.8, near, index=2)).points < 0.02 * written


# Layers.


def test_an_imagined_wall_does_not_hide_a_real_place() -> None:
    memory = a_map()
    memory.insert(shot(POSE, 0, PILLAR))
    real = memory.view(POSE[None])
    assert memory.insert(grey(0, 0.5, real=False, index=1)).points > 1000
    both = memory.view(POSE[None])
    sure = real.mask == 1
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(both.rgb[sure], real.rgb[sure])
    np.testing.assert_allclose(both.depth[sure], real.depth[sure], rtol=1e-5)


def test_what_is_imagined_shows_where_nothing_is_real() -> None:
    memory = a_map()
    behind = standing(0.3, -1.0, 180.0)
    memory.insert(shot(POSE, 0, PILLAR))
    assert memory.view(behind[None]).mask.max() == 0
    memory.insert(grey(200, 3.0, behind, real=False, index=1))
    view = memory.view(behind[None])
    covered = view.mask > 0.99
    assert covered.mean() > 0.8
    np.testing.assert_allclose(view.rgb[covered], 200 / 255, atol=1e-4)


def test_known_pixels_are_not_imagined_and_a_second_look_is_the_first() -> None:
    memory = a_map()
    known = np.zeros((CAMERA.height, CAMERA.width), np.float32)
    known[:, : CAMERA.width // 2] = 1
    half = CAMERA.width * CAMERA.height // 2
    assert memory.insert(grey(90, 2.0, real=False, known=known)).points == half
    first = memory.view(POSE[None])
    for index in range(1, 5):
        again = grey(250, 2.0, real=False, known=first.mask[0], index=index)
        memory.insert(again._replace(known=np.maximum(known, first.mask[0])))
    for image, wanted in zip(memory.view(POSE[None]), first, strict=True):
        np.testing.assert_array_equal(image, wanted)


def test_a_generated_frame_deletes_nothing() -> None:
    memory = a_map()
    memory.insert(grey(90, 2.0))
    for index in range(1, 9):
        assert memory.insert(grey(90, 5.0, real=False, index=index)).carved == 0


# Weights, carving, never two generations.


def test_weights_count_how_often_a_point_was_seen() -> None:
    memory = a_map()
    for index in range(300):
        memory.insert(grey(90, 2.0, index=index))
        living = memory.points.weight[memory.points.weight > 0]
        assert (living == min(index + 1, 255)).all()


def test_a_ghost_is_carved_by_frames_that_see_through_it() -> None:
    """The longer it stood the more frames it takes; nothing else dies."""
    memory = a_map()
    ghost = (-0.5, -0.5, 0.4), (0.5, 0.5, 1.4)
    for index in range(6):
        memory.insert(shot(POSE, index, ghost))
    count = len(memory)
    weight = memory.points.weight.max()
    carved, frames = 0, 0
    while carved == 0:
        frames += 1
        carved = memory.insert(shot(POSE, 6 + frames)).carved
    assert 2 ** (frames - 1) <= weight < 2**frames
    after = memory.view(POSE[None])
    truth = shot(POSE)
    assert carved < count / 2
    for index in range(30):
        memory.insert(shot(POSE, 20 + index))
    after = memory.view(POSE[None])
    shown = after.mask[0] > 0.6
    off = np.abs(after.depth[0] / truth.depth - 1)
    # What is left of the ghost lies along its edges, in pixels where no surface was whole.
    assert np.mean(off[shown] > 0.03) < 0.02 and shown.mean() > 0.95


def test_a_true_scene_is_never_carved(remembered: SpatialMap) -> None:
    memory = a_map()
    carved = [memory.insert(shot(pose, i, PILLAR)).carved for i, pose in enumerate(walk() * 2)]
    assert sum(carved) <= 0.001 * len(memory)


@pytest.mark.parametrize("camera", [CAMERA, ODD])
def test_both_sides_of_a_thin_wall_exist_and_neither_shines_through(camera) -> None:
    memory = SpatialMap(camera, ENOUGH)
    front_pose, back_pose = standing(0.1, -1.5, 0), standing(0.1, 1.5, 180)
    for index in range(12):
        for offset, pose in enumerate((front_pose, back_pose)):
            frame = shot(pose, 2 * index + offset, WALL, camera=camera)
            rgb = np.full_like(frame.rgb, 128)
            rgb[frame.depth < 1.5] = ((230, 20, 20), (20, 20, 230))[offset]
            memory.insert(frame._replace(rgb=rgb))
    for pose, own in ((front_pose, 0), (back_pose, 2)):
        view = memory.view(pose[None])
        wall = shot(pose, 0, WALL, camera=camera).depth < 1.5
        wall &= on_surface(shot(pose, 0, WALL, camera=camera).depth)
        assert (view.mask[0][wall] > 0.9).all()
        np.testing.assert_allclose(view.rgb[0][wall][:, own], 230 / 255, atol=0.01)
        np.testing.assert_allclose(view.rgb[0][wall][:, 2 - own], 20 / 255, atol=0.01)


def test_never_two_generations_of_a_wall() -> None:
    """Past a wall twice with noise: the second time writes nearly nothing, and it stays thin."""
    memory = a_map()
    path = [standing(x, 2.0, 10) for x in np.linspace(-2, 2, 21)]
    for index, pose in enumerate(path):
        memory.insert(noisy(shot(pose, index), index))
    once = len(memory)
    for index, pose in enumerate(path, len(path)):
        memory.insert(noisy(shot(pose, index), index))
    assert len(memory) < 1.1 * once
    wall = memory.points.position[memory.points.weight > 0]
    wall = wall[(wall[:, 2] > 4.5) & (np.abs(wall[:, 0]) < 3.7) & (np.abs(wall[:, 1]) < 1.2)]
    # It stands at 5 m, 3 m away: five sigma are 15 cm.
    assert len(wall) > 1000 and np.abs(wall[:, 2] - 5).max() < 0.16


# What must not be written.


def test_unknown_depth_is_not_written() -> None:
    for bad in (0.0, -1.0, np.nan, np.inf, -np.inf, 1e30):
        memory = a_map()
        frame = grey(90, 2.0)
        frame.depth[10:30] = bad
        inserted = memory.insert(frame)
        assert 0 < inserted.points <= (CAMERA.height - 20) * CAMERA.width
        assert memory.insert(grey(90, bad, index=1)).points == 0
        rows = front(
            memory.points.position,
            memory.points.weight,
            np.array([[0, memory.points.capacity]], np.int32),
            POSE,
            CAMERA,
        ).id
        assert (rows[10:30] == -1).all()


def test_moving_pixels_are_neither_written_nor_seen_nor_see_through() -> None:
    memory = a_map()
    moving = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
    moving[10:30, 10:40] = True
    memory.insert(grey(90, 2.0, moving=moving))
    assert memory.view(POSE[None]).mask[0][12:28, 12:38].max() == 0
    memory.insert(grey(90, 2.0, index=1))
    weight = memory.points.weight.copy()
    everywhere = np.ones_like(moving)
    for metres in (2.0, 5.0):
        inserted = memory.insert(grey(90, metres, index=2, moving=everywhere))
        assert inserted.points == inserted.carved == 0
    np.testing.assert_array_equal(memory.points.weight, weight)


def test_a_camera_outside_the_map_sees_nothing() -> None:
    memory = a_map()
    memory.insert(shot(POSE))
    for far in (1e3, 1e9, 1e30):
        pose = standing(far, 0, 0)
        assert memory.view(pose[None]).mask.max() == 0
        memory.insert(grey(9, 2.0, pose, index=1))
        assert np.isfinite(memory.view(POSE[None]).rgb).all()


# Bad input.


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        (
            {"rgb": np.zeros((48, 63, 3), np.uint8)},
            ShapeError,
            "rgb has shape [48, 63, 3], expected [48, 64, 3].",
        ),
        (
            {"rgb": np.zeros((48, 64, 3), np.float32)},
            InputError,
            "rgb is float32, expected uint8; pass 0 to 255.",
        ),
        (
            {"depth": np.zeros((64, 48), np.float32)},
            ShapeError,
            "depth has shape [64, 48], expected [48, 64].",
        ),
        (
            {"known": np.zeros((1, 48, 64), np.float32)},
            ShapeError,
            "known has shape [1, 48, 64], expected [48, 64].",
        ),
        (
            {"moving": np.zeros((48, 65), np.bool_)},
            ShapeError,
            "moving has shape [48, 65], expected [48, 64].",
        ),
        (
            {"latent": np.zeros((2, 3, 5), np.float32)},
            ShapeError,
            "latent has shape [2, 3, 5], expected none: this map keeps no latents.",
        ),
        ({"pose": np.eye(3)}, ShapeError, "pose has shape [3, 3], expected [4, 4]."),
        (
            {"pose": np.diag([2.0, 1, 1, 1])},
            InputError,
            "A pose's rotation is 3 from orthonormal (at most 1e-06) with determinant 2 (expected "
            "1); pass one without scale, shear or mirror.",
        ),
        (
            {"pose": np.full((4, 4), np.nan)},
            InputError,
            "16 of a pose's 16 numbers are not finite; pass finite ones.",
        ),
    ],
)
def test_bad_frames_are_refused_and_change_nothing(fields, error, sentence: str) -> None:
    memory = a_map()
    memory.insert(shot(POSE))
    before = memory.state()
    with pytest.raises(error) as raised:
        memory.insert(shot(POSE, 1)._replace(**fields))
    assert str(raised.value) == sentence
    for name, array in memory.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_bad_views_and_latents() -> None:
    memory = a_map(latent_shape=(2, 3, 5))
    with pytest.raises(ShapeError) as raised:
        memory.insert(shot(POSE)._replace(latent=np.zeros((2, 3, 4), np.float32)))
    assert str(raised.value) == "latent has shape [2, 3, 4], expected [2, 3, 5]."
    with pytest.raises(ShapeError) as raised:
        memory.view(POSE)
    assert str(raised.value) == "poses has shape [4, 4], expected [V, 4, 4]."
    with pytest.raises(InputError):
        memory.view(np.zeros((1, 4, 4)))
    assert len(memory) == 0

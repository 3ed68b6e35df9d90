"""Keyframes: what is kept of a frame, which one goes, and that slots are used again."""

import numpy as np
import pytest

from tests.memory.spatial.scene import CAMERA, ODD, shot, standing
from worldrt.errors import ConfigError, ShapeError
from worldrt.memory.spatial.keyframes import Bin, Keyframes, bin_of, quarter, quartered

LATENT = (3, 5, 7)


def full(*poses: np.ndarray) -> Keyframes:
    """Frames 0, 10, 20... at poses."""
    keyframes = Keyframes(len(poses), CAMERA, LATENT)
    for slot, pose in enumerate(poses):
        frame = shot(pose)
        latent = np.full(LATENT, slot, np.float32)
        keyframes.write(slot, frame.depth, pose, slot * 10, slot % 2 == 0, latent)
    return keyframes


@pytest.mark.parametrize("camera", [CAMERA, ODD])
def test_a_pixel_of_the_quarter_is_a_pixel_of_the_frame(camera) -> None:
    """The quarter's camera sees along the very rays of the pixels whose depths it has."""
    small = quarter(camera)
    rays = camera.directions()[2::4, 2::4][: small.height, : small.width]
    np.testing.assert_allclose(small.directions(), rays, atol=1e-12)
    depth = np.arange(camera.height * camera.width, dtype=np.float32)
    depth = depth.reshape(camera.height, camera.width)
    part = quartered(depth)
    assert part.shape == (small.height, small.width)
    for row, column in ((0, 0), (small.height - 1, small.width - 1)):
        assert part[row, column] == depth[4 * row + 2, 4 * column + 2]


def test_candidates_are_the_keyframes_in_order_of_time() -> None:
    keyframes = full(standing(0, 0, 0), standing(1, 0, 0), standing(2, 1, 90))
    keyframes.drop(1)
    keyframes.write(1, shot(standing(-1, 0, 5)).depth, standing(-1, 0, 5), 30, True, None)
    found = keyframes.candidates()
    assert found.ids.tolist() == [0, 2, 1] and found.index.tolist() == [0, 20, 30]
    assert found.depth.dtype == np.float32 and found.camera == quarter(CAMERA)
    for slot, pose, depth in zip(found.ids, found.poses, found.depth, strict=True):
        np.testing.assert_array_equal(pose, keyframes.poses[slot])
        wanted = quartered(shot(pose).depth)
        np.testing.assert_allclose(depth, wanted, rtol=1e-3)
    assert keyframes.candidates() is found
    keyframes.drop(0)
    assert keyframes.candidates().ids.tolist() == [2, 1]
    assert keyframes.generation.tolist() == [1, 1, 0]


def test_unknown_and_endless_depth_is_unknown() -> None:
    keyframes = Keyframes(1, CAMERA)
    depth = np.full((48, 64), 7, np.float32)
    depth[:24], depth[:, :20] = 0, 1e6
    keyframes.write(0, depth, np.eye(4), 0, True, None)
    assert set(np.unique(keyframes.candidates().depth)) == {0, 7}


@pytest.mark.parametrize(
    ("x", "z", "yaw", "wanted"),
    [
        (0.1, 0.1, 0, Bin(0, 0, 0, 0)),
        (-0.1, 1.9, 29, Bin(-1, 0, 0, 0)),
        (2.1, -2.1, 31, Bin(1, 0, -2, 1)),
        (0.1, 0.1, -1, Bin(0, 0, 0, 11)),
        (1e12, 0.1, 179, Bin(5 * 10**11, 0, 0, 5)),
    ],
)
def test_pose_bins(x: float, z: float, yaw: float, wanted: Bin) -> None:
    assert bin_of(standing(x, z, yaw)) == wanted


def test_least_unique_goes_but_never_the_pinned_nor_the_last_of_its_bin() -> None:
    crowd = [standing(0.1 * n, 0.1, 5) for n in range(3)]
    keyframes = full(*crowd, standing(9, 9, 90))
    assert keyframes.pinned.tolist() == [True, False, False, False]
    assert keyframes.least(np.array([0, 5, 5, 0])) == 1  # the older of two
    assert keyframes.least(np.array([0, 5, 4, 0])) == 2
    keyframes.drop(1)
    keyframes.drop(2)
    assert keyframes.least(np.array([0, 5, 5, 7])) == 3  # all are alone: then the unpinned one
    keyframes.drop(3)
    assert keyframes.least(np.zeros(4, int)) == 0  # none else


def test_slots_are_found_again() -> None:
    keyframes = full(*[standing(n, 0, 0) for n in range(3)])
    assert keyframes.free() is None and len(keyframes) == 3
    keyframes.drop(1)
    assert keyframes.free() == 1 and len(keyframes) == 2
    assert {slot for slots in keyframes.bins.values() for slot in slots} == {0, 2}
    keyframes.clear()
    assert keyframes.free() == 0 and len(keyframes) == 0 and not keyframes.bins
    assert keyframes.generation.tolist() == [1, 1, 1]  # the second had gone before


@pytest.mark.parametrize("latent", [None, LATENT])
def test_restored_they_are_the_same(latent) -> None:
    keyframes = Keyframes(7, CAMERA, latent)
    for slot in range(5):
        frame = shot(standing(slot, 0, 0))
        value = None if latent is None else np.full(latent, slot, np.float32)
        keyframes.write(slot, frame.depth, frame.pose, slot, True, value)
    keyframes.drop(4)
    other = Keyframes(7, CAMERA, latent)
    other.write(6, shot(standing(9, 0, 0)).depth, standing(9, 0, 0), 3, True, None)
    other.restore(keyframes.state())
    assert other.bins == keyframes.bins and other.free() == keyframes.free() == 4
    for name, array in keyframes.state().items():
        np.testing.assert_array_equal(array, other.state()[name])
    for name in ("ids", "index", "poses", "depth"):
        one, two = getattr(keyframes.candidates(), name), getattr(other.candidates(), name)
        np.testing.assert_array_equal(one, two)


def test_bytes() -> None:
    keyframes = Keyframes(63, CAMERA, LATENT)
    assert keyframes.nbytes == 63 * Keyframes.bytes_of(CAMERA, LATENT)
    assert Keyframes.bytes_of(CAMERA, LATENT) - Keyframes.bytes_of(CAMERA, None) == 2 * 3 * 5 * 7


def test_bad_input() -> None:
    for capacity in (0, 65536):
        with pytest.raises(ConfigError) as error:
            Keyframes(capacity, CAMERA)
        assert str(error.value) == f"There can be 1 to 65535 keyframes, not {capacity}."
    state = full(standing(0, 0, 0), standing(1, 0, 0)).state()
    with pytest.raises(ShapeError, match="used has shape"):
        Keyframes(1, CAMERA, LATENT).restore(state)
    with pytest.raises(ShapeError, match="depth has shape"):
        Keyframes(2, ODD, LATENT).restore(state)
    with pytest.raises(ShapeError, match="latents has shape"):
        Keyframes(2, CAMERA, (3, 5, 8)).restore(state)

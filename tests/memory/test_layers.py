"""Real places lie before imagined ones, and what is known is not imagined again."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import CAMERA, look, standing
from worldrt.geometry.camera import Camera
from worldrt.memory.layers import LayeredCloud

SIZE = (CAMERA.height, CAMERA.width)
POSE = standing(0.3, -1.0, 0.0)


@pytest.fixture
def cloud() -> LayeredCloud:
    return LayeredCloud(20_000, Camera.centred(CAMERA))


def frame(pose: NDArray[np.float64]) -> tuple[NDArray, NDArray, NDArray]:
    """A real frame of the room as a block of one."""
    rgb, depth = look(pose)
    return rgb[None], depth[None], pose[None]


def wall(
    grey: int, metres: float, pose: NDArray[np.float64] = POSE
) -> tuple[NDArray, NDArray, NDArray]:
    """A grey wall as a block of one."""
    rgb = np.full((1, *SIZE, 3), grey, np.uint8)
    return rgb, np.full((1, *SIZE), metres, np.float32), pose[None]


def nothing() -> NDArray[np.float32]:
    return np.zeros((1, *SIZE), np.float32)


def test_without_imagination_it_is_the_real_cloud(cloud: LayeredCloud) -> None:
    cloud.remember(*frame(POSE))
    turned = standing(0.3, -1.0, 12.0)[None]
    both, alone = cloud.view(turned), cloud.real.view(turned)
    np.testing.assert_allclose(both.mask, alone.mask, atol=1e-6)
    covered = alone.mask > 0
    np.testing.assert_allclose(both.rgb[covered], alone.rgb[covered], atol=1e-5)
    np.testing.assert_allclose(both.depth[covered], alone.depth[covered], rtol=1e-4)


def test_an_imagined_wall_does_not_hide_a_real_place(cloud: LayeredCloud) -> None:
    cloud.remember(*frame(POSE))
    real = cloud.view(POSE[None])
    cloud.imagine(*wall(0, 0.5), nothing())
    assert len(cloud.imagined) > 1000
    both = cloud.view(POSE[None])
    sure = real.mask == 1
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(both.rgb[sure], real.rgb[sure])
    np.testing.assert_allclose(both.depth[sure], real.depth[sure], rtol=1e-5)


def test_what_is_imagined_shows_where_nothing_is_real(cloud: LayeredCloud) -> None:
    behind = standing(0.3, -1.0, 180.0)
    cloud.remember(*frame(POSE))
    assert cloud.view(behind[None]).mask.max() == 0
    cloud.imagine(*wall(200, 3.0, behind), nothing())
    seen = cloud.view(behind[None])
    covered = seen.mask > 0.99
    assert covered.mean() > 0.8
    np.testing.assert_allclose(seen.rgb[covered], 200 / 255, atol=1e-4)
    np.testing.assert_allclose(seen.depth[covered], 3.0, rtol=1e-4)


def test_known_pixels_are_not_imagined(cloud: LayeredCloud) -> None:
    known = nothing()
    known[:, :, : SIZE[1] // 2] = 1
    written = cloud.imagine(*wall(90, 2.0), known)
    assert written == SIZE[0] * SIZE[1] // 2
    assert cloud.imagine(*wall(90, 2.0), known) == 0


def test_a_second_look_at_the_same_imagined_place_is_the_first(cloud: LayeredCloud) -> None:
    cloud.imagine(*wall(120, 2.0), nothing())
    first = cloud.view(POSE[None])
    cloud.imagine(*wall(250, 2.0), first.mask)
    again = cloud.view(POSE[None])
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_bytes_and_size(cloud: LayeredCloud) -> None:
    before = cloud.bytes
    cloud.remember(*frame(POSE))
    for step in range(30):
        cloud.imagine(*wall(step, 1.0 + step), nothing())
    assert cloud.bytes == before == cloud.real.bytes + cloud.imagined.bytes
    assert len(cloud) == len(cloud.real) + len(cloud.imagined) <= 40_000


def test_masks_stay_between_zero_and_one(cloud: LayeredCloud) -> None:
    cloud.remember(*frame(POSE))
    cloud.imagine(*wall(7, 1.0), nothing())
    mask = cloud.view(standing(0.1, -1.4, 20.0)[None]).mask
    assert mask.min() >= 0 and mask.max() <= 1 + 1e-6

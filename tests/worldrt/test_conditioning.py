"""What a block is told: rays that depend on movement alone, and the memory's view with its mask."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from tests.tiny import standing
from worldrt.conditioning import (
    CAMERA_CHANNELS,
    CONTENT,
    MASK_SIDE,
    ages,
    camera_maps,
    content,
    spatial_channels,
    spatial_maps,
)
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.memory.spatial.frame import Splat
from worldrt.world import World


def walk(frames: int) -> np.ndarray:
    return np.stack([standing(0.1 * i, 0.2 * i, 10 * i) for i in range(frames)])


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_camera_maps_have_one_map_a_channel(world: World, frames: int) -> None:
    camera = world.camera.scaled(1 / 8)
    maps = camera_maps(camera, walk(frames), standing(0, 0, 0))
    assert maps.shape == (frames, CAMERA_CHANNELS, 6, 8)
    assert maps.dtype == torch.float32
    assert maps.isfinite().all()


def test_same_movement_gives_same_maps_anywhere(world: World) -> None:
    camera = world.camera.scaled(1 / 8)
    elsewhere = from_yaw_pitch(np.array([[30.0, -2.0, -17.0]]), np.array([2.1]), np.array([0.3]))[0]
    before, poses = standing(-0.1, -0.2, -10), walk(3)
    here = camera_maps(camera, poses, before)
    there = camera_maps(camera, elsewhere @ poses, elsewhere @ before)
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)


def test_maps_tell_turning_from_walking_and_left_from_right(world: World) -> None:
    camera, still = world.camera.scaled(1 / 8), standing(0, 0, 0)
    moves = (still, standing(0, 0.2, 0), standing(0, 0, 10), standing(0, 0, -10))
    maps = camera_maps(camera, np.stack(moves), still)
    for one in range(len(moves)):
        for other in range(one):
            assert (maps[one] - maps[other]).abs().max() > 0.05


def image(frames: int) -> torch.Tensor:
    return torch.rand(frames, 4, 48, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_hint_is_the_splat_encoded_where_anything_is_remembered(world: World) -> None:
    splat, mask = image(3), torch.zeros(3, 1, 48, 64)
    mask[0, 0, 5, 7] = 0.1
    mask[2] = 1
    maps, hint = spatial_maps(world.codec, splat, mask, torch.full_like(mask, 0.25))
    channels = world.config.codec.channels
    assert maps.shape == (3, spatial_channels(channels), 6, 8)
    latents = world.codec.encode(splat)
    torch.testing.assert_close(hint[0], latents[0], rtol=0, atol=0)
    torch.testing.assert_close(hint[2], latents[2], rtol=0, atol=0)
    assert not hint[1].any()
    torch.testing.assert_close(maps[:, :channels], hint, rtol=0, atol=0)
    assert (maps[:, -1] == 0.25).all()


def test_mask_cells_are_means_of_their_pixels_row_by_row(world: World) -> None:
    mask = torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(4))
    maps = spatial_maps(world.codec, image(2), mask, torch.zeros_like(mask)).maps
    cells = maps[:, world.config.codec.channels : -1]
    grain = world.config.codec.stride // MASK_SIDE
    assert cells.shape[1] == MASK_SIDE**2
    for row in range(MASK_SIDE):
        for column in range(MASK_SIDE):
            y, x = 8 * 3 + grain * row, 8 * 5 + grain * column
            wanted = mask[:, 0, y : y + grain, x : x + grain].mean(dim=(1, 2))
            found = cells[:, MASK_SIDE * row + column, 3, 5]
            torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(cells.mean(1, keepdim=True), avg_pool2d(mask, 8))


def test_content_tells_views_apart_by_place_and_colour() -> None:
    """Mean colours of 16 cells: another order of the pixels in a cell is the same view."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, 4, 16, 24)).astype(np.float32)
    found = content(images)
    assert found.shape == (CONTENT,) and found.dtype == np.float32
    cell = images[:, :, :4, :6]
    np.testing.assert_allclose(found[:4], cell.mean(axis=(0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(content(images[:, :, ::-1][..., ::-1])[:4], found[-4:], atol=1e-6)


def test_age_is_told_in_octaves_and_only_of_what_is_remembered() -> None:
    written = np.array([[[100.0, 97.0, 37.0, 0.0]], [[101.0, 0.0, -(2.0**20), 0.0]]], np.float32)
    mask = np.ones_like(written)
    mask[:, :, -1] = 0
    empty = np.zeros_like(written)
    found = ages(
        np.array([100, 101]), Splat(np.zeros((2, 1, 4, 3), np.float32), empty, mask, written)
    )
    wanted = [[0, 2 / 16, 6 / 16, 0], [0, np.log2(102) / 16, 1, 0]]
    torch.testing.assert_close(found[:, 0, 0], torch.tensor(wanted, dtype=torch.float32))

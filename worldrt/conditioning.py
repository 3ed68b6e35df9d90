"""What a block is told besides its past: the camera's rays, and what the memory sees from there."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pixel_unshuffle

from worldrt.codec import Codec
from worldrt.geometry.camera import Camera
from worldrt.geometry.rays import octaves, pluecker
from worldrt.memory.spatial.frame import Splat

OCTAVES = 2
"""Octaves of the ray maps."""
CAMERA_CHANNELS = 6 * (1 + 2 * OCTAVES)
"""Channels of the camera condition."""
MASK_SIDE = 4
"""The mask's grid within a latent cell, a side."""


CONTENT = 64
"""Numbers that tell what a view is about, see `content`."""


OLDEST = 2.0**16
"""Frames; what was recorded so long ago or longer is of age 1."""


def spatial_channels(latent_channels: int) -> int:
    """Channels of the spatial condition: the remembered latents, their mask and their age."""
    return latent_channels + MASK_SIDE**2 + 1


def camera_maps(
    latent_camera: Camera, poses: NDArray[np.float64], before: NDArray[np.float64]
) -> Tensor:
    """The camera condition of a block.

    Args:
        latent_camera: intrinsics of the latent grid.
        poses: [T, 4, 4] world_from_camera of the block's frames.
        before: [4, 4] pose of the frame before the block: rays are told in its axes, so that the
            same movement gives the same maps anywhere in the world.

    Returns:
        [T, CAMERA_CHANNELS, h, w].
    """
    rays = pluecker(latent_camera, poses, before)
    return torch.from_numpy(octaves(rays, OCTAVES))


class SpatialMaps(NamedTuple):
    """The spatial condition of a block."""

    maps: Tensor
    """[T, spatial_channels, h, w] for the network."""
    hint: Tensor
    """[T, C, h, w] latents of the filled splat: what a residual is relative to."""


def ages(now: NDArray[np.int64], splat: Splat) -> Tensor:
    """How old what the memory shows is, told in octaves: yesterday is as far from today as a year.

    Args:
        now: [T] frame of each view.
        splat: T views.

    Returns:
        [T, 1, Y, X] log2(1 + frames since) / 16, at most 1; 0 where nothing is remembered.
    """
    since = np.clip(now[:, None, None] - splat.written, 0, OLDEST - 1)
    share = np.where(splat.mask > 0, np.log2(1 + since) / np.log2(OLDEST), 0)
    return torch.from_numpy(share.astype(np.float32))[:, None]


def spatial_maps(codec: Codec, splat: Tensor, mask: Tensor, age: Tensor) -> SpatialMaps:
    """The spatial condition from the memory's view.

    Args:
        codec: encodes the view.
        splat: [T, 4, Y, X] the memory seen from the block's poses, holes filled.
        mask: [T, 1, Y, X] where it is memory, 0 to 1.
        age: [T, 1, Y, X] from `ages`.

    Where nothing at all is remembered the hint is zero, the codec's mean image.
    """
    known = mask.amax(dim=(1, 2, 3), keepdim=True) > 0
    hint = torch.where(known, codec.encode(splat), 0)
    grain = codec.stride // MASK_SIDE
    cells = pixel_unshuffle(avg_pool2d(mask, grain), MASK_SIDE)
    old = avg_pool2d(age, codec.stride)
    return SpatialMaps(torch.cat([hint, cells, old], dim=1), hint)


def content(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What frames show, coarsely, for a world without prompts: mean colours on a 4 x 4 grid.

    Args:
        images: [T, 4, Y, X] RGB and inverse depth, -1 to 1.

    Returns:
        [CONTENT], about 0.
    """
    cells = [np.array_split(row, 4, axis=-1) for row in np.array_split(images, 4, axis=-2)]
    means = [cell.mean(axis=(0, -2, -1)) for row in cells for cell in row]
    return np.concatenate(means).astype(np.float32, copy=False)

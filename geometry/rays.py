"""The rays of a camera as the maps that a network is told its view by."""

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import cross_matrix, inverse


def pluecker(
    camera: Camera, world_from_camera: NDArray[np.float64], reference: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Pluecker coordinates of the rays through the pixels' centres.

    Args:
        camera: pinhole intrinsics of the grid wanted, such as `camera.scaled(1 / 8)` for latents.
        world_from_camera: [F, 4, 4] poses, metres.
        reference: [4, 4] pose in whose axes the rays are told.

    Returns:
        [F, 6, Y, X]: unit direction, then moment = origin x direction (metres). The moment does not
        depend on which point of the ray is its origin.

    Raises:
        ShapeError: world_from_camera is not [F, 4, 4] or reference not [4, 4].

    Source: Sitzmann et al., Light Field Networks, NeurIPS 2021, section 3.1; Hartley and Zisserman,
    2nd edition, section 3.2.2.
    """
    if world_from_camera.ndim != 3 or world_from_camera.shape[1:] != (4, 4):
        raise ShapeError("world_from_camera", world_from_camera.shape, "[F, 4, 4]")
    if reference.shape != (4, 4):
        raise ShapeError("reference", reference.shape, "[4, 4]")
    directions = camera.directions().reshape(-1, 3)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    relative = inverse(reference) @ world_from_camera
    rotation, origin = relative[:, :3, :3], relative[:, :3, 3]
    both = np.concatenate([rotation, cross_matrix(origin) @ rotation], axis=1)  # [F, 6, 3]
    rays = both.reshape(-1, 3) @ directions.T  # float64: far from the origin moments are large
    return rays.astype(np.float32).reshape(len(rays) // 6, 6, camera.height, camera.width)


def octaves(values: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """Each channel with its sines and cosines at doubling frequencies.

    Args:
        values: [F, C, Y, X].
        count: octaves, 0 or more.

    Returns:
        [F, C * (1 + 2 * count), Y, X] of the same type: all C values, then for each octave k all C
        sin(2^k pi v) and all C cos(2^k pi v).

    Raises:
        ShapeError: values has not four axes.
        ConfigError: count is negative.

    Source: Mildenhall et al., NeRF, ECCV 2020, equation (4).
    """
    if values.ndim != 4:
        raise ShapeError("values", values.shape, "[F, C, Y, X]")
    if count < 0:
        raise ConfigError(f"{count} octaves can't be made; ask for 0 or more.")
    frames, channels, *size = values.shape
    result = np.empty((frames, 1 + 2 * count, channels, *size), values.dtype)
    result[:, 0] = values
    for octave in range(count):
        angle = values * values.dtype.type(2**octave * np.pi)
        np.sin(angle, out=result[:, 1 + 2 * octave])
        np.cos(angle, out=result[:, 2 + 2 * octave])
    return result.reshape(frames, (1 + 2 * count) * channels, *size)

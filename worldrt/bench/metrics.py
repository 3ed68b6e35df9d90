"""How close a generated image is to the truth, and which of its pixels memory could have known.

Images are uint8 from 0 to 255 or floating point from 0 to 1, RGB on the last axis; every figure is
computed in float64 on the 0 to 1 scale.
"""

from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera

WINDOW = 11
"""Pixels a side of SSIM's Gaussian window."""
DEPTH_SHARE = 0.03
DEPTH_METRES = 0.05


def psnr(image: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio over all pixels, or those of a mask.

    Args:
        image: [..., Y, X, 3].
        truth: the same shape.
        mask: [..., Y, X]; True counts.

    Returns:
        Decibels, higher is closer; infinite for equal images, nan for an empty mask.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_shapes(image, truth, mask)
    squared = np.square(_unit(image) - _unit(truth))
    error = _mean(squared.mean(axis=-1), mask)
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(error))


def ssim(image: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Structural similarity, averaged over colours and all whole windows, or those of a mask.

    Args:
        image: [..., Y, X, 3], Y and X at least 11.
        truth: the same shape.
        mask: [..., Y, X]; a window counts whose middle pixel is True.

    Returns:
        At most 1, which only equal images reach; nan where no window counts.

    Raises:
        ShapeError: the shapes differ or a side is shorter than the window.

    Source: Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity,
    IEEE Transactions on Image Processing 13(4), 2004, section III-C (biased weighted moments).
    """
    _check_shapes(image, truth, mask)
    if min(image.shape[-3:-1]) < WINDOW:
        raise ShapeError("image", image.shape, f"[..., Y, X, 3], Y and X at least {WINDOW}")
    frames = zip(
        _unit(image).reshape(-1, *image.shape[-3:]),
        _unit(truth).reshape(-1, *truth.shape[-3:]),
        strict=True,
    )
    edge = WINDOW // 2
    found = np.stack([_ssim_map(a, b).mean(axis=-1) for a, b in frames])
    middles = None if mask is None else mask.reshape(-1, *mask.shape[-2:])
    return _mean(found, None if middles is None else middles[:, edge:-edge, edge:-edge])


def sharpness(image: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Mean length of the brightness gradient (central differences).

    Args:
        image: [..., Y, X, 3], Y and X at least 2.
        mask: [..., Y, X]; True counts.

    Returns:
        Brightness (0 to 1) a pixel; nan for an empty mask.

    Raises:
        ShapeError: an image too small, or a mask of another shape.
    """
    _check_shapes(image, image, mask)
    if min(image.shape[-3:-1]) < 2:
        raise ShapeError("image", image.shape, "[..., Y, X, 3], Y and X at least 2")
    down, right = np.gradient(_unit(image).mean(axis=-1), axis=(-2, -1))
    return _mean(np.hypot(down, right), mask)


def sharpness_ratio(
    image: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> float:
    """Sharpness as a share of the truth's: below 1 is blur, above 1 is noise.

    Args:
        image: [..., Y, X, 3].
        truth: the same shape.
        mask: [..., Y, X]; True counts.

    Returns:
        The ratio; nan for an empty mask, infinite or nan where the truth is flat.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_shapes(image, truth, mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(sharpness(image, mask), sharpness(truth, mask)))


def seen_masks(
    depths: NDArray[np.floating],
    poses: NDArray[np.float64],
    camera: Camera,
    known_depths: NDArray[np.floating],
    known_poses: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which pixels show a surface that was visible in a known frame.

    A pixel's point is seen in a known frame if it falls inside that image and its depth there lies
    between those of the four pixels around it, give or take 3 % or 5 cm, whichever is more.
    Between four pixels of one plane that interval is exact, however steep the plane.

    Args:
        depths: [F, Y, X] metres along z; 0 or not finite is unknown and never seen.
        poses: [F, 4, 4] world_from_camera.
        camera: intrinsics of all frames.
        known_depths: [K, Y, X] metres along z; unknown pixels match nothing.
        known_poses: [K, 4, 4] world_from_camera.

    Returns:
        [F, Y, X]; True is seen.

    Raises:
        ShapeError: depths and poses do not fit each other or the camera.
    """
    for what, depth, pose in (
        ("depths", depths, poses),
        ("known_depths", known_depths, known_poses),
    ):
        if depth.ndim != 3 or depth.shape[1:] != (camera.height, camera.width):
            raise ShapeError(what, depth.shape, f"[F, {camera.height}, {camera.width}]")
        if pose.shape != (len(depth), 4, 4):
            raise ShapeError(f"poses of {what}", pose.shape, f"[{len(depth)}, 4, 4]")
    seen = np.zeros(depths.shape, np.bool_)
    depth = np.ascontiguousarray(depths, np.float64)
    known_from_world = np.linalg.inv(known_poses)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    # Newest first: a walker mostly sees what was just there, and one hit is enough.
    for known, transform in zip(known_depths[::-1], known_from_world[::-1], strict=True):
        nearest, farthest = _bounds(known)
        _mark_seen(depth, transform @ poses, intrinsics, nearest, farthest, seen)
    return seen


def _bounds(depth: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nearest and farthest depth of the four pixels around each corner, [Y + 1, X + 1]."""
    padded = np.pad(depth.astype(np.float64), 1)
    known = np.isfinite(padded) & (padded > 0)
    around = (slice(None, -1), slice(1, None))
    near, far = np.where(known, padded, np.inf), np.where(known, padded, -np.inf)
    return (
        np.minimum.reduce([near[rows, columns] for rows in around for columns in around]),
        np.maximum.reduce([far[rows, columns] for rows in around for columns in around]),
    )


@numba.njit(cache=True)
def _mark_seen(
    depths: NDArray[np.float64],  # [F, Y, X]
    known_from_target: NDArray[np.float64],  # [F, 4, 4]
    intrinsics: NDArray[np.float64],  # fx fy cx cy
    nearest: NDArray[np.float64],  # [Y + 1, X + 1]
    farthest: NDArray[np.float64],  # [Y + 1, X + 1]
    seen: NDArray[np.bool_],  # [F, Y, X], written
) -> None:
    frames, height, width = seen.shape
    fx, fy, cx, cy = intrinsics
    for f in range(frames):
        m = known_from_target[f]
        for y in range(height):
            dy = (y + 0.5 - cy) / fy
            for x in range(width):
                d = depths[f, y, x]
                if seen[f, y, x] or not 0 < d < np.inf:
                    continue
                dx = (x + 0.5 - cx) / fx
                z = d * (m[2, 0] * dx + m[2, 1] * dy + m[2, 2]) + m[2, 3]
                if z <= 0:
                    continue
                column = fx * (d * (m[0, 0] * dx + m[0, 1] * dy + m[0, 2]) + m[0, 3]) / z + cx
                row = fy * (d * (m[1, 0] * dx + m[1, 1] * dy + m[1, 2]) + m[1, 3]) / z + cy
                if 0 <= column < width and 0 <= row < height:
                    i, j = int(row + 0.5), int(column + 0.5)
                    slack = max(DEPTH_SHARE * z, DEPTH_METRES)
                    seen[f, y, x] = nearest[i, j] - slack <= z <= farthest[i, j] + slack


def _check_shapes(image: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
    if image.ndim < 3 or image.shape[-1] != 3:
        raise ShapeError("image", image.shape, "[..., Y, X, 3]")
    if truth.shape != image.shape:
        raise ShapeError("truth", truth.shape, f"{list(image.shape)} like the image")
    if mask is not None and mask.shape != image.shape[:-1]:
        raise ShapeError("mask", mask.shape, f"{list(image.shape[:-1])} like the image's pixels")


def _unit(image: NDArray[Any]) -> NDArray[np.float64]:
    return image.astype(np.float64) / (255 if image.dtype == np.uint8 else 1)


def _mean(values: NDArray[np.float64], mask: NDArray[np.bool_] | None) -> float:
    chosen = values if mask is None else values[mask]
    return float(chosen.mean()) if chosen.size else float("nan")


def _ssim_map(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """SSIM of each whole window and colour, [Y - 10, X - 10, 3]."""

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        edge = WINDOW // 2
        blurred = np.asarray(cv2.GaussianBlur(image, (WINDOW, WINDOW), 1.5), np.float64)
        return blurred[edge:-edge, edge:-edge]

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    )

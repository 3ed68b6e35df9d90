"""Where a shown picture was taken from: registered against what is truly there.

A camera that a generator was told to move may come to stand elsewhere in what it shows. The true
frame and its depth are moved until they fit the picture, coarse to fine, by their grey values; the
motion that fits is how far the picture's camera is from where it ought to be.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp, inverse

BLURS = (6.0, 3.0, 1.5)
"""Standard deviations in pixels, coarse to fine."""
GRAIN = 0.75
"""Of a blur: the pixels that are taken are a blur over this apart."""
ROUNDS = 12
"""Steps at each of them, at most."""
STILL = 1e-4
"""Metres and radians of a step below which it has arrived."""
FEWEST = 200
"""Pixels, of full size, that a picture must share with the truth at least."""
ALIKE = 0.8
"""Least correlation of the fitted pictures: below it nothing was recognised."""
STAYS = 0.5
"""Least share of the truth's pixels that the fitted picture still shows."""


class Drift(NamedTuple):
    """How far a camera is from where it ought to be."""

    metres: float
    radians: float


def register(
    image: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    depth: NDArray[np.float32],
    known: NDArray[np.bool_],
    camera: Camera,
) -> Drift | None:
    """Find the drift of the camera that took a picture.

    Args:
        image: [Y, X, 3] what is shown.
        truth: [Y, X, 3] what ought to be.
        depth: [Y, X] of the truth, metres along z; 0 or not finite is unknown.
        known: [Y, X] pixels of the truth that the picture can be expected to show.
        camera: of both.

    Returns:
        The drift; None: the picture is too unlike the truth to tell.

    Source: Baker and Matthews, Lucas-Kanade 20 Years On, IJCV 2004 (inverse compositional), with
    the warp of Kerl et al., Robust Odometry Estimation for RGB-D Cameras, ICRA 2013.
    """
    known = known & np.isfinite(depth) & (depth > 0)
    motion, alike = np.eye(4), 0.0
    for blur in BLURS:
        inner, stride = _inside(known, blur), round(blur / GRAIN)
        if inner.sum() < FEWEST:
            return None
        rows, columns = np.nonzero(inner[stride // 2 :: stride, stride // 2 :: stride])
        at = stride * rows + stride // 2, stride * columns + stride // 2
        shown, wanted = (_grey(picture, blur) for picture in (image, truth))
        points = camera.unproject(np.where(known, depth, 0), np.eye(4))[at]
        slopes = np.stack([slope[at] for slope in np.gradient(wanted)[::-1]], axis=-1)
        fitted = _fit(motion, shown, wanted[at], _jacobian(points, slopes, camera), points, camera)
        if fitted is None:
            return None
        motion, alike = fitted
    if alike < ALIKE:
        return None
    turn = math.acos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1))
    return Drift(float(np.linalg.norm(inverse(motion)[:3, 3])), turn)


def _fit(
    motion: NDArray[np.float64],
    shown: NDArray[np.float32],
    wanted: NDArray[np.float32],
    jacobian: NDArray[np.float64],
    points: NDArray[np.float64],
    camera: Camera,
) -> tuple[NDArray[np.float64], float] | None:
    """The motion [4, 4] that takes the truth's points into the picture's camera, and how alike they
    are there; None: there is nothing to go by."""
    alike = 0.0
    for _ in range(ROUNDS):
        pixels, far = camera.project(points, inverse(motion))
        inside = (far > 0) & (pixels > 0.5).all(axis=-1)
        inside &= (pixels < (camera.width - 0.5, camera.height - 0.5)).all(axis=-1)
        if inside.sum() < STAYS * len(points):
            return None
        found = _between(shown, pixels[inside])
        target, spread = wanted[inside], float(found.std())
        if spread < 1 or target.std() < 1:
            return None
        # Other light is no other place.
        fair = (found - found.mean()) * (target.std() / spread) + target.mean()
        error = fair - target
        alike = float(np.mean((found - found.mean()) * (target - target.mean())))
        alike /= spread * float(target.std())
        reach = 1.4826 * float(np.median(np.abs(error))) + 1e-6
        weight = np.minimum(1, 1.345 * reach / np.maximum(np.abs(error), 1e-9))
        leaning = jacobian[inside] * weight[:, None]
        square = leaning.T @ jacobian[inside]
        square[np.diag_indices(6)] *= 1 + 1e-6
        try:
            step = np.linalg.solve(square, leaning.T @ error)
        except np.linalg.LinAlgError:
            return None
        motion = motion @ exp(-step)
        if np.abs(step).max() < STILL:
            break
    return motion, alike


def _jacobian(
    points: NDArray[np.float64], slopes: NDArray[np.float32], camera: Camera
) -> NDArray[np.float64]:
    """[P, 6] change of grey with a small motion, metres and radians, of the truth's points."""
    x, y, z = points.T
    right, down = camera.fx * slopes[:, 0] / z, camera.fy * slopes[:, 1] / z
    towards = -(right * x + down * y) / z
    push = np.stack([right, down, towards], axis=-1)
    return np.concatenate([push, np.cross(points, push)], axis=-1)


def _between(image: NDArray[np.float32], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """[P] the image between the centres of its pixels, at [P, 2] columns and rows."""
    first = np.floor(pixels - 0.5).astype(np.int64)
    right, down = (pixels - 0.5 - first).T
    column, row = first.T
    above = (1 - right) * image[row, column] + right * image[row, column + 1]
    below = (1 - right) * image[row + 1, column] + right * image[row + 1, column + 1]
    return (1 - down) * above + down * below


def _inside(known: NDArray[np.bool_], blur: float) -> NDArray[np.bool_]:
    """Known pixels into which no unknown one is blurred, next to nothing of it."""
    side = 2 * round(blur) + 1
    grown = cv2.dilate((~known).view(np.uint8), np.ones((side, side), np.uint8))
    return grown == 0


def _grey(picture: NDArray[np.uint8], blur: float) -> NDArray[np.float32]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return cv2.GaussianBlur(grey, (0, 0), blur).astype(np.float32, copy=False)

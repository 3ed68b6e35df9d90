"""What a frame shows of moving things: its moving pixels cut apart and measured one by one."""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from worldrt.geometry.camera import Camera

STEP = 0.30
"""Metres in depth between two neighbouring pixels of one thing, at most."""
STEEP = 0.03
"""The same, relative to their depth."""
FEWEST = 20
"""Pixels of a thing, at least."""
HIDDEN = 0.03
"""Share of its pixels beside something nearer from which on a thing counts as partly hidden."""
NEAREST = 1e-3
"""Metres: stands for the frame's edge, which hides whatever is there."""
FAINT = 0.15
"""Difference between the colours of a thing and of what is behind it, too small to tell them apart
within a pixel."""


class Fragment(NamedTuple):
    """One connected thing in one frame."""

    points: NDArray[np.float64]
    """[P, 3] what is seen of it, world coordinates, metres."""
    colours: NDArray[np.float32]
    """[P, 3] RGB, 0 to 1; at its edges, where others mix in, those of its pixels further in."""
    depth: NDArray[np.float64]
    """[P] metres along z."""
    middle: NDArray[np.float64]
    """[3] mean of what is seen of it, at the height of its base, metres."""
    height: float
    """Metres of its image, mostly from base to top."""
    width: float
    """Metres of its image."""
    whole: bool
    """Nothing of it is cut off by the frame or by what is nearer."""
    seen: tuple[bool, bool, bool, bool]
    """Its left, right, upper and lower end is not cut off."""
    ends: tuple[float, float]
    """Metres to the right from `middle` to its left and to its right end, as far as it shows."""
    top: float
    """y of the highest of what shows, metres."""


def fragments(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    moving: NDArray[np.bool_],
    pose: NDArray[np.float64],
    camera: Camera,
) -> list[Fragment]:
    """The things that a frame shows moving, the largest first.

    Args:
        rgb: [Y, X, 3].
        depth: [Y, X] metres along z; 0 or not finite is unknown and left out.
        moving: [Y, X] pixels that show things that move.
        pose: [4, 4] world_from_camera.
        camera: of the frame.
    """
    known = np.isfinite(depth) & (depth > 0)
    depth = np.where(known, depth, 0).astype(np.float32)
    labels, count = _labels(depth, moving & known)
    if count == 0:
        return []
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    found = [label for label in range(1, count + 1) if sizes[label] >= FEWEST]
    found.sort(key=lambda label: -sizes[label])
    picture = _Picture(rgb.astype(np.float32) / np.float32(255), depth, pose, camera)
    return [_measured(*_cropped(labels == label, picture)) for label in found]


class _Picture(NamedTuple):
    """A frame, ready to be measured."""

    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]
    pose: NDArray[np.float64]
    camera: Camera


def _mean(
    image: NDArray[np.float32], mask: NDArray[np.bool_], side: int = 3
) -> NDArray[np.float32]:
    """Mean of the masked pixels in a window; the image itself where there is none."""
    weight = mask.astype(np.float32)
    wide = weight if image.ndim == 2 else weight[..., None]
    total = cv2.blur(weight, (side, side), borderType=cv2.BORDER_CONSTANT)
    safe = np.maximum(total, np.float32(1e-6))
    mean = cv2.blur(image * wide, (side, side), borderType=cv2.BORDER_CONSTANT)
    mean /= safe if image.ndim == 2 else safe[..., None]
    none = total < 0.02
    return np.where(none if image.ndim == 2 else none[..., None], image, mean)


def _cropped(
    mask: NDArray[np.bool_], picture: _Picture
) -> tuple[NDArray[np.bool_], _Picture, bool]:
    """A thing's part of the frame with a rim of four pixels, and whether it touches the edge."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    camera = picture.camera
    edge = left == 0 or top == 0 or left + width == camera.width or top + height == camera.height
    rows, columns = (
        slice(max(top - 4, 0), top + height + 4),
        slice(max(left - 4, 0), left + width + 4),
    )
    part = mask[rows, columns]
    camera = replace(
        camera,
        width=part.shape[1],
        height=part.shape[0],
        cx=camera.cx - columns.start,
        cy=camera.cy - rows.start,
    )
    return (
        part,
        _Picture(picture.rgb[rows, columns], picture.depth[rows, columns], picture.pose, camera),
        edge,
    )


def _measured(mask: NDArray[np.bool_], picture: _Picture, edge: bool) -> Fragment:
    rgb, depth, pose, camera = picture
    cross = np.ones((3, 3), np.uint8)
    inside = cv2.erode(mask.view(np.uint8), cross, borderValue=1).astype(np.bool_)
    around = cv2.dilate(mask.view(np.uint8), cross).astype(np.bool_)
    colours = np.where(inside[..., None], rgb, _mean(rgb, inside))
    # At its edge a pixel is partly the thing's. How much of it tells more than that it is.
    own, other = _mean(colours, mask), _mean(rgb, ~around, 5)
    contrast = np.sum((own - other) ** 2, axis=-1)
    share = np.sum((rgb - other) * (own - other), axis=-1) / np.maximum(contrast, np.float32(1e-6))
    share = np.clip(share, np.where(mask, 0.5, 0.0), np.where(mask, 1.0, 0.5))
    share[contrast < FAINT**2] = 0.25
    share[mask & (contrast < FAINT**2)] = 0.75
    share = np.where(inside, 1.0, np.where(around, share, 0.0))
    reached = share > 0
    far = np.where(mask, depth, _mean(depth, mask))
    world = camera.unproject(far, pose)
    area = share[reached] * far[reached].astype(np.float64) ** 2 / (camera.fx * camera.fy)
    points = world[mask]
    # The last row's centre is half a pixel from its end.
    mean = float(depth[mask].mean())
    bottom = np.quantile(points[:, 1], 0.995) + mean / camera.fy / 2
    columns = (share * far).sum(axis=0) / camera.fy
    height = float(columns @ columns / columns.sum())
    middle = np.array([*(area @ world[reached] / area.sum())[[0, 2]], bottom])[[0, 2, 1]]
    across = np.flatnonzero(mask.any(axis=0))
    aside = float((middle - pose[:3, 3]) @ pose[:3, 0])
    ends = (np.array([across[0], across[-1] + 1]) - camera.cx) / camera.fx * mean - aside
    return Fragment(
        points=points,
        colours=colours[mask],
        depth=depth[mask].astype(np.float64),
        middle=middle,
        height=height,
        width=float(area.sum()) / height,
        whole=not edge and _hidden(mask, depth) <= HIDDEN * len(points),
        seen=(
            _shown(mask, depth),
            _shown(mask[:, ::-1], depth[:, ::-1]),
            _shown(mask.T, depth.T),
            _shown(mask[::-1].T, depth[::-1].T),
        ),
        ends=(float(ends[0]), float(ends[1])),
        top=float(points[:, 1].min()) - mean / camera.fy / 2,
    )


def _shown(mask: NDArray[np.bool_], depth: NDArray[np.float32]) -> bool:
    """Whether the left end of a thing is seen: most beside it is farther and within the frame."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    outer = first <= first.min() + 1
    rows, first = rows[outer], first[outer]
    beside = np.where(first > 0, depth[rows, first - 1], np.float32(NEAREST))
    hidden = (beside > 0) & (beside < _nearer(depth[rows, first]))
    return bool(2 * np.count_nonzero(hidden) < len(rows))


def _nearer(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth below which what lies beside a pixel is something nearer."""
    return depth * np.float32(1 - STEEP) - np.float32(STEP / 3)


def _hidden(mask: NDArray[np.bool_], depth: NDArray[np.float32]) -> int:
    """Pixels of a thing that lie beside something else that is nearer."""
    near = np.where(mask | (depth <= 0), np.float32(np.inf), depth)
    nearest = cv2.erode(near, np.ones((3, 3), np.uint8))
    return int(np.count_nonzero(mask & (nearest < _nearer(depth))))


@numba.njit(cache=True, nogil=True)
def _labels(depth, mask):  # pragma: no cover
    """Number the connected parts of a mask from 1 on, cut where the depth steps; 0 elsewhere."""
    height, width = mask.shape
    labels = np.zeros((height, width), np.int32)
    stack = np.empty((height * width, 2), np.int32)
    count = 0
    for first_row in range(height):
        for first_column in range(width):
            if not mask[first_row, first_column] or labels[first_row, first_column] > 0:
                continue
            count += 1
            labels[first_row, first_column] = count
            stack[0, 0], stack[0, 1], left = first_row, first_column, 1
            while left > 0:
                left -= 1
                row, column = stack[left, 0], stack[left, 1]
                here = depth[row, column]
                for side in range(4):
                    below = row + (side == 0) - (side == 1)
                    beside = column + (side == 2) - (side == 3)
                    if not (0 <= below < height and 0 <= beside < width):
                        continue
                    if not mask[below, beside] or labels[below, beside] > 0:
                        continue
                    step = abs(depth[below, beside] - here)
                    if step > np.float32(STEP) + np.float32(STEEP) * here:
                        continue
                    labels[below, beside] = count
                    stack[left, 0], stack[left, 1] = below, beside
                    left += 1
    return labels, count

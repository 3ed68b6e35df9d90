"""Where boxes lie in an image, how near they come, and which of them nothing can be seen of.

Points that lie together are held by a box; a box behind all that is drawn spares its points. Cost:
the eight corners of a box, about 25 ns, and one depth a pixel of its outline at most, when 64
points cost a thousand.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SLACK = 1e-5
"""Relative; a point may come out a little nearer than the corners of its box."""
_STEP = 22
"""Bits of a float32 below its exponent's and the first one of its fraction."""


def near_first(nearest: NDArray[np.float32]) -> NDArray[np.int64]:
    """Boxes from near to far in steps of 1 to 1.5 to 2, those of a step as they come.

    So what hides the others is drawn first, and what lies together in memory is still read
    together: a strict order would halve the speed of a view that hides nothing.

    Args:
        nearest: [N] metres, at least 0.

    Returns:
        [N] their numbers.
    """
    return np.argsort((nearest.view(np.uint32) >> _STEP).astype(np.uint16), kind="stable")


@njit(cache=True, nogil=True, error_model="numpy")
def outlines(boxes, lens, width, height, margin):  # pragma: no cover
    """Pixels that points in a box may fall on, and the least depth of one.

    Args:
        boxes: [N, 2, 3] least and largest coordinates, metres.
        lens: [14] see `lens` of `kernels.front`.
        width, height: of the image.
        margin: pixels by which an outline is widened on all sides.

    Returns:
        outline: [N, 4] first row, one past the last, first column, one past the last.
        nearest: [N] metres along z; 0 if the box is not wholly in front of the camera: its outline
            is empty.
    """
    one = np.float32(1)
    outline = np.zeros((len(boxes), 4), np.int32)
    nearest = np.zeros(len(boxes), np.float32)
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    for n in range(len(boxes)):
        least = left = top = np.float32(np.inf)
        right = bottom = np.float32(-np.inf)
        for corner in range(8):
            d0 = boxes[n, corner & 1, 0] - lens[9]
            d1 = boxes[n, corner >> 1 & 1, 1] - lens[10]
            d2 = boxes[n, corner >> 2, 2] - lens[11]
            a, b, c = lens[6] * d0, lens[7] * d1, lens[8] * d2
            z = a + b + c
            least = min(least, z - np.float32(_SLACK) * (abs(a) + abs(b) + abs(c)))
            if not least > 0:
                break
            scale = one / z
            u = (lens[0] * d0 + lens[1] * d1 + lens[2] * d2) * scale + lens[12]
            v = (lens[3] * d0 + lens[4] * d1 + lens[5] * d2) * scale + lens[13]
            left, right = min(left, u), max(right, u)
            top, bottom = min(top, v), max(bottom, v)
        if not least > 0:
            continue
        nearest[n] = least
        wide = np.float32(margin) + one
        outline[n, 0] = max(min(top - wide, last_y), np.float32(0))
        outline[n, 1] = max(min(bottom + wide, last_y), np.float32(0)) + one
        outline[n, 2] = max(min(left - wide, last_x), np.float32(0))
        outline[n, 3] = max(min(right + wide, last_x), np.float32(0)) + one
    return outline, nearest


@njit(cache=True, nogil=True, inline="always")
def hidden(front, outline, depth):  # pragma: no cover
    """Whether all pixels of an outline show something nearer than `depth`."""
    for row in range(outline[0], outline[1]):
        for column in range(outline[2], outline[3]):
            if not front[row, column] < depth:
                return False
    return depth > 0

"""Push-pull filling of what no point covers.

Cost: one pyramid of 4/3 the pixels, up and down.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from worldrt.errors import ShapeError


def fill(
    channels: NDArray[np.float32], mask: NDArray[np.float32], neutral: float = 0.5
) -> NDArray[np.float32]:
    """Fill what the mask leaves out from its surroundings, push-pull.

    Args:
        channels: [V, C, Y, X]; ignored where the mask is 0.
        mask: [V, Y, X] trust in each pixel, 0 to 1; a pixel of trust 1 is kept as it is.
        neutral: the value of a view whose mask is 0 everywhere.

    Returns:
        [V, C, Y, X], a new array.

    Raises:
        ShapeError: the mask does not fit the channels.

    Source: Gortler et al., The Lumigraph, SIGGRAPH 1996 (pull-push).
    """
    if channels.ndim != 4:
        raise ShapeError("channels", channels.shape, "[V, C, Y, X]")
    views, _, height, width = channels.shape
    if mask.shape != (views, height, width):
        raise ShapeError("mask", mask.shape, f"[{views}, {height}, {width}]")
    filled = np.empty_like(channels)
    for view in range(views):
        _push_pull(channels[view], mask[view], np.float32(neutral), filled[view])
    return filled


@njit(cache=True, nogil=True)
def _push_pull(channels, mask, neutral, filled):  # pragma: no cover
    """Halve down to one pixel, then double back up into what has too little weight."""
    depth, height, width = channels.shape
    sizes = [(height, width)]
    while sizes[-1] != (1, 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    base = np.empty((depth + 1, height, width), np.float32)
    for row in range(height):
        for column in range(width):
            trust = mask[row, column]
            base[depth, row, column] = trust
            for c in range(depth):
                # A product would let a NaN through where nothing is known.
                base[c, row, column] = channels[c, row, column] if trust > 0 else neutral
    levels = [base]
    for level in range(1, len(sizes)):
        levels.append(_halved(levels[level - 1], sizes[level], neutral))
    top = levels[-1]
    if top[depth, 0, 0] <= 0:
        filled[:] = neutral
        return
    for level in range(len(sizes) - 2, -1, -1):
        _doubled_into(levels[level + 1], levels[level])
    filled[:] = base[:depth]


@njit(cache=True, nogil=True)
def _halved(fine, size, neutral):  # pragma: no cover
    """Weighted means of 2x2 pixels, the last row and column alone where the size is odd."""
    depth = len(fine) - 1
    height, width = fine.shape[1:]
    coarse = np.empty((depth + 1, size[0], size[1]), np.float32)
    for row in range(size[0]):
        bottom = min(2 * row + 2, height)
        for column in range(size[1]):
            right = min(2 * column + 2, width)
            total = np.float32(0.0)
            for y in range(2 * row, bottom):
                for x in range(2 * column, right):
                    total += fine[depth, y, x]
            coarse[depth, row, column] = min(total, np.float32(1.0))
            for c in range(depth):
                value = np.float32(0.0)
                for y in range(2 * row, bottom):
                    for x in range(2 * column, right):
                        value += fine[depth, y, x] * fine[c, y, x]
                coarse[c, row, column] = value / total if total > 0 else neutral
    return coarse


@njit(cache=True, nogil=True)
def _doubled_into(coarse, fine):  # pragma: no cover
    """Blend the bilinear interpolation of `coarse` into `fine` where its weight is below 1."""
    depth = len(fine) - 1
    height, width = fine.shape[1:]
    rows, columns = coarse.shape[1:]
    for row in range(height):
        # Centres of a coarse pixel's children lie a quarter pixel from its own.
        y0 = row // 2
        y1 = min(max(y0 + (1 if row % 2 else -1), 0), rows - 1)
        for column in range(width):
            trust = fine[depth, row, column]
            if trust >= 1:
                continue
            x0 = column // 2
            x1 = min(max(x0 + (1 if column % 2 else -1), 0), columns - 1)
            for c in range(depth):
                near = np.float32(0.75) * coarse[c, y0, x0] + np.float32(0.25) * coarse[c, y0, x1]
                far = np.float32(0.75) * coarse[c, y1, x0] + np.float32(0.25) * coarse[c, y1, x1]
                guess = np.float32(0.75) * near + np.float32(0.25) * far
                fine[c, row, column] = (
                    trust * fine[c, row, column] + (np.float32(1.0) - trust) * guess
                )

"""Points to images: a soft splat in two passes, and push-pull filling of what no point covers.

Cost of a view: pass 1 reads 16 bytes a point (position and source depth) for all P points and keeps
16 bytes for each of the N in sight; pass 2 touches 28 bytes of one [Y, X, 7] accumulator for each
pixel under a point, 4 or more where it is stretched, in the order of the points. At 128x96 the
accumulator is 344 KB and stays in the cache, so time is about linear in P + 4 N. Filling is one
pyramid of 4/3 the pixels.

Views are independent and each is one sequential loop, so a result is the same bit for bit on any
number of threads. The loops hold no lock and run on plain threads, as many as torch may use:
numba's own thread pool must not be entered by two sessions at once, and a second pool would spin
against torch's.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera

NEAR = 0.05
"""Metres; what is nearer is not drawn."""
TOLERANCE = 0.06
"""Points this much farther than the front, relatively, still belong to its surface."""
LONGEST_REACH = 3.0
"""Pixels; bounds the footprint of a point seen from much nearer than it was recorded."""
CLAIM = 0.6
"""Share of its reach within which a point hides what is behind: half a pixel closes a surface."""


def splat(
    points: NDArray[np.float32],
    colours: NDArray[np.uint8],
    source_depth: NDArray[np.float32],
    poses: NDArray[np.float64],
    camera: Camera,
    longest_reach: float = LONGEST_REACH,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw points softly into V views.

    A point is a tent w of half-width `reach` pixels: 1, and growing as the camera comes nearer than
    the source was, so that a wall one walks up to stays closed. Pass 1 finds the front of each
    pixel, pass 2 averages what belongs to it with weights w^3 / (source_depth reach)^2: fine points
    before coarse.

    Args:
        points: [P, 3] world coordinates, metres.
        colours: [P, 3] RGB.
        source_depth: [P] metres at which each point was recorded, above 0.
        poses: [V, 4, 4] camera to world.
        camera: its size is the size of the images.
        longest_reach: pixels, at least 1; at 1 no point is stretched.

    Returns:
        rgb: [V, Y, X, 3], 0 to 1.
        depth: [V, Y, X] metres along z.
        weight: [V, Y, X] sum of w^2: 0 uncovered, at least 1/4 where points lie a pixel apart.
        source: [V, Y, X] mean source depth, metres; all four are 0 where uncovered.

    Raises:
        ShapeError: an array's shape does not fit the others.

    Source: Botsch and Kobbelt, High-Quality Point-Based Rendering on Modern GPUs, Pacific Graphics
    2003 (a visibility pass, then a blending pass).
    """
    count = len(points)
    if points.shape != (count, 3):
        raise ShapeError("points", points.shape, "[P, 3]")
    if colours.shape != (count, 3):
        raise ShapeError("colours", colours.shape, f"[{count}, 3]")
    if source_depth.shape != (count,):
        raise ShapeError("source_depth", source_depth.shape, f"[{count}]")
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ShapeError("poses", poses.shape, "[V, 4, 4]")
    views, height, width = len(poses), camera.height, camera.width
    rgb = np.empty((views, height, width, 3), np.float32)
    depth, weight, source = np.empty((3, views, height, width), np.float32)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    longest = np.float32(longest_reach)

    def draw(view: int) -> None:
        images = rgb[view], depth[view], weight[view], source[view]
        _draw(points, colours, source_depth, poses[view], intrinsics, longest, *images)

    workers = min(views, torch.get_num_threads())
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(draw, range(views)))
    else:
        for view in range(views):
            draw(view)
    return rgb, depth, weight, source


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


@njit(cache=True, nogil=True, inline="always")
def _reach(source_depth, depth, longest):  # pragma: no cover
    """Half-width in pixels of a point's tent: the size of its source pixel in this view."""
    return min(max(source_depth / depth, np.float32(1.0)), longest)


@njit(cache=True, nogil=True, inline="always")
def _span(centre, half_width, size):  # pragma: no cover
    """First pixel and one past the last within `half_width` of `centre`."""
    first = max(int(np.ceil(centre - half_width)), 0)
    return first, min(int(np.floor(centre + half_width)), size - 1) + 1


@njit(cache=True, nogil=True)
def _draw(
    points, colours, source_depth, pose, intrinsics, longest, rgb, depth, weight, source
):  # pragma: no cover
    one = np.float32(1.0)
    height, width = depth.shape
    fx, fy, cx, cy = intrinsics
    # Rows of the projection from world to pixels, in float32 like the points.
    x0, x1, x2 = (
        np.float32(fx * pose[0, 0]),
        np.float32(fx * pose[1, 0]),
        np.float32(fx * pose[2, 0]),
    )
    y0, y1, y2 = (
        np.float32(fy * pose[0, 1]),
        np.float32(fy * pose[1, 1]),
        np.float32(fy * pose[2, 1]),
    )
    z0, z1, z2 = np.float32(pose[0, 2]), np.float32(pose[1, 2]), np.float32(pose[2, 2])
    o0, o1, o2 = np.float32(pose[0, 3]), np.float32(pose[1, 3]), np.float32(pose[2, 3])
    centre_x, centre_y = np.float32(cx - 0.5), np.float32(cy - 0.5)
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    near = np.float32(NEAR)

    front = np.full((height, width), np.float32(np.inf), np.float32)
    index = np.empty(len(points), np.int32)
    seen = np.empty((len(points), 3), np.float32)
    count = 0
    for p in range(len(points)):
        d0, d1, d2 = points[p, 0] - o0, points[p, 1] - o1, points[p, 2] - o2
        z = z0 * d0 + z1 * d1 + z2 * d2
        if not z >= near:
            continue
        u = (x0 * d0 + x1 * d1 + x2 * d2) / z + centre_x
        v = (y0 * d0 + y1 * d1 + y2 * d2) / z + centre_y
        reach = _reach(source_depth[p], z, longest)
        if not (-reach < u < last_x + reach and -reach < v < last_y + reach):
            continue
        index[count], seen[count, 0], seen[count, 1], seen[count, 2] = p, u, v, z
        count += 1
        left, right = _span(u, reach * np.float32(CLAIM), width)
        top, bottom = _span(v, reach * np.float32(CLAIM), height)
        for row in range(top, bottom):
            for column in range(left, right):
                front[row, column] = min(front[row, column], z)

    front *= np.float32(1.0 + TOLERANCE)
    total = np.zeros((height, width, 7), np.float32)
    for k in range(count):
        p, u, v, z = index[k], seen[k, 0], seen[k, 1], seen[k, 2]
        reach = _reach(source_depth[p], z, longest)
        left, right = _span(u, reach, width)
        top, bottom = _span(v, reach, height)
        slope = one / reach
        coarseness = source_depth[p] * reach
        value = one / (coarseness * coarseness)
        red = np.float32(colours[p, 0])
        green = np.float32(colours[p, 1])
        blue = np.float32(colours[p, 2])
        for row in range(top, bottom):
            vertical = one - abs(np.float32(row) - v) * slope
            for column in range(left, right):
                if z <= front[row, column]:
                    tent = vertical * (one - abs(np.float32(column) - u) * slope)
                    square = tent * tent
                    share = square * tent * value
                    total[row, column, 0] += share * red
                    total[row, column, 1] += share * green
                    total[row, column, 2] += share * blue
                    total[row, column, 3] += share * z
                    total[row, column, 4] += share
                    total[row, column, 5] += share * source_depth[p]
                    total[row, column, 6] += square

    for row in range(height):
        for column in range(width):
            share = total[row, column, 4]
            # The reciprocal of a denormal is infinite: so little share is none.
            scale = one / share if share > np.float32(1e-30) else np.float32(0.0)
            for channel in range(3):
                rgb[row, column, channel] = total[row, column, channel] * scale / np.float32(255.0)
            depth[row, column] = total[row, column, 3] * scale
            source[row, column] = total[row, column, 5] * scale
            weight[row, column] = total[row, column, 6] if scale > 0 else np.float32(0.0)


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

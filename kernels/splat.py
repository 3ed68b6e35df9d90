"""Points to images: a soft splat in two passes.

Cost of a view: pass 1 reads 17 bytes a point (weight, position and source depth) for the P points
of its spans and keeps 16 bytes for each of the N in sight; pass 2 touches 32 bytes of one
[Y, X, 8] accumulator for each pixel under a point, 4 or more where it is stretched, in the order of
the points. At 128x96 the accumulator is 393 KB and stays in the cache, so time is about linear in
P + 4 N.

Views are independent and each is one sequential loop, so a result is the same bit for bit on any
number of threads. The loops hold no lock and run on plain threads, as many as torch may use:
numba's own thread pool must not be entered by two sessions at once, and a second pool would spin
against torch's.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

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
BACK = 120.0
"""Degrees from its facing at which a point shows its back: a surface whose normal is 30 degrees off
never does."""
CLAIM = 0.6
"""Share of its reach within which a point hides what is behind: half a pixel closes a surface."""


class Drawn(NamedTuple):
    """Points as V cameras see them; all are 0 where no point lies."""

    rgb: NDArray[np.float32]
    """[V, Y, X, 3], 0 to 1."""
    depth: NDArray[np.float32]
    """[V, Y, X] metres along z."""
    weight: NDArray[np.float32]
    """[V, Y, X] sum of w^2: at least 1/4 where points lie a pixel apart."""
    source: NDArray[np.float32]
    """[V, Y, X] mean source depth, metres."""
    written: NDArray[np.float32]
    """[V, Y, X] mean frame at which the points were recorded."""


def splat(
    points: NDArray[np.float32],
    colours: NDArray[np.uint8],
    source_depth: NDArray[np.float32],
    written: NDArray[np.int32],
    weight: NDArray[np.uint8],
    spans: Sequence[NDArray[np.int32]],
    poses: NDArray[np.float64],
    camera: Camera,
    longest_reach: float = LONGEST_REACH,
    facing: NDArray[np.int8] | None = None,
) -> Drawn:
    """Draw points softly into V views.

    A point is a tent w of half-width `reach` pixels: 1, and growing as the camera comes nearer than
    the source was, so that a wall one walks up to stays closed. Pass 1 finds the front of each
    pixel, pass 2 averages what belongs to it with weights w^3 / (source_depth reach)^2: fine points
    before coarse.

    Args:
        points: [P, 3] world coordinates, metres.
        colours: [P, 3] RGB.
        source_depth: [P] metres at which each point was recorded, above 0.
        written: [P] frame at which each point was recorded.
        weight: [P] 0: the point is dead and not drawn.
        spans: for each view [N, 2] first point and one past the last of each run to draw; no two
            overlap.
        poses: [V, 4, 4] camera to world.
        camera: its size is the size of the images.
        longest_reach: pixels, at least 1; at 1 no point is stretched.
        facing: [P, 3] the side from which each point can be seen, a direction of length 127; one
            that is seen from the other side, `BACK` and more, is not drawn. 0 0 0, or None: any.

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
    if written.shape != (count,):
        raise ShapeError("written", written.shape, f"[{count}]")
    if weight.shape != (count,):
        raise ShapeError("weight", weight.shape, f"[{count}]")
    if facing is None:
        facing = np.zeros((0, 3), np.int8)
    elif facing.shape != (count, 3):
        raise ShapeError("facing", facing.shape, f"[{count}, 3]")
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ShapeError("poses", poses.shape, "[V, 4, 4]")
    if len(spans) != len(poses):
        raise ShapeError("spans", (len(spans),), f"[{len(poses)}], one a view")
    for runs in spans:
        if runs.ndim != 2 or runs.shape[1] != 2:
            raise ShapeError("spans", runs.shape, "[N, 2]")
    views, height, width = len(poses), camera.height, camera.width
    rgb = np.empty((views, height, width, 3), np.float32)
    drawn = Drawn(rgb, *np.empty((4, views, height, width), np.float32))
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    longest = np.float32(longest_reach)

    def draw(view: int) -> None:
        images = (layer[view] for layer in drawn)
        arrays = points, colours, source_depth, written, weight, facing, spans[view]
        _draw(*arrays, poses[view], intrinsics, longest, *images)

    workers = min(views, torch.get_num_threads())
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(draw, range(views)))
    else:
        for view in range(views):
            draw(view)
    return drawn


_TURNED = np.float32((127 * np.cos(np.radians(BACK))) ** 2)


@njit(cache=True, nogil=True, inline="always")
def turned_away(facing, d0, d1, d2):  # pragma: no cover
    """Whether a camera sees a point's back; d leads from the camera to the point."""
    along = np.float32(facing[0]) * d0 + np.float32(facing[1]) * d1 + np.float32(facing[2]) * d2
    # Away from the camera is along the ray.
    return along > 0 and along * along > _TURNED * (d0 * d0 + d1 * d1 + d2 * d2)


@njit(cache=True, nogil=True, inline="always")
def reach_of(source_depth, depth, longest):  # pragma: no cover
    """Half-width in pixels of a point's tent: the size of its source pixel in this view."""
    return min(max(source_depth / depth, np.float32(1.0)), longest)


@njit(cache=True, nogil=True, inline="always")
def pixels_within(centre, half_width, size):  # pragma: no cover
    """First pixel and one past the last within `half_width` of `centre`."""
    first = max(int(np.ceil(centre - half_width)), 0)
    return first, min(int(np.floor(centre + half_width)), size - 1) + 1


@njit(cache=True, nogil=True)
def _draw(
    points,
    colours,
    source_depth,
    written,
    alive,
    facing,
    spans,
    pose,
    intrinsics,
    longest,
    rgb,
    depth,
    weight,
    source,
    frame,
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
    room = 0
    for run in range(len(spans)):
        room += spans[run, 1] - spans[run, 0]
    index = np.empty(room, np.int32)
    seen = np.empty((room, 3), np.float32)
    count = 0
    for run in range(len(spans)):
        for p in range(spans[run, 0], spans[run, 1]):
            if alive[p] == 0:
                continue
            d0, d1, d2 = points[p, 0] - o0, points[p, 1] - o1, points[p, 2] - o2
            z = z0 * d0 + z1 * d1 + z2 * d2
            if not z >= near:
                continue
            u = (x0 * d0 + x1 * d1 + x2 * d2) / z + centre_x
            v = (y0 * d0 + y1 * d1 + y2 * d2) / z + centre_y
            reach = reach_of(source_depth[p], z, longest)
            if not (-reach < u < last_x + reach and -reach < v < last_y + reach):
                continue
            if len(facing) > 0 and turned_away(facing[p], d0, d1, d2):
                continue
            index[count], seen[count, 0], seen[count, 1], seen[count, 2] = p, u, v, z
            count += 1
            left, right = pixels_within(u, reach * np.float32(CLAIM), width)
            top, bottom = pixels_within(v, reach * np.float32(CLAIM), height)
            for row in range(top, bottom):
                for column in range(left, right):
                    front[row, column] = min(front[row, column], z)

    front *= np.float32(1.0 + TOLERANCE)
    total = np.zeros((height, width, 8), np.float32)
    for k in range(count):
        p, u, v, z = index[k], seen[k, 0], seen[k, 1], seen[k, 2]
        reach = reach_of(source_depth[p], z, longest)
        left, right = pixels_within(u, reach, width)
        top, bottom = pixels_within(v, reach, height)
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
                    total[row, column, 7] += share * np.float32(written[p])

    for row in range(height):
        for column in range(width):
            share = total[row, column, 4]
            # The reciprocal of a denormal is infinite: so little share is none.
            scale = one / share if share > np.float32(1e-30) else np.float32(0.0)
            for channel in range(3):
                rgb[row, column, channel] = total[row, column, channel] * scale / np.float32(255.0)
            depth[row, column] = total[row, column, 3] * scale
            source[row, column] = total[row, column, 5] * scale
            frame[row, column] = total[row, column, 7] * scale
            weight[row, column] = total[row, column, 6] if scale > 0 else np.float32(0.0)

"""Points to images: a soft splat in two passes.

Cost of a view: pass 1 reads 20 bytes a point (weight, position, source depth and facing), about
15 ns, for the P points of its runs and keeps 16 bytes for each of the N in sight; pass 2 touches 32
bytes of one [Y, X, 8] accumulator for each pixel under a point, 4 or more where it is stretched,
about 20 ns a point. At 128x96 the accumulator is 407 KB and stays in the cache. Runs whose boxes
are known are drawn nearest first, and one that lies behind what is drawn costs no more than its
box: P and N are then what is in front, not what is in the direction that one looks in.

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
from worldrt.kernels.front import NEAR, lens
from worldrt.kernels.outlines import hidden, near_first, outlines

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
    boxes: Sequence[NDArray[np.float32]] | None = None,
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
        boxes: for each view [N, 2, 3] least and largest coordinates of the points of each run;
            None: unknown, and all runs are looked at, in their order.

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
    if boxes is not None:
        for runs, held in zip(spans, boxes, strict=True):
            if held.shape != (len(runs), 2, 3):
                raise ShapeError("boxes", held.shape, f"[{len(runs)}, 2, 3]")
    views, height, width = len(poses), camera.height, camera.width
    rgb = np.empty((views, height, width, 3), np.float32)
    drawn = Drawn(rgb, *np.empty((4, views, height, width), np.float32))
    longest = np.float32(longest_reach)

    def draw(view: int) -> None:
        runs, eye = spans[view], lens(poses[view], camera)
        if boxes is None:
            outline, nearest = np.zeros((len(runs), 4), np.int32), np.zeros(len(runs), np.float32)
        else:
            outline, nearest = outlines(boxes[view], eye, width, height, longest)
        order = near_first(nearest)
        arrays = points, colours, source_depth, written, weight, facing, runs
        images = (layer[view] for layer in drawn)
        _draw(*arrays, order, outline, nearest, eye, longest, *images)

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
def pixels_within(centre, half_width, size):  # pragma: no cover
    """First pixel and one past the last within `half_width` of `centre`."""
    first = max(int(np.ceil(centre - half_width)), 0)
    return first, min(int(np.floor(centre + half_width)), size - 1) + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(
    points,
    colours,
    source_depth,
    written,
    alive,
    facing,
    spans,
    order,
    outline,
    nearest,
    lens,
    longest,
    rgb,
    depth,
    weight,
    source,
    frame,
):  # pragma: no cover
    one, half, nothing = np.float32(1.0), np.float32(0.5), np.float32(np.inf)
    height, width = depth.shape
    centre_x, centre_y = lens[12] - half, lens[13] - half
    last_x, last_y = np.float32(width - 1), np.float32(height - 1)
    claim, tolerance = np.float32(CLAIM), np.float32(1.0 + TOLERANCE)

    # A border that nothing is before spares the loops a look whether a pixel is in the image.
    framed = np.full((height + 2, width + 2), -nothing, np.float32)
    front = framed[1:-1, 1:-1]
    front[:] = nothing
    room = 0
    for run in range(len(spans)):
        room += spans[run, 1] - spans[run, 0]
    index = np.empty(room, np.int32)
    seen = np.empty((room, 4), np.float32)
    count = 0
    for k in range(len(spans)):
        run = order[k]
        if hidden(front, outline[run], nearest[run] / tolerance):
            continue
        for p in range(spans[run, 0], spans[run, 1]):
            if alive[p] == 0:
                continue
            d0, d1, d2 = points[p, 0] - lens[9], points[p, 1] - lens[10], points[p, 2] - lens[11]
            z = lens[6] * d0 + lens[7] * d1 + lens[8] * d2
            if not z >= np.float32(NEAR):
                continue
            scale = one / z
            u = (lens[0] * d0 + lens[1] * d1 + lens[2] * d2) * scale + centre_x
            v = (lens[3] * d0 + lens[4] * d1 + lens[5] * d2) * scale + centre_y
            reach = min(max(source_depth[p] * scale, one), longest)
            if not (-reach < u < last_x + reach and -reach < v < last_y + reach):
                continue
            if len(facing) > 0 and turned_away(facing[p], d0, d1, d2):
                continue
            index[count] = p
            seen[count, 0], seen[count, 1], seen[count, 2], seen[count, 3] = u, v, z, reach
            count += 1
            if reach > one:
                left, right = pixels_within(u, reach * claim, width)
                top, bottom = pixels_within(v, reach * claim, height)
                for row in range(top, bottom):
                    for column in range(left, right):
                        front[row, column] = min(front[row, column], z)
                continue
            # Four pixels at most, and no branch that a processor could only guess. A sum that is
            # rounded up must not leave the border.
            top, left = min(int(v + one), height), min(int(u + one), width)
            down, across = v + one - np.float32(top), u + one - np.float32(left)
            upper, lower = down <= claim, one - down <= claim
            near, far = across <= claim, one - across <= claim
            above, below = framed[top], framed[top + 1]
            above[left] = min(above[left], z if upper & near else nothing)
            above[left + 1] = min(above[left + 1], z if upper & far else nothing)
            below[left] = min(below[left], z if lower & near else nothing)
            below[left + 1] = min(below[left + 1], z if lower & far else nothing)

    framed *= tolerance
    total = np.zeros((height + 2, width + 2, 8), np.float32)
    for k in range(count):
        p, u, v, z, reach = index[k], seen[k, 0], seen[k, 1], seen[k, 2], seen[k, 3]
        if reach > one:
            left, right = pixels_within(u, reach, width)
            top, bottom = pixels_within(v, reach, height)
        else:
            top, left = min(int(v + one), height) - 1, min(int(u + one), width) - 1
            bottom, right = top + 2, left + 2
        slope = one / reach
        coarseness = source_depth[p] * reach
        value = one / (coarseness * coarseness)
        red = value * np.float32(colours[p, 0])
        green = value * np.float32(colours[p, 1])
        blue = value * np.float32(colours[p, 2])
        far, origin, when = value * z, value * source_depth[p], value * np.float32(written[p])
        for row in range(top, bottom):
            vertical = one - abs(np.float32(row) - v) * slope
            for column in range(left, right):
                if z <= framed[row + 1, column + 1]:
                    tent = vertical * (one - abs(np.float32(column) - u) * slope)
                    square = tent * tent
                    share = square * tent
                    here = total[row + 1, column + 1]
                    here[0] += share * red
                    here[1] += share * green
                    here[2] += share * blue
                    here[3] += share * far
                    here[4] += share * value
                    here[5] += share * origin
                    here[6] += square
                    here[7] += share * when

    for row in range(height):
        for column in range(width):
            here = total[row + 1, column + 1]
            share = here[4]
            # The reciprocal of a denormal is infinite: so little share is none.
            scale = one / share if share > np.float32(1e-30) else np.float32(0.0)
            for channel in range(3):
                rgb[row, column, channel] = here[channel] * scale / np.float32(255.0)
            depth[row, column] = here[3] * scale
            source[row, column] = here[5] * scale
            frame[row, column] = here[7] * scale
            weight[row, column] = here[6] if scale > 0 else np.float32(0.0)

"""The nearest point of each pixel, and which frames the points in front were seen by.

Cost: both passes read 13 bytes a point (position, weight) of the spans that are given, the second
8 more for each of the few in front; the images, one int32 and one float32 a pixel, stay in the
cache. A span whose box is known and lies behind what others show costs its box alone. On a GPU that
is two launches, bound by memory.

A point falls on the one pixel that it projects into. The arithmetic is float32 in one stated order,
never contracted to fused multiply-adds, and votes are integers; so numba, torch and Triton return
the same bits, whatever the order in which points arrive.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from worldrt.errors import ShapeError
from worldrt.geometry.camera import Camera
from worldrt.kernels.outlines import hidden, near_first, outlines

NEAR = 0.05
"""Metres; what is nearer is not seen."""
FRONT = 1.02
"""A point no farther than this times the front's depth, and `slack`, belongs to its surface."""
PIXEL_VOTE = 5040
"""What a pixel has to give: its points in front share it evenly, rounded down."""
RANKS = 4
"""Sources of a point; the first counts four times, the last once."""
NONE = 65535
"""A source that is none."""

Backend = Literal["torch", "triton"]


class Front(NamedTuple):
    """What a camera sees of points."""

    depth: NDArray[np.float32]
    """[y, x] metres along z; 0: nothing."""
    id: NDArray[np.int32]
    """[y, x] point, the lowest of those at exactly that depth; -1: none."""


def front(
    position: NDArray[np.float32],
    weight: NDArray[np.uint8],
    spans: NDArray[np.int32],
    pose: NDArray[np.float64],
    camera: Camera,
    boxes: NDArray[np.float32] | None = None,
) -> Front:
    """The nearest living point of each pixel.

    Args:
        position: [S, 3] world coordinates, metres; one that is not finite is not seen.
        weight: [S] 0 is dead.
        spans: [N, 2] first point and one past the last of each run to look at; no two overlap.
        pose: [4, 4] world_from_camera.
        camera: its size is the size of the images.
        boxes: [N, 2, 3] least and largest coordinates of the points of each run; None: unknown.

    Raises:
        ShapeError: an array's shape does not fit.
    """
    _check(position, weight, spans)
    eye = lens(pose, camera)
    outline, nearest = _outlines(spans, boxes, eye, camera)
    order = near_first(nearest)
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    index = np.full((camera.height, camera.width), -1, np.int32)
    _front(position, weight, spans, order, outline, nearest, eye, depth, index)
    depth[index < 0] = 0
    return Front(depth, index)


def votes(
    position: NDArray[np.float32],
    weight: NDArray[np.uint8],
    sources: NDArray[np.uint16],
    spans: NDArray[np.int32],
    depth: NDArray[np.float32],
    pose: NDArray[np.float64],
    camera: Camera,
    slack: float,
    slots: int,
    boxes: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """How much of what a camera sees each frame has seen, and how well.

    Each pixel has one vote. The points in front (no farther than 1.02 times the nearest, and
    `slack`) share it evenly, and each gives its part to its sources, 4 : 3 : 2 : 1.

    Args:
        position, weight, spans, pose, camera, boxes: as of `front`.
        sources: [S, 4] frames that saw each point, the best observer first; 65535 is none.
        depth: [y, x] what `front` returned.
        slack: metres, at least 0.
        slots: frames; sources from here on are none.

    Returns:
        [slots] votes, in 1/5040 of a pixel.

    Raises:
        ShapeError: an array's shape does not fit.
    """
    _check(position, weight, spans)
    if sources.shape != (len(position), RANKS):
        raise ShapeError("sources", sources.shape, f"[{len(position)}, {RANKS}]")
    if depth.shape != (camera.height, camera.width):
        raise ShapeError("depth", depth.shape, f"[{camera.height}, {camera.width}]")
    limit = depth * np.float32(FRONT) + np.float32(slack)
    total = np.zeros(slots, np.int64)
    eye = lens(pose, camera)
    _votes(
        position, weight, sources, spans, *_outlines(spans, boxes, eye, camera), eye, limit, total
    )
    return total


def front_on(
    position: Tensor,
    weight: Tensor,
    spans: NDArray[np.int32],
    pose: NDArray[np.float64],
    camera: Camera,
    backend: Backend,
) -> tuple[Tensor, Tensor]:
    """`front` of tensors on any device, bit for bit the same.

    Args:
        position, weight: as of `front`.
        spans: as of `front`, on the host: they tell how much there is to do.
        pose, camera: as of `front`.
        backend: `torch`, or `triton` on a GPU.

    Returns:
        depth [y, x] float32 and id [y, x] int32.
    """
    if backend == "triton":
        from worldrt.kernels.front_triton import front as triton_front

        return triton_front(position, weight, spans, lens(pose, camera), camera)
    inside, pixel, z = _project(position, weight, spans, pose, camera)
    nearest = position.new_full((camera.height * camera.width,), torch.inf)
    nearest.scatter_reduce_(0, pixel, z, "amin")
    first = z == nearest[pixel]
    most = torch.iinfo(torch.int32).max
    index = inside.new_full(nearest.shape, most)
    index.scatter_reduce_(0, pixel[first], inside[first], "amin")
    empty = index == most
    size = camera.height, camera.width
    depth = nearest.masked_fill(empty, 0).view(size)
    return depth, index.masked_fill(empty, -1).to(torch.int32).view(size)


def votes_on(
    position: Tensor,
    weight: Tensor,
    sources: Tensor,
    spans: NDArray[np.int32],
    depth: Tensor,
    pose: NDArray[np.float64],
    camera: Camera,
    slack: float,
    slots: int,
    backend: Backend,
) -> Tensor:
    """`votes` of tensors on any device, exactly the same; arguments as there and of `front_on`."""
    limit = depth * torch.tensor(FRONT, device=depth.device) + slack
    if backend == "triton":
        from worldrt.kernels.front_triton import votes as triton_votes

        return triton_votes(position, weight, sources, spans, lens(pose, camera), limit, slots)
    inside, pixel, z = _project(position, weight, spans, pose, camera)
    near = z <= limit.flatten()[pixel]
    inside, pixel = inside[near], pixel[near]
    crowd = torch.bincount(pixel, minlength=limit.numel())
    share = PIXEL_VOTE // crowd[pixel]
    # torch has few operations on uint16.
    frames = sources.view(torch.int16)[inside].long() & 0xFFFF
    worth = share[:, None] * torch.arange(RANKS, 0, -1, device=share.device)
    total = share.new_zeros(NONE + 1)
    total.scatter_add_(0, frames.flatten(), worth.flatten())
    return total[:slots]


def lens(pose: NDArray[np.float64], camera: Camera) -> NDArray[np.float32]:
    """[14] projection from world to pixels: rows of x, y and z, the camera's place, its centre."""
    rotation = pose[:3, :3]
    return np.concatenate(
        [
            camera.fx * rotation[:, 0],
            camera.fy * rotation[:, 1],
            rotation[:, 2],
            pose[:3, 3],
            (camera.cx, camera.cy),
        ]
    ).astype(np.float32)


def _check(
    position: NDArray[np.float32], weight: NDArray[np.uint8], spans: NDArray[np.int32]
) -> None:
    if position.ndim != 2 or position.shape[1] != 3:
        raise ShapeError("position", position.shape, "[S, 3]")
    if weight.shape != position.shape[:1]:
        raise ShapeError("weight", weight.shape, f"[{len(position)}]")
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise ShapeError("spans", spans.shape, "[N, 2]")


def _outlines(
    spans: NDArray[np.int32],
    boxes: NDArray[np.float32] | None,
    eye: NDArray[np.float32],
    camera: Camera,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`outlines` of runs; a run whose box is unknown may be anywhere."""
    if boxes is None:
        return np.zeros((len(spans), 4), np.int32), np.zeros(len(spans), np.float32)
    if boxes.shape != (len(spans), 2, 3):
        raise ShapeError("boxes", boxes.shape, f"[{len(spans)}, 2, 3]")
    return outlines(boxes, eye, camera.width, camera.height, 0)


def _project(
    position: Tensor,
    weight: Tensor,
    spans: NDArray[np.int32],
    pose: NDArray[np.float64],
    camera: Camera,
) -> tuple[Tensor, Tensor, Tensor]:
    """Points in sight, the pixel of each, and its depth; each operation rounds by itself."""
    runs = torch.from_numpy(spans).to(position.device).long()
    total = int((spans[:, 1] - spans[:, 0]).sum())  # on the host: the device need not be waited for
    lengths = runs[:, 1] - runs[:, 0]
    before = runs[:, 0] - lengths.cumsum(0) + lengths
    index = torch.repeat_interleave(before, lengths, output_size=total)
    index += torch.arange(total, device=index.device)
    x0, x1, x2, y0, y1, y2, z0, z1, z2, o0, o1, o2, cx, cy = torch.from_numpy(
        lens(pose, camera)
    ).to(position.device)
    d0, d1, d2 = (position[index] - torch.stack([o0, o1, o2])).unbind(1)
    z = z0 * d0 + z1 * d1 + z2 * d2
    u = (x0 * d0 + x1 * d1 + x2 * d2) / z + cx
    v = (y0 * d0 + y1 * d1 + y2 * d2) / z + cy
    seen = (weight[index] > 0) & (z >= NEAR) & (z < torch.inf)
    seen &= (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    pixel = v[seen].long() * camera.width + u[seen].long()
    return index[seen], pixel, z[seen]


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _pixel(position, p, lens, width, height):  # pragma: no cover
    """Pixel that a point falls on, -1 where none, and its depth; in the order of `_project`."""
    d0, d1, d2 = position[p, 0] - lens[9], position[p, 1] - lens[10], position[p, 2] - lens[11]
    z = lens[6] * d0 + lens[7] * d1 + lens[8] * d2
    if not np.float32(NEAR) <= z < np.float32(np.inf):
        return -1, z
    u = (lens[0] * d0 + lens[1] * d1 + lens[2] * d2) / z + lens[12]
    v = (lens[3] * d0 + lens[4] * d1 + lens[5] * d2) / z + lens[13]
    if not (0 <= u < np.float32(width) and 0 <= v < np.float32(height)):
        return -1, z
    return np.int32(v) * width + np.int32(u), z


@njit(cache=True, nogil=True, error_model="numpy")
def _front(
    position, weight, spans, order, outline, nearest, lens, depth, index
):  # pragma: no cover
    height, width = depth.shape
    depths, indices = depth.reshape(-1), index.reshape(-1)
    for k in range(len(spans)):
        span = order[k]
        if hidden(depth, outline[span], nearest[span]):
            continue
        for p in range(spans[span, 0], spans[span, 1]):
            if weight[p] == 0:
                continue
            pixel, z = _pixel(position, p, lens, width, height)
            if pixel < 0:
                continue
            if z < depths[pixel] or (z == depths[pixel] and p < indices[pixel]):
                depths[pixel], indices[pixel] = z, p


@njit(cache=True, nogil=True, error_model="numpy")
def _votes(
    position, weight, sources, spans, outline, nearest, lens, limit, total
):  # pragma: no cover
    """Find who stands in front and how many a pixel has; then let them vote."""
    height, width = limit.shape
    limits = limit.reshape(-1)
    crowd = np.zeros(height * width, np.int32)
    room = 0
    for span in range(len(spans)):
        room += spans[span, 1] - spans[span, 0]
    near = np.empty((room, 2), np.int32)
    count = 0
    for span in range(len(spans)):
        if hidden(limit, outline[span], nearest[span]):
            continue
        for p in range(spans[span, 0], spans[span, 1]):
            if weight[p] == 0:
                continue
            pixel, z = _pixel(position, p, lens, width, height)
            if pixel >= 0 and z <= limits[pixel]:
                near[count, 0], near[count, 1] = p, pixel
                count += 1
                crowd[pixel] += 1
    for k in range(count):
        p, pixel = near[k, 0], near[k, 1]
        share = PIXEL_VOTE // crowd[pixel]
        for rank in range(RANKS):
            if sources[p, rank] < len(total):
                total[sources[p, rank]] += share * (RANKS - rank)

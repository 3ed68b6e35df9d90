"""`kernels/front.py` in Triton: one program a run of points, minima by atomics on integers.

A positive float32 orders like its bits do as int32, so the nearest depth is an integer minimum, and
what the atomics leave does not depend on their order. Multiply-adds stay apart (`enable_fp_fusion`)
and the division rounds to nearest, so a point falls on the same pixel as on the CPU.
"""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from worldrt.geometry.camera import Camera

BLOCK = 64
"""Points a program looks at once: a page of the map."""
_NEAR = tl.constexpr(0.05)
_RANKS = tl.constexpr(4)
_PIXEL_VOTE = tl.constexpr(5040)


def front(
    position: Tensor,
    weight: Tensor,
    spans: NDArray[np.int32],
    lens: NDArray[np.float32],
    camera: Camera,
) -> tuple[Tensor, Tensor]:
    """Depth [y, x] and id [y, x]; see `front.front`."""
    size = camera.height, camera.width
    none = torch.iinfo(torch.int32).max
    bits = torch.full(size, none, dtype=torch.int32, device=position.device)
    index = torch.full_like(bits, none)
    here = torch.from_numpy(lens).to(position.device)
    for kernel in (_nearest, _lowest):
        _launch(kernel, position, weight, spans, here, bits, index, camera.width, camera.height)
    empty = bits == none
    depth = bits.masked_fill(empty, 0).view(torch.float32)
    return depth, index.masked_fill(empty, -1)


def votes(
    position: Tensor,
    weight: Tensor,
    sources: Tensor,
    spans: NDArray[np.int32],
    lens: NDArray[np.float32],
    limit: Tensor,
    slots: int,
) -> Tensor:
    """[slots] int64; see `front.votes`."""
    height, width = limit.shape
    crowd = torch.zeros(limit.shape, dtype=torch.int32, device=limit.device)
    total = torch.zeros(slots, dtype=torch.int64, device=limit.device)
    here = torch.from_numpy(lens).to(position.device)
    frames = sources.view(torch.int16)
    _launch(_crowd, position, weight, spans, here, limit, crowd, width, height)
    _launch(_vote, position, weight, spans, here, limit, crowd, width, height, frames, total, slots)
    return total


def _launch(
    kernel: Any, position: Tensor, weight: Tensor, spans: NDArray[np.int32], *rest: Any
) -> None:
    """A program for every `BLOCK` points of every run; the longest run tells how many that is."""
    if len(spans) == 0:
        return
    longest = int((spans[:, 1] - spans[:, 0]).max())
    grid = len(spans), triton.cdiv(longest, BLOCK)
    if longest > 0:
        runs = torch.from_numpy(spans).to(position.device)
        kernel[grid](position, weight, runs, *rest, BLOCK=BLOCK, enable_fp_fusion=False)


@triton.jit
def _project(position, weight, spans, lens, width, height, BLOCK: tl.constexpr):  # pragma: no cover
    """Points of this program, the pixel of each, its depth, and whether it is in sight."""
    run = tl.program_id(0)
    start = tl.load(spans + 2 * run)
    stop = tl.load(spans + 2 * run + 1)
    p = start + tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    here = p < stop
    here &= tl.load(weight + p, mask=here, other=0) > 0
    d0 = tl.load(position + 3 * p, mask=here, other=0.0) - tl.load(lens + 9)
    d1 = tl.load(position + 3 * p + 1, mask=here, other=0.0) - tl.load(lens + 10)
    d2 = tl.load(position + 3 * p + 2, mask=here, other=0.0) - tl.load(lens + 11)
    z = tl.load(lens + 6) * d0 + tl.load(lens + 7) * d1 + tl.load(lens + 8) * d2
    here &= (z >= _NEAR) & (z < float("inf"))
    safe = tl.where(here, z, 1.0)
    x = tl.load(lens) * d0 + tl.load(lens + 1) * d1 + tl.load(lens + 2) * d2
    y = tl.load(lens + 3) * d0 + tl.load(lens + 4) * d1 + tl.load(lens + 5) * d2
    u = tl.div_rn(x, safe) + tl.load(lens + 12)
    v = tl.div_rn(y, safe) + tl.load(lens + 13)
    here &= (u >= 0) & (u < width) & (v >= 0) & (v < height)
    column = tl.where(here, u, 0.0).to(tl.int32)
    row = tl.where(here, v, 0.0).to(tl.int32)
    return p, row * width + column, safe, here


@triton.jit
def _nearest(
    position, weight, spans, lens, bits, index, width, height, BLOCK: tl.constexpr
):  # pragma: no cover
    p, pixel, z, here = _project(position, weight, spans, lens, width, height, BLOCK)
    tl.atomic_min(bits + pixel, z.to(tl.int32, bitcast=True), mask=here)


@triton.jit
def _lowest(
    position, weight, spans, lens, bits, index, width, height, BLOCK: tl.constexpr
):  # pragma: no cover
    p, pixel, z, here = _project(position, weight, spans, lens, width, height, BLOCK)
    here &= z.to(tl.int32, bitcast=True) == tl.load(bits + pixel, mask=here, other=0)
    tl.atomic_min(index + pixel, p, mask=here)


@triton.jit
def _crowd(
    position, weight, spans, lens, limit, crowd, width, height, BLOCK: tl.constexpr
):  # pragma: no cover
    p, pixel, z, here = _project(position, weight, spans, lens, width, height, BLOCK)
    here &= z <= tl.load(limit + pixel, mask=here, other=0.0)
    tl.atomic_add(crowd + pixel, 1, mask=here)


@triton.jit
def _vote(
    position,
    weight,
    spans,
    lens,
    limit,
    crowd,
    width,
    height,
    frames,
    total,
    slots,
    BLOCK: tl.constexpr,
):  # pragma: no cover
    p, pixel, z, here = _project(position, weight, spans, lens, width, height, BLOCK)
    here &= z <= tl.load(limit + pixel, mask=here, other=0.0)
    share = _PIXEL_VOTE // tl.load(crowd + pixel, mask=here, other=1)
    for rank in tl.static_range(_RANKS):  # pyright: ignore[reportGeneralTypeIssues]
        frame = tl.load(frames + _RANKS * p + rank, mask=here, other=-1).to(tl.int32) & 0xFFFF
        worth = (share * (_RANKS - rank)).to(tl.int64)
        tl.atomic_add(total + frame, worth, mask=here & (frame < slots))

"""What a device can do at best: measured matrix products and copies."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

TRIES = 7
"""The best of so many counts: what else a machine does only makes it slower."""
COPIED = 2**27
"""Bytes of the copy; far beyond any cache of a CPU."""


class Ceilings(NamedTuple):
    """A device's best."""

    flops: float
    """Operations a second in matrix products of the subject's size and dtype."""
    bytes: float
    """Bytes a second in copies, read and written ones counted."""

    def seconds(self, flops: float, moved: float) -> float:
        """The least time for some work: its operations or its bytes, whichever takes longer."""
        return max(flops / self.flops, moved / self.bytes)


def measure(rows: int, width: int, dtype: torch.dtype, device: torch.device) -> Ceilings:
    """Measure a device.

    Args:
        rows, width: the product is [rows, width] by [width, 4 width].
        dtype: of the factors.
        device: which one.
    """
    left = torch.randn(rows, width, dtype=dtype, device=device)
    right = torch.randn(width, 4 * width, dtype=dtype, device=device)
    source = torch.empty(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    product = best(lambda: torch.mm(left, right), device)
    copy = best(lambda: target.copy_(source), device)
    return Ceilings(8 * rows * width**2 / product, 2 * COPIED / copy)


def best(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the quickest of some runs, after two that do not count."""
    for _ in range(2):
        run()
    return min(timed(run, device) for _ in range(TRIES))


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one run; on a GPU by its own events."""
    if device.type != "cuda":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3

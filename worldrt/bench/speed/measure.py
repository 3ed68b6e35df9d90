"""Blocks timed: as they are, and once more under the profiler to see where the time goes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from worldrt.bench.speed.ceilings import timed
from worldrt.bench.speed.plain import PlainLoop
from worldrt.bench.speed.subject import Subject
from worldrt.memory.slots import Region

FILL = 64
"""Most blocks that a context takes to be full."""
PROFILED = 3
"""Blocks under the profiler."""
OPERATIONS = MappingProxyType(
    {
        "linear": ("aten::addmm", "aten::mm", "aten::linear", "aten::_scaled_mm"),
        "attention": (
            "aten::_scaled_dot_product",
            "aten::_flash_attention",
            "aten::_efficient_attention",
            "aten::bmm",
            "aten::baddbmm",
        ),
    }
)
"""Operators of a kind, by the beginning of their name; all others are element-wise."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What blocks took.

    Args:
        block_ms: median of a block, all passes, the cache and its policy included.
        spread_ms: 10th and 90th percentile.
        policy_ms: the cache's own bookkeeping, moving and choosing of a block, host time.
        share: share of the operators' time that each kind of work took, under the profiler.
        context: cached tokens that the last block attended to.
        cache_bytes: of the cache.
        peak_bytes: most memory that tensors held on a GPU; None: not counted on this device.
    """

    block_ms: float
    spread_ms: tuple[float, float]
    policy_ms: float
    share: Mapping[str, float]
    context: int
    cache_bytes: int
    peak_bytes: int | None


class Walk:
    """A rollout whose context is full."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._told = subject, subject.told()
        self._rollout = subject.rollout()
        self.cache = self._rollout.cache

    def block(self) -> None:
        """One block: its steps and its clean pass, or the one before's where they are fused."""
        self._rollout.generate(self._subject.draw, self._subject.block_frames, self._told)
        self._rollout.commit()

    @torch.inference_mode()
    def fill(self) -> None:
        """Walk until two blocks in turn left the context as long as it was, at most FILL blocks."""
        lengths = [-2, -1]
        while len(lengths) < FILL and len({*lengths[-3:]}) > 1:
            self.block()
            lengths.append(self.tokens)

    @property
    def tokens(self) -> int:
        """Cached tokens that the next block attends to."""
        subject, regions = self._subject, self.cache.occupancy()
        staying = self.cache.staying(subject.block_frames) * subject.rows * subject.columns
        others = (Region.SINK, Region.SPATIAL, Region.MID)
        return staying + sum(regions[region].tokens for region in others)


def full_context(subject: Subject) -> int:
    """Cached tokens that a block of `subject` attends to once its context is full."""
    walk = Walk(subject.twin())
    walk.fill()
    return walk.tokens


@torch.inference_mode()
def measure(subject: Subject, blocks: int, trace: Path | None, tick: Callable[[], None]) -> Timing:
    """Time blocks of a rollout behind a full context.

    Args:
        subject: what is walked.
        blocks: how many are timed.
        trace: where a Chrome trace of PROFILED further blocks goes; None: nowhere.
        tick: called after each timed block.
    """
    device = subject.device
    walk = Walk(subject)
    walk.fill()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    context, spent, host = walk.tokens, [], walk.cache.seconds
    for _ in range(blocks):
        spent.append(1e3 * timed(walk.block, device))
        tick()
    host = walk.cache.seconds - host
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    low, median, high = np.percentile(spent, [10, 50, 90]).tolist()
    return Timing(
        block_ms=median,
        spread_ms=(low, high),
        policy_ms=1e3 * host / blocks,
        share=_shares(walk, device, trace),
        context=context,
        cache_bytes=walk.cache.nbytes,
        peak_bytes=peak,
    )


@torch.inference_mode()
def side_by_side(
    subject: Subject, frames: int, blocks: int, tick: Callable[[], None]
) -> tuple[float, float]:
    """Median milliseconds of our block and of the plain loop's, taken in turns.

    Args:
        subject: its policy keeps as many frames as the plain loop does.
        frames: latent frames of context of the plain loop.
        blocks: how many of each.
        tick: called after each pair.
    """
    ours, plain, told = Walk(subject), PlainLoop(subject, frames), subject.told()
    for _ in range(2 + -(-frames // subject.block_frames)):
        ours.block()
        plain.block(told)
    pairs = []
    for _ in range(blocks):
        mine = timed(ours.block, subject.device)
        theirs = timed(lambda: plain.block(told), subject.device)
        pairs.append((1e3 * mine, 1e3 * theirs))
        tick()
    mine, theirs = np.median(pairs, axis=0).tolist()
    return mine, theirs


def _shares(walk: Walk, device: torch.device, trace: Path | None) -> dict[str, float]:
    """Share of each kind of work in the time that operators took themselves."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as found:
        for _ in range(PROFILED):
            walk.block()
    if trace is not None:
        found.export_chrome_trace(str(trace))
    rows = [
        (row.key, row.self_device_time_total if cuda else row.self_cpu_time_total)
        for row in found.key_averages()
    ]
    return shares(rows)


def shares(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Share of each kind of work, from (operator, its own time)."""
    spent = {**dict.fromkeys(OPERATIONS, 0.0), "elementwise": 0.0}
    for name, taken in rows:
        spent[kind_of(name)] += taken
    total = sum(spent.values()) or 1.0
    return {kind: taken / total for kind, taken in spent.items()}


def kind_of(operator: str) -> str:
    """The kind of work that an operator of torch does."""
    for kind, beginnings in OPERATIONS.items():
        if operator.startswith(beginnings):
            return kind
    return "elementwise"

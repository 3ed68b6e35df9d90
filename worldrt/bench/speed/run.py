"""`worldrt bench speed`: the bound first, then the measurement, then the gap."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from worldrt.bench.speed.ceilings import Ceilings
from worldrt.bench.speed.ceilings import measure as measure_ceilings
from worldrt.bench.speed.measure import Timing, full_context, measure, side_by_side
from worldrt.bench.speed.subject import STRIDE, Subject, random_subject, world_subject
from worldrt.bench.speed.work import KINDS, Work, work
from worldrt.checkpoints.files import write_bytes
from worldrt.config import check
from worldrt.doctor import Machine
from worldrt.doctor import measure as measure_machine
from worldrt.errors import BackendUnavailable, ConfigError, OutputError
from worldrt.world import World, find_dtype

INCLUDES = (
    "all passes of the transformer (steps and clean pass), the cache and its policy; "
    "conditions, prompt, memory and decoder are not included"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to measure.

    Args:
        world: a shipped world, or a folder; None: `model`.
        model: a size of `subject.MODELS`, with random weights.
        size: width and height of a model's frames.
        policy: of the cache; None: the world's, or a window of `context` frames.
        context: latent frames of a model's window.
        steps: of a model.
        dtype: see `World.load`.
        device: `cpu`, `cuda`, or None: cuda where there is one.
        blocks: that are timed, 3 to 1000.
        plain: whether the plain loop is measured beside it.
        trace: where a Chrome trace goes; None: nowhere.
        out: where the report goes; None: nowhere.
    """

    world: str | None
    model: str
    size: tuple[int, int]
    policy: str | None
    context: int
    steps: int
    dtype: str
    device: str | None
    blocks: int
    plain: bool
    trace: Path | None
    out: Path | None


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work in a block."""

    kind: str
    gflops: float
    megabytes: float
    bound_ms: float
    measured_ms: float
    """The block's time by the kind's share under the profiler."""


class SpeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `worldrt bench speed` found; keys are told in docs/benchmarks/speed.md."""

    subject: str
    parameters: int
    width: int
    height: int
    policy: str
    steps: int
    dtype: str
    device: str
    threads: int
    tokens: int
    """L, of a block."""
    keys: int
    """S, that a pass attends to, its own included."""
    peak_tflops: float
    peak_gb_s: float
    bound_ms: float
    """Of a block: the sum over the kinds of work."""
    block_ms: float
    low_ms: float
    high_ms: float
    """10th and 90th percentile."""
    gap: float
    """block_ms / bound_ms."""
    latent_fps: float
    """Latent frames a second."""
    bound_latent_fps: float
    policy_ms: float
    cache_mb: float
    peak_mb: float | None
    plain_ms: float | None
    """The plain loop's block, measured in turns with ours."""
    beside_plain_ms: float | None
    """Ours, in the same turns."""
    speedup: float | None
    includes: str
    kinds: list[KindRow]
    machine: Machine
    torch: str
    date: str


def bench_speed(order: Order, console: Console) -> SpeedReport:
    """Print the bound, measure, and print the gap.

    Raises:
        ConfigError: a name or a number that makes no sense.
        BackendUnavailable: a device that is not there.
        OutputError: a file that can't be written.
    """
    check(3 <= order.blocks <= 1000, f"{order.blocks} blocks can't be timed; ask for 3 to 1000.")
    for path in (order.trace, order.out):
        if path is not None and not path.parent.is_dir():
            raise OutputError(f"The folder {path.parent} does not exist; make it first.")
    subject = _subject(order)
    expected = work(subject, full_context(subject))
    ceilings = measure_ceilings(
        subject.block_tokens, subject.model.config.dim, subject.dtype, subject.device
    )
    console.print(_bound_table(subject, expected, ceilings))
    pairs = order.blocks if order.plain else 0
    with _bar(order.blocks + pairs) as tick:
        timing = measure(subject, order.blocks, order.trace, tick)
        beside = side_by_side(subject, order.context, pairs, tick) if pairs else None
    real = work(subject, timing.context)
    report = _report(order, subject, real, ceilings, timing, beside)
    if order.out:
        write_bytes(order.out, msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    console.print(_gap_table(report))
    return report


def _subject(order: Order) -> Subject:
    name = order.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError.unknown("device", name, ["cpu", "cuda"])
    if name == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable("CUDA", "say --device cpu, or run where a GPU is")
    if order.world is not None:
        return world_subject(World.load(order.world, order.dtype), order.policy)
    return random_subject(
        order.model,
        order.size,
        policy=order.policy or f"window:sink=0,recent={order.context}",
        steps=order.steps,
        dtype=find_dtype(order.dtype),
        device=torch.device(name),
    )


def _report(
    order: Order,
    subject: Subject,
    real: Work,
    ceilings: Ceilings,
    timing: Timing,
    beside: tuple[float, float] | None,
) -> SpeedReport:
    bounds = {kind: 1e3 * ceilings.seconds(*real.by_kind[kind]) for kind in KINDS}
    bound, frames = sum(bounds.values()), subject.block_frames
    kinds = [
        KindRow(
            kind=kind,
            gflops=round(real.by_kind[kind].flops / 1e9, 3),
            megabytes=round(real.by_kind[kind].bytes / 1e6, 3),
            bound_ms=round(bounds[kind], 3),
            measured_ms=round(timing.block_ms * timing.share[kind], 3),
        )
        for kind in KINDS
    ]
    ours, plain = beside or (None, None)
    width, height = _pixels(subject)
    return SpeedReport(
        subject=subject.name,
        parameters=sum(one.numel() for one in subject.model.parameters()),
        width=width,
        height=height,
        policy=subject.policy.name,
        steps=len(subject.steps),
        dtype=str(subject.dtype).removeprefix("torch."),
        device=_device_name(subject.device),
        threads=torch.get_num_threads(),
        tokens=real.queries,
        keys=real.keys,
        peak_tflops=round(ceilings.flops / 1e12, 4),
        peak_gb_s=round(ceilings.bytes / 1e9, 2),
        bound_ms=round(bound, 3),
        block_ms=round(timing.block_ms, 3),
        low_ms=round(timing.spread_ms[0], 3),
        high_ms=round(timing.spread_ms[1], 3),
        gap=round(timing.block_ms / bound, 3),
        latent_fps=round(1e3 * frames / timing.block_ms, 3),
        bound_latent_fps=round(1e3 * frames / bound, 3),
        policy_ms=round(timing.policy_ms, 3),
        cache_mb=round(timing.cache_bytes / 1e6, 3),
        peak_mb=None if timing.peak_bytes is None else round(timing.peak_bytes / 1e6, 1),
        plain_ms=plain,
        beside_plain_ms=ours,
        speedup=round(plain / ours, 3) if ours and plain else None,
        includes=INCLUDES,
        kinds=kinds,
        machine=measure_machine(),
        torch=str(torch.__version__),
        date=date.today().isoformat(),
    )


def _pixels(subject: Subject) -> tuple[int, int]:
    side = STRIDE * subject.model.config.patch
    return subject.columns * side, subject.rows * side


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _bound_table(subject: Subject, cost: Work, ceilings: Ceilings) -> Table:
    width, height = _pixels(subject)
    found = Table(title=f"What a block of {subject.name} must cost", box=None, title_justify="left")
    found.caption_justify = "left"
    found.caption = (
        f"{width}x{height}, {subject.block_frames} latent frames of {cost.queries:,} tokens in "
        f"all, {cost.keys:,} keys, {cost.passes} passes, {subject.dtype}. This device: "
        f"{ceilings.flops / 1e12:.3g} TFLOP/s in matrix products of this size, "
        f"{ceilings.bytes / 1e9:.3g} GB/s in copies."
    )
    for heading in ("", "GFLOP", "MB", "bound ms"):
        found.add_column(heading, justify="right" if heading else "left")
    total = 0.0
    for kind in KINDS:
        one = cost.by_kind[kind]
        bound = 1e3 * ceilings.seconds(*one)
        total += bound
        found.add_row(kind, f"{one.flops / 1e9:,.1f}", f"{one.bytes / 1e6:,.1f}", f"{bound:,.2f}")
    found.add_row("all", f"{cost.flops / 1e9:,.1f}", "", f"{total:,.2f}", style="bold")
    return found


def _gap_table(report: SpeedReport) -> Table:
    found = Table(title="What it costs", box=None, title_justify="left", caption_justify="left")
    found.caption = (
        f"Median block {report.block_ms:,.2f} ms ({report.low_ms:,.2f} to {report.high_ms:,.2f}), "
        f"{report.latent_fps:,.1f} latent frames a second; the bound is "
        f"{report.bound_latent_fps:,.1f}. The policy's own work: {report.policy_ms:.2f} ms. "
        f"Included: {report.includes}."
    )
    for heading in ("", "bound ms", "measured ms", "times"):
        found.add_column(heading, justify="right" if heading else "left")
    rows = [(row.kind, row.bound_ms, row.measured_ms) for row in report.kinds]
    for name, bound, spent in [*rows, ("all", report.bound_ms, report.block_ms)]:
        found.add_row(name, f"{bound:,.2f}", f"{spent:,.2f}", f"{spent / bound:.2f}")
    if report.speedup is not None:
        found.add_row(
            "plain loop", "", f"{report.plain_ms:,.2f}", f"{report.speedup:.2f} x ours", style="dim"
        )
    return found


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; what is yielded is called once a block."""
    columns = (TextColumn("timing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
        job = bar.add_task("", total=total)
        yield lambda: bar.advance(job)

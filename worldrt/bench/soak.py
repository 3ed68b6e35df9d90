"""`worldrt bench soak`: whether a long walk costs what a short one does.

A random walk of thousands of blocks through a world; bytes of cache, memory and process and the
time of a block are noted as it goes. After warm-up nothing may grow.
"""

import resource
import sys
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import track
from rich.table import Table

from worldrt.bench.pictures import plot_lines
from worldrt.checkpoints.files import write_bytes
from worldrt.config import check
from worldrt.errors import OutputError
from worldrt.geometry.keys import random_walk
from worldrt.session import Session
from worldrt.world import World

WARM_UP = 50
"""Blocks after which nothing may grow."""
NOTES = 50
"""Rows of the curve."""


class SoakRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state after a number of blocks."""

    block: int
    block_ms: float
    """Median since the row before."""
    cache_bytes: int
    memory_bytes: int
    memory_points: int
    process_mb: float
    """Resident memory of the process."""


class SoakReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `soak.json` holds."""

    world: str
    policy: str
    rows: list[SoakRow]


def bench_soak(
    name: str, out: Path, blocks: int, policy: str | None, start_name: str
) -> tuple[SoakReport, Table]:
    """Walk `blocks` blocks at random and write `soak.json` and `soak.png`.

    Args:
        name: of the world.
        out: folder, made if need be.
        blocks: more than WARM_UP.
        policy: of the cache; None: the world's own.
        start_name: where the walk begins, see `open_start`.

    Raises:
        ConfigError, CheckpointError, OutputError: before the walk begins.
    """
    check(
        blocks > WARM_UP,
        f"A soak of {blocks} blocks ends before it is warm; ask for more than {WARM_UP}.",
    )
    world = World.load(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    config = world.config
    start = world.start(start_name)
    session = Session(world, start, policy=policy)
    keys = random_walk(0, blocks * config.block_frames)
    noted = set(np.linspace(WARM_UP, blocks, NOTES, dtype=int).tolist())
    rows: list[SoakRow] = []
    spent: list[float] = []
    for number in track(range(1, blocks + 1), "soak"):
        first = (number - 1) * config.block_frames
        chunk = session.step(keys[first : first + config.block_frames])
        spent.append(chunk.block_ms)
        if number in noted:
            rows.append(_note(number, spent, session))
            spent = []
    report = SoakReport(world=config.name, policy=policy or config.policy, rows=rows)
    write_bytes(out / "soak.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    at = [row.block for row in rows]
    series = {
        "block, ms": (at, [row.block_ms for row in rows]),
        "process, MB": (at, [row.process_mb for row in rows]),
        "cache + memory, MB": (at, [(row.cache_bytes + row.memory_bytes) / 1e6 for row in rows]),
    }
    plot_lines(out / "soak.png", series, f"{config.name}, {blocks} blocks", "block", "")
    return report, _table(report)


def _note(number: int, spent: list[float], session: Session) -> SoakRow:
    return SoakRow(
        block=number,
        block_ms=round(float(np.median(spent)), 2),
        cache_bytes=session.cache.nbytes,
        memory_bytes=session.memory.nbytes,
        memory_points=len(session.memory),
        process_mb=round(resident_mb(), 1),
    )


def resident_mb() -> float:
    """Resident memory now where the system tells it, else the most so far."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    return peak_mb()


def peak_mb() -> float:
    """The most resident memory so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6


def _table(report: SoakReport) -> Table:
    found = Table(title=f"{report.world}, policy {report.policy}")
    for heading in ("block", "ms a block", "cache MB", "memory MB", "points", "process MB"):
        found.add_column(heading, justify="right")
    for row in report.rows[:: max(1, len(report.rows) // 10)] + report.rows[-1:]:
        found.add_row(
            f"{row.block:,}",
            f"{row.block_ms:.1f}",
            f"{row.cache_bytes / 1e6:.1f}",
            f"{row.memory_bytes / 1e6:.1f}",
            f"{row.memory_points:,}",
            f"{row.process_mb:.0f}",
        )
    return found

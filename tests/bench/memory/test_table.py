"""The tables of the memory benchmark name everything that was measured."""

from io import StringIO

from rich.console import Console

from worldrt.bench.memory.report import (
    Ages,
    Goal,
    MemoryReport,
    Outcome,
    ScaleRow,
    Times,
    gather,
)
from worldrt.bench.memory.table import WIDTH, tables
from worldrt.doctor import measure

NEVER = Ages(shown=[], chosen=[])


def test_tables_show_cells_scale_and_goals() -> None:
    outcomes = [
        Outcome("memory", "S1", "S1-yaw", "map", seed, {"psnr_seen": seen, "bytes": 2.5e6}, NEVER)
        for seed, seen in enumerate((21.5, 22.5))
    ]
    outcomes.append(Outcome("memory", "S1", "S1-yaw", "none", 0, {"psnr_seen": 9.25}, NEVER))
    detour = Outcome("generative", "S3", "S3-detour-500", "none", 0, {"psnr_mg": 1.5}, NEVER)
    outcomes.append(detour)
    row = ScaleRow(
        system="frames:nearest",
        budget_mb=0,
        frames=64_000,
        points=12,
        bytes=3_000_000,
        peak_mb=50.5,
        insert_ms=None,
        retrieve_ms=Times(p50=1.25, p99=2),
        psnr=None,
    )
    report = MemoryReport(
        world="tiny",
        quick=True,
        seeds=[0, 1],
        machine=measure(),
        torch="2",
        date="2026-11-21",
        seconds=2,
        cells=gather(outcomes),
        scale=[row],
        exponents={"frames:nearest": 0.97},
        million=None,
        goals=[Goal(name="ghosts, S1", value=0.5, target=0.02, at_least=False)],
    )
    console = Console(width=WIDTH, record=True, file=StringIO())
    for table in tables(report):
        console.print(table)
    text = " ".join(console.export_text().split())
    for word in (
        "memory alone, holes filled",
        "tiny with each memory",
        "22.00 ±0.5",
        "9.25",
        "2.5",
        "64,000",
        "1.25",
        "frames:nearest +0.97",
        "at most 0.02",
        "not met",
    ):
        assert word in text, word
    assert text.count("S1-yaw") == 1, "a course is named once"

"""The report of the memory benchmark for a person."""

from collections.abc import Iterator

from rich.table import Table

from worldrt.bench.memory.folder import FolderReport
from worldrt.bench.memory.report import Cell, Goal, Interval, MemoryReport

HEADINGS = {
    "psnr_seen": ("seen dB", ".2f"),
    "ssim_seen": ("SSIM", ".3f"),
    "psnr_novel": ("novel dB", ".2f"),
    "psnr_first": ("first visit dB", ".2f"),
    "psnr_mg": ("gain dB", ".2f"),
    "coverage": ("coverage@8", ".3f"),
    "ghost": ("ghosts", ".3f"),
    "liveness": ("liveness", ".2f"),
    "retrieve_ms_p50": ("choose ms", ".2f"),
    "insert_ms_p50": ("insert ms", ".2f"),
    "bytes": ("MB", ".1f"),
}
"""Figures in the table, each with its heading and format; the report has more."""
WIDTH = 170
"""Columns of text that the tables take at most."""


def tables(report: MemoryReport) -> Iterator[Table]:
    """One for each track that was walked, one for scale, one for the goals."""
    for track, title in (
        ("memory", "memory alone, holes filled"),
        ("generative", f"{report.world} with each memory"),
    ):
        cells = [cell for cell in report.cells if cell.track == track]
        if cells:
            yield _quality(cells, f"{title}; {len(report.seeds)} held-out mazes")
    if report.scale:
        yield _scale(report)
    if report.goals:
        yield _goals(report.goals)


def folder_table(report: FolderReport) -> Table:
    """What somebody's video is worth."""
    title = (
        f"{report.frames} frames: {report.revisits} revisits, {report.baselines} other pairs and "
        f"{report.short} short ones"
    )
    found = Table(title=title, box=None)
    found.add_column("figure", no_wrap=True)
    found.add_column("value", justify="right")
    for name, figure in report.figures.items():
        found.add_row(name, f"{figure:.3f}")
    return found


def _quality(cells: list[Cell], title: str) -> Table:
    found = Table(title=title, box=None)
    found.add_column("course", no_wrap=True)
    found.add_column("memory", no_wrap=True)
    shown = [name for name in HEADINGS if any(name in cell.figures for cell in cells)]
    for name in shown:
        found.add_column(HEADINGS[name][0], justify="right")
    course = ""
    for cell in cells:
        figures = [_number(cell.figures.get(name), name) for name in shown]
        found.add_row("" if cell.course == course else cell.course, cell.system, *figures)
        course = cell.course
    return found


def _number(figure: Interval | None, name: str) -> str:
    if figure is None:
        return "-"
    value = figure.mean / 1e6 if name == "bytes" else figure.mean
    text = format(value, HEADINGS[name][1])
    half = (figure.high - figure.low) / 2
    return f"{text} ±{half:.1f}" if name.startswith("psnr") and figure.seeds > 1 else text


def _scale(report: MemoryReport) -> Table:
    found = Table(title="cost over the length of the history", box=None)
    for heading in ("memory", "budget MB"):
        found.add_column(heading, no_wrap=True)
    for heading in (
        "frames",
        "points",
        "MB",
        "insert p50",
        "p99 ms",
        "choose p50",
        "p99 ms",
        "view dB",
    ):
        found.add_column(heading, justify="right")
    for row in report.scale:
        found.add_row(
            row.system,
            str(row.budget_mb or "-"),
            f"{row.frames:,}",
            f"{row.points:,}",
            f"{row.bytes / 1e6:.1f}",
            "-" if row.insert_ms is None else f"{row.insert_ms.p50:.2f}",
            "-" if row.insert_ms is None else f"{row.insert_ms.p99:.2f}",
            f"{row.retrieve_ms.p50:.2f}",
            f"{row.retrieve_ms.p99:.2f}",
            "-" if row.psnr is None else f"{row.psnr:.2f}",
        )
    slopes = (f"{name} {slope:+.2f}" for name, slope in report.exponents.items())
    found.caption = "time of a choice grows as frames to the power of: " + ", ".join(slopes)
    found.caption_justify = "left"
    return found


def _goals(goals: list[Goal]) -> Table:
    found = Table(title="what it was built to reach", box=None)
    found.add_column("goal", no_wrap=True)
    for heading in ("reached", "wanted", ""):
        found.add_column(heading, justify="right")
    for goal in goals:
        bound = "at least" if goal.at_least else "at most"
        found.add_row(
            goal.name,
            f"{goal.value:.3g}",
            f"{bound} {goal.target:g}",
            "met" if goal.met else "[bold]not met[/]",
        )
    return found

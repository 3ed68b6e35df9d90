"""The comparison of cache policies as a table, on screen and in Markdown."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.table import Table

from worldrt.bench.policy_rows import WINDOW, Mark, Plan, PoliciesReport, PolicyRow

NONE = "-"
WIDTH = 180
"""Columns of text that the table takes at most."""


class Column(NamedTuple):
    """A column of figures."""

    heading: str
    value: Callable[[PolicyRow], float | None]
    form: str
    """Format of the number."""


def columns(plan: Plan) -> list[Column]:
    """All columns after the policy's name, in their order."""
    return [
        Column("tokens", lambda row: row.context_tokens, ",d"),
        Column("cache MB", lambda row: row.cache_bytes / 1e6, ".1f"),
        Column("block ms", lambda row: row.block_ms, ".0f"),
        Column("policy %", lambda row: row.policy_percent, ".1f"),
        Column("PSNR", lambda row: row.psnr, ".2f"),
        Column("seen", lambda row: row.psnr_seen, ".2f"),
        Column("novel", lambda row: row.psnr_novel, ".2f"),
        *(_at(frame, f"PSNR @{frame}", lambda mark: mark.psnr, ".1f") for frame in plan.marks),
        *(_at(frame, f"SSIM @{frame}", lambda mark: mark.ssim, ".2f") for frame in plan.marks),
        Column("sharp", lambda row: row.drift and row.drift.sharpness, ".2f"),
        Column("colour", lambda row: row.drift and row.drift.colour, ".1f"),
        Column("satur.", lambda row: row.drift and row.drift.saturation, ".2f"),
        Column("revisit dB", lambda row: row.revisit and row.revisit.psnr, ".1f"),
        Column("gain dB", lambda row: row.revisit and row.revisit.gain, ".1f"),
    ]


def screen(report: PoliciesReport) -> Table:
    """The table for a terminal of WIDTH columns."""
    found = Table(title=title(report.plan), caption=caption(report), box=None)
    found.caption_justify = "left"
    found.add_column("policy", no_wrap=True)
    shown = columns(report.plan)
    for column in shown:
        found.add_column(column.heading, justify="right")
    for row in report.rows:
        found.add_row(row.policy, *_cells(row, shown))
    return found


def markdown(report: PoliciesReport) -> str:
    """The same table and caption for a README."""
    shown = columns(report.plan)
    lines = [
        ["policy", *(column.heading for column in shown)],
        ["---", *("---:" for _ in shown)],
        *([f"`{row.policy}`", *_cells(row, shown)] for row in report.rows),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{title(report.plan)}\n\n{table}\n\n{caption(report)}\n"


def title(plan: Plan) -> str:
    """What was compared, in a line."""
    walks = [f"{len(plan.long_seeds)} of {plan.marks[-1]} frames"]
    if plan.short_seeds:
        walks.append(f"{len(plan.short_seeds)} of {plan.short}")
    return f"Cache policies of {plan.world}: walks in held-out mazes, {' and '.join(walks)}"


def caption(report: PoliciesReport) -> str:
    """What the columns mean, where walks ended early, and on what machine it was."""
    plan, machine = report.plan, report.machine
    text = (
        "Tokens: most cached ones that a block attends to. Cache MB: the most. Block ms: median on "
        "one thread, the other cores measuring other policies; policy %: the cache's own share. "
        f"PSNR, seen, novel: dB against the truth over the first {plan.short} frames of all walks; "
        f"seen are the pixels that {plan.context + 1} real frames before the walk showed. "
        f"@N: the {WINDOW} frames that end at N; @{plan.marks[-1]} is of the longest walks alone. "
        "Sharp, colour, satur.: the last second against the one that first showed the same views "
        "(ratio, 8-bit levels, ratio; 1, 0, 1 is no drift). "
        "Revisit: dB of revisited places against their first showing; gain: dB above other places."
    )
    for row in report.rows:
        if row.frames < plan.marks[-1]:
            text += (
                f" {row.policy} ended at frame {row.frames}, where its context passed "
                f"{plan.most_context} frames."
            )
    return text + (
        f" {report.date}, {machine.cores} cores, {machine.platform}, Python {machine.python}, "
        f"torch {report.torch}."
    )


def _at(frame: int, heading: str, value: Callable[[Mark], float], form: str) -> Column:
    def find(row: PolicyRow) -> float | None:
        return next((value(mark) for mark in row.marks if mark.frame == frame), None)

    return Column(heading, find, form)


def _cells(row: PolicyRow, shown: Sequence[Column]) -> list[str]:
    found = []
    for column in shown:
        value = column.value(row)
        found.append(NONE if value is None else format(value, column.form))
    return found

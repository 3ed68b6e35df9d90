"""The memory benchmark as pictures: quality and coverage by protocol, ages, time over history."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from worldrt.bench.memory.ages import EDGES
from worldrt.bench.memory.report import Cell, ScaleRow
from worldrt.bench.pictures import LINES
from worldrt.video import write_image


def plot_bars(path: Path, cells: Sequence[Cell], figure: str, title: str, ylabel: str) -> None:
    """Write a figure of all systems, a group of bars for each course, with 95 % intervals.

    Args:
        path: a picture file in a folder that exists.
        cells: of one track; those without the figure are left out, at least one has it.
        figure: its key in `Cell.figures`.
        title: above the plot.
        ylabel: beside it, with the unit.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    shown = [cell for cell in cells if figure in cell.figures]
    courses = list(dict.fromkeys(cell.course for cell in shown))
    systems = list(dict.fromkeys(cell.system for cell in shown))
    canvas = FigureCanvasAgg(
        Figure(figsize=(max(7.5, 1.6 * len(courses)), 5), dpi=130, layout="constrained")
    )
    axes = canvas.figure.add_subplot()
    width = 0.85 / len(systems)
    for number, system in enumerate(systems):
        mine = [cell for cell in shown if cell.system == system]
        intervals = [cell.figures[figure] for cell in mine]
        means = np.array([one.mean for one in intervals])
        below = means - [one.low for one in intervals]
        above = np.array([one.high for one in intervals]) - means
        places = np.array([courses.index(cell.course) for cell in mine])
        axes.bar(
            places + (number - (len(systems) - 1) / 2) * width,
            means,
            width,
            yerr=np.maximum([below, above], 0),
            color=LINES[number % len(LINES)],
            hatch=("", "//", "..")[number // len(LINES) % 3],
            edgecolor="white",
            error_kw={"elinewidth": 0.8},
            label=system,
        )
    axes.set_xticks(range(len(courses)), courses, rotation=20, ha="right")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    canvas.figure.legend(loc="outside right center", frameon=False, fontsize=8)
    _write(path, canvas)


def plot_ages(path: Path, cells: Sequence[Cell]) -> None:
    """Write how old what a system shows is, a line for each course.

    Args:
        path: a picture file in a folder that exists.
        cells: of one system on one track, at least one; those that show nothing are left out.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    canvas = FigureCanvasAgg(Figure(figsize=(9, 5), dpi=130, layout="constrained"))
    axes = canvas.figure.add_subplot()
    for number, cell in enumerate(cell for cell in cells if cell.ages.shown):
        axes.plot(
            range(len(EDGES) + 1),
            cell.ages.shown,
            color=LINES[number % len(LINES)],
            linestyle=("-", "--", ":")[number // len(LINES) % 3],
            marker="o",
            label=cell.course,
        )
    axes.set_xticks(range(len(EDGES) + 1), ["0", *(f"{edge:,}" for edge in EDGES)])
    axes.set_title("How old what is shown is", loc="left", fontweight="bold")
    axes.set_xlabel("frames since it was seen, from")
    axes.set_ylabel("share of the pixels")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e6ea", linewidth=0.8)
    canvas.figure.legend(loc="outside right center", frameon=False, fontsize=8)
    _write(path, canvas)


def plot_scale(path: Path, rows: Sequence[ScaleRow]) -> None:
    """Write the time of a choice and of an insertion against the frames of the history.

    Args:
        path: a picture file in a folder that exists.
        rows: at least one.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    canvas = FigureCanvasAgg(Figure(figsize=(11, 5), dpi=130, layout="constrained"))
    left, right = canvas.figure.subplots(1, 2, sharex=True)
    lines = list(dict.fromkeys((row.system, row.budget_mb) for row in rows))
    for number, (system, budget) in enumerate(lines):
        mine = [row for row in rows if (row.system, row.budget_mb) == (system, budget)]
        frames = [row.frames for row in mine]
        style = {
            "color": LINES[number % len(LINES)],
            "marker": "o",
            "linewidth": 1.8,
            "label": f"{system}, {budget} MB" if budget else f"{system}, all frames",
        }
        left.plot(frames, [row.retrieve_ms.p50 for row in mine], **style)
        inserts = [row.insert_ms.p50 for row in mine if row.insert_ms is not None]
        if inserts:
            right.plot(frames, inserts, **style)
    for axes, title in ((left, "Choosing 8 frames"), (right, "Inserting a frame")):
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("frames of history")
        axes.set_ylabel("median, ms")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e4e6ea", linewidth=0.8)
        axes.legend(frameon=False, fontsize=8)
    _write(path, canvas)


def _write(path: Path, canvas: FigureCanvasAgg) -> None:
    canvas.draw()
    write_image(path, np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))

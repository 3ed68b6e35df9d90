"""Cache policies as pictures: quality over a walk, quality against bytes, and what grows."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox, BboxBase

from worldrt.bench.pictures import LINES
from worldrt.bench.policy_rows import PolicyRow
from worldrt.video import write_image

MARKERS = ("", "s", "^", "D", "v", "P")
"""Of the variants of one policy."""
REACHES = (9, 16, 26, 40, 56, 80)
"""Points between a point and its name, the nearest free one is taken."""
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Right and up, where a name may stand."""


class Look(NamedTuple):
    """How a policy is drawn in every picture."""

    colour: str
    dash: str
    marker: str


class Point(NamedTuple):
    """A policy in a scatter plot."""

    name: str
    x: float
    y: float
    look: Look


class Line(NamedTuple):
    """What a policy's cache costs as a rollout goes on, [N] each."""

    policy: str
    blocks: Sequence[int]
    bytes: Sequence[int]
    block_ms: Sequence[float]


def looks(policies: Sequence[str]) -> list[Look]:
    """A colour and dash for each policy, a marker for each of its variants."""
    families: dict[str, int] = {}
    found = []
    for policy in policies:
        name = policy.partition(":")[0]
        variants = families.setdefault(name, 0)
        families[name] += 1
        family = list(families).index(name)
        dash = ("-", "--", ":")[family // len(LINES) % 3]
        found.append(Look(LINES[family % len(LINES)], dash, MARKERS[variants % len(MARKERS)]))
    return found


def plot_quality(path: Path, rows: Sequence[PolicyRow], fps: int, marks: Sequence[int]) -> None:
    """Write PSNR over the long walk: as it is, and how far each policy is from the mean of all.

    The course makes the same hills for all policies; the mean so far of the difference tells them
    apart. The legend has the best at the end of its line first.

    Args:
        path: a picture file in a folder that exists.
        rows: at least one.
        fps: frames of a second of the curves.
        marks: frames that are marked.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    figure = Figure(figsize=(11, 8), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    longest = max(len(row.curve) for row in rows)
    # The mean of those that go to the end, so that it is of the same policies all the way.
    mean = np.mean([row.curve for row in rows if len(row.curve) == longest], axis=0)
    lines: list[tuple[float, Line2D]] = []
    for row, look in zip(rows, looks([row.policy for row in rows]), strict=True):
        seconds = np.arange(1, len(row.curve) + 1)
        so_far = np.cumsum(np.array(row.curve) - mean[: len(seconds)]) / seconds
        above.plot((seconds - 0.5) * fps, row.curve, look.dash, color=look.colour, linewidth=1.0)
        (line,) = below.plot(
            seconds * fps,
            so_far,
            look.dash,
            color=look.colour,
            linewidth=1.6,
            marker=look.marker,
            markersize=5,
            markevery=max(1, longest // 12),
            label=row.policy,
        )
        lines.append((so_far[-1], line))
    above.set_title("Quality over the long walk", loc="left", fontweight="bold")
    above.set_ylabel("PSNR, dB")
    below.set_ylabel("from the mean of all policies, mean so far, dB")
    below.set_xlabel("frame")
    for axes in (above, below):
        _plain(axes)
        for mark in marks:
            axes.axvline(mark, color="#b8bcc4", linewidth=0.8, linestyle=":")
    lines.sort(key=lambda found: -found[0])
    handles = [line for _, line in lines]
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)
    _write(path, canvas)


def plot_bytes(path: Path, rows: Sequence[PolicyRow], frames: int) -> None:
    """Write quality, and how alike revisited places look, against the bytes of the cache.

    Args:
        path: a picture file in a folder that exists.
        rows: at least one.
        frames: that quality is the mean of.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    figure = Figure(figsize=(13, 6.5), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True)
    drawn = list(zip(rows, looks([row.policy for row in rows]), strict=True))
    quality = [Point(row.policy, row.cache_bytes / 1e6, row.psnr, look) for row, look in drawn]
    gains = [
        Point(row.policy, row.cache_bytes / 1e6, row.revisit.gain, look)
        for row, look in drawn
        if row.revisit
    ]
    _scatter(left, quality, "Quality", f"PSNR of the first {frames} frames, dB")
    _scatter(right, gains, "Places stay the same", "revisit gain, dB")
    # Names are placed in pixels, so the axes must not move any more.
    canvas.draw()
    figure.set_layout_engine("none")
    for axes, points in ((left, quality), (right, gains)):
        label(axes, points)
    _write(path, canvas)


def plot_growth(path: Path, lines: Sequence[Line]) -> None:
    """Write the bytes of each cache and the time of a block against the blocks so far.

    The legend has the largest cache first.

    Args:
        path: a picture file in a folder that exists.
        lines: at least one.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    figure = Figure(figsize=(11, 8), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    handles: list[tuple[int, Line2D]] = []
    for line, look in zip(lines, looks([line.policy for line in lines]), strict=True):
        style = {"color": look.colour, "linewidth": 1.6, "marker": look.marker, "markersize": 5}
        kilobytes = [number / 1e3 for number in line.bytes]
        (handle,) = above.plot(line.blocks, kilobytes, look.dash, label=line.policy, **style)
        below.plot(line.blocks, line.block_ms, look.dash, **style)
        handles.append((line.bytes[-1], handle))
    above.set_title("What a cache costs as the rollout goes on", loc="left", fontweight="bold")
    above.set_ylabel("cache, KB")
    above.set_yscale("log")
    above.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    below.set_ylabel("block, ms")
    below.set_ylim(bottom=0)
    below.set_xlabel("block")
    for axes in (above, below):
        _plain(axes)
    handles.sort(key=lambda found: -found[0])
    figure.legend(
        handles=[handle for _, handle in handles],
        loc="outside right center",
        frameon=False,
        fontsize=9,
    )
    _write(path, canvas)


def _scatter(axes: Axes, points: Sequence[Point], title: str, ylabel: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(ylabel)
    axes.set_xlabel("cache, MB")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15)
    _plain(axes)
    for point in points:
        axes.plot(
            point.x,
            point.y,
            point.look.marker or "o",
            color=point.look.colour,
            markersize=8,
            markeredgecolor="white",
        )


def label(axes: Axes, points: Sequence[Point]) -> None:
    """Name each point where the name covers no point or other name, as near to it as that goes."""
    scale = axes.figure.dpi / 72
    spots = [axes.transData.transform((point.x, point.y)) for point in points]
    taken = [Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in spots]
    for point, (x, y) in zip(points, spots, strict=True):
        note = axes.annotate(
            point.name,
            (point.x, point.y),
            (0, 0),
            textcoords="offset points",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "#9aa0aa", "linewidth": 0.6, "shrinkB": 4},
        )
        size = Text.get_window_extent(note)
        boxes = [
            Bbox.from_bounds(
                # A name begins, ends or is centred where it hangs on its point.
                x + scale * reach * right - size.width * (1 - right) / 2,
                y + scale * reach * up - size.height * (1 - up) / 2,
                size.width,
                size.height,
            )
            for reach, (right, up) in product(REACHES, SIDES)
        ]
        best = min(boxes, key=lambda box: _covered(box, taken, axes.bbox))
        note.set_position(((best.x0 - x) / scale, (best.y0 - y) / scale))
        taken.append(best)


def _covered(box: Bbox, taken: Sequence[Bbox], inside: BboxBase) -> float:
    """Pixels of a box that are taken already or lie outside."""
    return (
        sum(_shared(box, other) for other in taken) + box.width * box.height - _shared(box, inside)
    )


def _shared(one: BboxBase, other: BboxBase) -> float:
    both = Bbox.intersection(one, other)
    return both.width * both.height if both else 0.0


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e6ea", linewidth=0.8)
    axes.set_axisbelow(True)


def _write(path: Path, canvas: FigureCanvasAgg) -> None:
    canvas.draw()
    write_image(path, np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))

"""What a training run shows of itself: a table of figures, their curves, and strips of pictures."""

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worldrt.checkpoints.files import write_bytes
from worldrt.errors import CorruptFile, OutputError, ShapeError

Row = tuple[int, dict[str, float | None]]
"""A step and its figures; None is a figure that was not finite."""

INK, PAPER, FAINT = "#d7dae0", "#14161a", "#3a3f49"


class Curves:
    """The figures of a run: `curves.jsonl`, a line a step, and `curves.png`, redrawn at times.

    A line is appended in one write, so a killed run loses at most the line it was writing. A
    figure's name is `PANEL/LINE` or `PANEL`: lines of one panel share their axes.
    """

    def __init__(self, run: Path, step: int = 0, seconds: float = 30.0) -> None:
        """Open a run's figures, dropping those beyond the step at which it goes on.

        Args:
            run: folder of the run, made if need be.
            step: last step that counts; 0 begins afresh.
            seconds: least time between two drawings.

        Raises:
            CorruptFile: a line but the last can't be read.
            OutputError: the folder can't be written.
        """
        self.table, self.picture = run / "curves.jsonl", run / "curves.png"
        self.seconds = seconds
        self._drawn = time.monotonic()
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{run} can't be made ({error.strerror}).") from error
        self.rows = [row for row in read(self.table) if row[0] <= step]
        write_bytes(self.table, b"".join(map(_line, self.rows)))

    def append(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures of a step, and redraw if `seconds` have passed since the last time."""
        finite = {name: x if np.isfinite(x) else None for name, x in figures.items()}
        self.rows.append((step, finite))
        with open(self.table, "ab", buffering=0) as file:
            file.write(_line(self.rows[-1]))
        if time.monotonic() - self._drawn >= self.seconds:
            self.draw()

    def draw(self) -> None:
        """Redraw `curves.png`: one panel a group of figures, faint as measured, bold smoothed."""
        panels: dict[str, list[str]] = {}
        for name in dict.fromkeys(name for _, figures in self.rows for name in figures):
            panels.setdefault(name.split("/")[0], []).append(name)
        count = max(1, len(panels))
        figure = Figure(figsize=(9, 2.6 * count), facecolor=PAPER, layout="constrained")
        axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for panel, (title, names) in zip(axes, panels.items(), strict=False):
            panel.set_title(title, loc="left", color=INK, fontsize=10)
            panel.set_facecolor(PAPER)
            panel.grid(color=FAINT, linewidth=0.5)
            panel.tick_params(colors=INK, labelsize=8)
            panel.spines[:].set_color(FAINT)
            for number, name in enumerate(names):
                points = [(s, f[name]) for s, f in self.rows if f.get(name) is not None]
                steps, values = np.array(points, dtype=float).reshape(-1, 2).T
                colour, label = f"C{number}", name.removeprefix(f"{title}/")
                if len(values) > 60:
                    panel.plot(steps, values, color=colour, alpha=0.3, linewidth=0.7)
                    steps, values = _smooth(steps, values, len(values) // 30)
                panel.plot(steps, values, color=colour, label=label, linewidth=1.4)
            if len(names) > 1:
                above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
                panel.legend(fontsize=8, frameon=False, labelcolor=INK, ncols=len(names), **above)
        axes[-1].set_xlabel("step", color=INK, fontsize=9)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110)
        write_bytes(self.picture, content.getvalue())
        self._drawn = time.monotonic()


def read(table: Path) -> list[Row]:
    """The rows of a `curves.jsonl`; a last line that a killed run left unfinished is left out.

    Raises:
        CorruptFile: another line can't be read.
    """
    if not table.exists():
        return []
    lines = table.read_bytes().split(b"\n")
    try:
        # What follows the last newline is empty, or was being written when the run died.
        return [msgspec.json.decode(line, type=Row) for line in lines[:-1]]
    except msgspec.DecodeError as error:
        raise CorruptFile(table, str(error)) from error


def strip(
    path: Path,
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    labels: Sequence[str],
    scale: int = 2,
) -> None:
    """Write rows of pictures of one size, each row with its label, as one PNG.

    Args:
        path: the PNG.
        rows: RGB images uint8 [Y, X, 3], as many in every row.
        labels: one a row.
        scale: whole factor of enlargement, pixels stay square.

    Raises:
        ShapeError: a label is missing, or rows or images differ in size.
        OutputError: the file can't be written.
    """
    if len(labels) != len(rows):
        raise ShapeError("labels", [len(labels)], f"[{len(rows)}], one a row")
    first = rows[0][0].shape
    for row in rows:
        if len(row) != len(rows[0]):
            raise ShapeError("row", [len(row)], f"[{len(rows[0])}] images as the first row has")
        for image in row:
            if image.shape != first or image.ndim != 3:
                raise ShapeError("image", image.shape, f"{list(first)} as the first image")
    gap, header = 4, 22
    height, width = first[0] * scale, first[1] * scale
    sheet = np.full(
        (len(rows) * (height + header) + gap, len(rows[0]) * (width + gap) + gap, 3), 20, np.uint8
    )
    for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = number * (height + header)
        baseline = (gap, top + header - 7)
        font, grey = cv2.FONT_HERSHEY_SIMPLEX, (220, 220, 220)
        cv2.putText(sheet, label, baseline, font, 0.45, grey, 1, cv2.LINE_AA)
        for column, image in enumerate(row):
            left = gap + column * (width + gap)
            large = image.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top + header : top + header + height, left : left + width] = large
    write_bytes(path, cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes())


def _line(row: Row) -> bytes:
    return msgspec.json.encode(row) + b"\n"


def _smooth(steps: NDArray, values: NDArray, width: int) -> tuple[NDArray, NDArray]:
    """Means over windows of `width` rows."""
    window = np.full(width, 1 / width)
    return np.convolve(steps, window, "valid"), np.convolve(values, window, "valid")

"""Figures for people: contact sheets, comparisons and line plots."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from worldrt.config import check
from worldrt.errors import ShapeError
from worldrt.video import enlarge, write_image

BACKGROUND = (22, 24, 29)
INK = (225, 227, 232)
GAP = 4
"""Pixels between two images."""
LINES = ("#2f6fde", "#e0662f", "#2a9d6f", "#b0407f", "#8a6d1d", "#5b5bd6", "#c23b3b", "#4a7f8c")


def contact_sheet(
    path: Path,
    rows: Sequence[Sequence[NDArray[np.uint8]]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    scale: int = 1,
) -> None:
    """Write a table of images with its labels as one picture.

    Args:
        path: a .png, .jpg or .jpeg file in a folder that exists.
        rows: images [Y, X, 3], 0 to 255, all of one size, as many a row as there are columns.
        row_labels: one a row, beside it.
        column_labels: one a column, above it; too long ones end in an ellipsis.
        scale: how many pixels a side each pixel becomes, at least 1.

    Raises:
        ConfigError: no images, a scale below 1, or an unknown suffix.
        ShapeError: a table with holes, labels of another number, or images of several sizes.
        OutputError: the folder is missing or the disk refused.
    """
    check(
        len(rows) > 0 and len(column_labels) > 0 and scale >= 1,
        f"A sheet needs images and a scale of at least 1, got {len(rows)} rows, "
        f"{len(column_labels)} columns and scale {scale}.",
    )
    if len(row_labels) != len(rows):
        raise ShapeError("row_labels", [len(row_labels)], f"[{len(rows)}], one a row")
    for row in rows:
        if len(row) != len(column_labels):
            raise ShapeError("a row", [len(row)], f"[{len(column_labels)}], one image a column")
        for image in row:
            if image.shape != rows[0][0].shape or image.ndim != 3:
                raise ShapeError("an image", image.shape, f"{list(rows[0][0].shape)}, as the first")

    height, width = (side * scale for side in rows[0][0].shape[:2])
    font = _font(_text_size(height))
    margin = 2 * GAP
    left = margin + round(max(font.getlength(label) for label in row_labels))
    left += margin if left > margin else 0
    top = _line_height(font) + margin if any(column_labels) else margin
    right, bottom = left + len(column_labels) * (width + GAP), top + len(rows) * (height + GAP)
    sheet = Image.new("RGB", (right - GAP + margin, bottom - GAP + margin), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(column_labels):
        x = left + column * (width + GAP) + width // 2
        draw.text((x, top // 2), _fitted(label, font, width), INK, font, anchor="mm")
    for index, (row, label) in enumerate(zip(rows, row_labels, strict=True)):
        y = top + index * (height + GAP)
        draw.text((left - margin, y + height // 2), label, INK, font, anchor="rm")
        for column, image in enumerate(row):
            sheet.paste(Image.fromarray(enlarge(image, scale)), (left + column * (width + GAP), y))
    write_image(path, np.asarray(sheet))


def side_by_side(
    left: NDArray[np.uint8],
    right: NDArray[np.uint8],
    labels: tuple[str, str],
    scale: int = 1,
) -> NDArray[np.uint8]:
    """Two videos as one, each with its caption above it.

    Args:
        left: [F, Y, X, 3], 0 to 255.
        right: the same shape.
        labels: captions of the left and the right one.
        scale: how many pixels a side each pixel becomes, at least 1; captions stay fine.

    Returns:
        [F, caption + scale Y, 2 scale X + 4, 3]; every call with frames of one size gives one size.

    Raises:
        ConfigError: a scale below 1.
        ShapeError: not [F, Y, X, 3], or the shapes differ.
    """
    check(scale >= 1, f"A scale is at least 1, got {scale}.")
    if left.ndim != 4 or left.shape[-1] != 3:
        raise ShapeError("left", left.shape, "[F, Y, X, 3]")
    if right.shape != left.shape:
        raise ShapeError("right", right.shape, f"{list(left.shape)} like the left")
    height, width = left.shape[1] * scale, left.shape[2] * scale
    font = _font(_text_size(height))
    caption = Image.new("RGB", (2 * width + GAP, _line_height(font) + GAP), BACKGROUND)
    draw = ImageDraw.Draw(caption)
    for x, label in zip((width // 2, width + GAP + width // 2), labels, strict=True):
        text = _fitted(label, font, width)
        draw.text((x, caption.height // 2), text, INK, font, anchor="mm")
    frames = np.empty((len(left), caption.height + height, caption.width, 3), np.uint8)
    frames[:] = BACKGROUND
    frames[:, : caption.height] = np.asarray(caption)
    frames[:, caption.height :, :width] = enlarge(left, scale)
    frames[:, caption.height :, width + GAP :] = enlarge(right, scale)
    return frames


def plot_lines(
    path: Path,
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    title: str,
    xlabel: str,
    ylabel: str,
) -> None:
    """Write a line plot as a picture of 1200 by 720 pixels.

    Args:
        path: a .png, .jpg or .jpeg file in a folder that exists.
        series: name to abscissae and ordinates, [N] each; a line breaks where one is not finite.
        title: above the plot.
        xlabel: below it, with the unit.
        ylabel: beside it, with the unit.

    Raises:
        ConfigError: no series, or an unknown suffix.
        ShapeError: abscissae and ordinates of different lengths.
        OutputError: the folder is missing or the disk refused.
    """
    check(len(series) > 0, f"{path} would show no line; give at least one series.")
    figure = Figure(figsize=(7.5, 4.5), dpi=160, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, (name, (x, y)) in enumerate(series.items()):
        abscissae, ordinates = np.asarray(x), np.asarray(y)
        if abscissae.ndim != 1 or ordinates.shape != abscissae.shape:
            raise ShapeError(name, ordinates.shape, f"{list(abscissae.shape)} and one axis")
        # A dash a round of colours keeps lines apart beyond the eighth.
        dash = ("-", "--", ":")[index // len(LINES) % 3]
        axes.plot(
            abscissae, ordinates, dash, color=LINES[index % len(LINES)], linewidth=1.8, label=name
        )
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e4e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    if len(series) > 1:
        axes.legend(frameon=False)
    canvas.draw()
    write_image(path, np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels hold FreeType"
    return font


def _text_size(height: int) -> int:
    """Font size for images of this height: a fourteenth of it, within what is readable."""
    return min(max(height // 14, 13), 28)


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent + 2 * GAP


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """`text`, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"

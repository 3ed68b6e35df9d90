"""Pictures hold the pixels they were given, in their places, under their labels."""

from pathlib import Path

import numpy as np
import pytest

from worldrt.bench.pictures import BACKGROUND, GAP, LINES, contact_sheet, plot_lines, side_by_side
from worldrt.errors import ConfigError, OutputError, ShapeError, WorldrtError
from worldrt.video import enlarge, read_image

RNG = np.random.default_rng(5)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)


def places(sheet: np.ndarray, image: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns at which `image` stands in `sheet`."""
    height, width = image.shape[:2]
    corners = np.argwhere((sheet == image[0, 0]).all(-1)).tolist()
    return [
        (y, x) for y, x in corners if np.array_equal(sheet[y : y + height, x : x + width], image)
    ]


@pytest.mark.parametrize("scale", [1, 3])
def test_sheet_holds_every_image_in_its_place(tmp_path: Path, scale: int) -> None:
    rows = [[noise(17, 23) for _ in range(3)] for _ in range(2)]
    contact_sheet(tmp_path / "a.png", rows, ["truth", "ours"], ["0 s", "1 s", "2 s"], scale)
    sheet = read_image(tmp_path / "a.png")
    found = [[places(sheet, enlarge(image, scale)) for image in row] for row in rows]
    assert all(len(place) == 1 for row in found for place in row)
    tops, lefts = (
        {y for row in found for ((y, _),) in row},
        {x for row in found for ((_, x),) in row},
    )
    assert len(tops) == 2 and len(lefts) == 3
    assert set(np.diff(sorted(tops))) == {17 * scale + GAP}
    assert set(np.diff(sorted(lefts))) == {23 * scale + GAP}
    assert [y for ((y, _),) in (row[0] for row in found)] == sorted(tops)
    assert [x for ((_, x),) in found[0]] == sorted(lefts)


def test_sheet_draws_labels_beside_and_above(tmp_path: Path) -> None:
    """Ink stands in the margins where a label was given and nowhere else."""

    def ink(row_labels: list[str], column_labels: list[str]) -> tuple[np.ndarray, int, int]:
        image = np.full((40, 60, 3), 7, np.uint8)
        contact_sheet(tmp_path / "a.png", [[image] * 2] * 2, row_labels, column_labels)
        sheet = read_image(tmp_path / "a.png")
        top, left = places(sheet, image)[0]
        return (sheet > np.max(BACKGROUND) + 60).any(-1), top, left

    bright, top, left = ink(["", ""], ["", ""])
    assert not bright.any()
    bright, top, left = ink(["", "ours"], ["", "1 s"])
    assert bright[:top, left + 60 + GAP :].any() and not bright[:top, : left + 60].any()
    assert bright[top + 40 + GAP :, :left].any() and not bright[top : top + 40, :left].any()


def test_long_column_label_stays_over_its_column(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    contact_sheet(tmp_path / "a.png", [[image] * 2], [""], ["", "word " * 40])
    sheet = read_image(tmp_path / "a.png")
    columns = np.flatnonzero(np.any(sheet > 120, axis=(0, 2)))
    left = sheet.shape[1] - 2 * GAP - 60
    assert left - 1 <= columns.min() and columns.max() <= left + 60
    assert columns.max() - columns.min() > 40


@pytest.mark.parametrize(("size", "scale"), [((17, 23), 1), ((25, 33), 2), ((96, 128), 3)])
def test_side_by_side_keeps_pixels(size: tuple[int, int], scale: int) -> None:
    left, right = noise(3, *size), noise(3, *size)
    both = side_by_side(left, right, ("A", "B"), scale)
    height, width = size[0] * scale, size[1] * scale
    np.testing.assert_array_equal(both[:, -height:, :width], enlarge(left, scale))
    np.testing.assert_array_equal(both[:, -height:, -width:], enlarge(right, scale))
    assert both.shape[2] == 2 * width + GAP and both.shape[1] > height
    caption = both[:, :-height]
    assert (caption == caption[0]).all() and (caption > 150).any(), "one caption for all frames"
    swapped = side_by_side(left, right, ("B", "A"), scale)
    assert (swapped[:, :-height] != caption).any()
    np.testing.assert_array_equal(swapped[:, -height:], both[:, -height:])


def test_side_by_side_of_no_frames_has_the_same_size() -> None:
    none, some = noise(0, 20, 30), noise(2, 20, 30)
    empty = side_by_side(none, none, ("a", "b"))
    full = side_by_side(some, some, ("much longer than it is wide", ""))
    assert list(empty.shape) == [0, *full.shape[1:]]


def test_plot_draws_every_line_in_its_colour(tmp_path: Path) -> None:
    x = np.arange(50)
    series = {f"line {k}": (x, np.full(50, float(k))) for k in range(len(LINES))}
    plot_lines(tmp_path / "a.png", series, "A title", "frames", "dB")
    picture = read_image(tmp_path / "a.png").astype(int)
    assert picture.shape == (720, 1200, 3)
    for colour in LINES:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture - rgb).sum(-1) < 12).sum() > 400


def test_plot_breaks_where_nothing_is_known(tmp_path: Path) -> None:
    """A nan in the middle leaves a gap of about its share of the line."""

    def coloured(y: np.ndarray) -> int:
        plot_lines(tmp_path / "a.png", {"a": (range(len(y)), y)}, "t", "x", "y")
        rgb = [int(LINES[0][i : i + 2], 16) for i in (1, 3, 5)]
        return int((np.abs(read_image(tmp_path / "a.png").astype(int) - rgb).sum(-1) < 12).sum())

    y = np.ones(101)
    whole = coloured(y)
    y[25:75] = np.nan
    assert 0.4 < coloured(y) / whole < 0.6


def test_plot_leaves_no_state_behind(tmp_path: Path) -> None:
    import matplotlib.pyplot as pyplot

    plot_lines(tmp_path / "a.png", {"a": ([0, 1], [0, 1])}, "t", "x", "y")
    assert pyplot.get_fignums() == []


TILE = np.zeros((4, 5, 3), np.uint8)
FRAMES = np.zeros((2, 4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p: contact_sheet(p, [], [], ["a"]), ConfigError, "0 rows"),
        (lambda p: contact_sheet(p, [[]], [""], []), ConfigError, "0 columns"),
        (lambda p: contact_sheet(p, [[TILE]], [""], [""], 0), ConfigError, "scale 0"),
        (lambda p: contact_sheet(p, [[TILE]], ["", ""], [""]), ShapeError, "row_labels"),
        (lambda p: contact_sheet(p, [[TILE], []], ["", ""], [""]), ShapeError, "a row has"),
        (lambda p: contact_sheet(p, [[TILE, TILE[1:]]], [""], ["", ""]), ShapeError, "an image"),
        (lambda p: contact_sheet(p / "b.png", [[TILE]], [""], [""]), OutputError, "no folder"),
        (lambda p: side_by_side(FRAMES, FRAMES[1:], ("", "")), ShapeError, "right has"),
        (lambda p: side_by_side(TILE, TILE, ("", "")), ShapeError, "left has"),
        (lambda p: side_by_side(FRAMES, FRAMES, ("", ""), 0), ConfigError, "got 0"),
        (lambda p: plot_lines(p, {}, "", "", ""), ConfigError, "no line"),
        (lambda p: plot_lines(p, {"a": ([1, 2], [1])}, "", "", ""), ShapeError, "a has shape"),
        (lambda p: plot_lines(p / "b.png", {"a": ([1], [1])}, "", "", ""), OutputError, "folder"),
    ],
)
def test_refused(tmp_path: Path, call, error: type[WorldrtError], words: str) -> None:
    with pytest.raises(error, match=words):
        call(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []

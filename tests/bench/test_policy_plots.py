"""Pictures of two dozen policies: every one of them there, told apart, and named readably."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tests.bench.rows import made_up, two_dozen
from worldrt.bench.policy_plots import (
    Line,
    Look,
    Point,
    label,
    looks,
    plot_bytes,
    plot_growth,
    plot_quality,
)
from worldrt.errors import OutputError
from worldrt.video import read_image

MARKS = (16, 64, 256, 1024)


def coloured(picture: np.ndarray, colour: str) -> int:
    """Pixels of a colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - rgb).sum(-1) < 12).sum())


def test_every_policy_looks_different() -> None:
    found = looks([row.policy for row in two_dozen()])
    assert len(set(found)) == 24
    # Variants share the colour and the dash of their policy.
    assert len({look[:2] for look in found[2:6]}) == 1
    assert len({look[:2] for look in found}) == 24 - 5


def test_quality_shows_every_policy_in_its_colour(tmp_path: Path) -> None:
    rows = two_dozen()
    plot_quality(tmp_path / "quality.png", rows, 15, MARKS)
    picture = read_image(tmp_path / "quality.png")
    assert all(coloured(picture, look.colour) > 100 for look in looks([row.policy for row in rows]))


def test_bytes_shows_every_policy_in_its_colour(tmp_path: Path) -> None:
    rows = two_dozen()
    plot_bytes(tmp_path / "bytes.png", rows, 256)
    picture = read_image(tmp_path / "bytes.png")
    assert all(coloured(picture, look.colour) > 100 for look in looks([row.policy for row in rows]))


def test_growth_shows_every_policy_in_its_colour(tmp_path: Path) -> None:
    lines = [
        Line(row.policy, [500, 1000], [row.cache_bytes] * 2, [row.block_ms] * 2)
        for row in two_dozen()
    ]
    plot_growth(tmp_path / "growth.png", lines)
    picture = read_image(tmp_path / "growth.png")
    # Two panels and the legend.
    found = looks([line.policy for line in lines])
    assert all(coloured(picture, look.colour) > 100 for look in found)


@pytest.mark.parametrize("early", [False, True])
def test_single_policy_is_drawn(tmp_path: Path, early: bool) -> None:
    rows = [made_up("full", early=early)]
    plot_quality(tmp_path / "quality.png", rows, 15, MARKS)
    plot_bytes(tmp_path / "bytes.png", rows, 256)
    assert all(read_image(path).std() > 5 for path in tmp_path.iterdir())


def test_names_of_points_on_one_spot_cover_nothing() -> None:
    figure = Figure(figsize=(8, 6), dpi=100)
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    axes.set(xlim=(0, 2), ylim=(0, 2))
    look = Look("#000000", "-", "")
    points = [Point(f"policy {n}", 1 + n / 1000, 1.0, look) for n in range(10)]
    canvas.draw()
    label(axes, points)
    canvas.draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 10
    for one, other in combinations(boxes, 2):
        both = Bbox.intersection(one, other)
        assert both is None or both.width * both.height < 1
    spot = axes.transData.transform((1, 1))
    for box in boxes:
        assert not box.contains(*spot) and axes.bbox.contains(box.x0, box.y0)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        plot_quality(tmp_path / "no" / "a.png", [made_up("full")], 15, MARKS)
    with pytest.raises(OutputError):
        plot_bytes(tmp_path / "no" / "a.png", [made_up("full")], 256)
    with pytest.raises(OutputError):
        plot_growth(tmp_path / "no" / "a.png", [Line("full", [1], [1], [1.0])])

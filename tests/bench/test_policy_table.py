"""The table says what the rows say, on screen and in Markdown, and what its columns mean."""

import re
from io import StringIO

import pytest
from rich.console import Console

from tests.bench.rows import PLAN, made_up, report, two_dozen
from worldrt.bench.policy_table import WIDTH, caption, columns, markdown, screen, title

ROW = "1,007 | 12.5 | 107 | 2.2 | {psnr} | 27.50 | - | 25.0 | 25.0 | 25.0 | 25.0 | 0.62 | 0.62 | "
DRIFT = "0.62 | 0.62 | 0.93 | 2.5 | 1.08 | 33.3 | {gain}"


def test_row_in_markdown() -> None:
    row = made_up("pack:top=2", 7)
    assert row.revisit is not None
    line = markdown(report(row)).splitlines()[4]
    figures = (ROW + DRIFT).format(psnr=f"{row.psnr:.2f}", gain=f"{row.revisit.gain:.1f}")
    assert line == f"| `pack:top=2` | {figures} |"


def test_markdown_is_a_table() -> None:
    rows = two_dozen()
    lines = [line for line in markdown(report(*rows)).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {len(columns(PLAN)) + 2}
    assert re.fullmatch(r"\| --- (\| ---: )+\|", lines[1])
    assert "nan" not in "".join(lines) and "None" not in "".join(lines)


def test_screen_shows_what_markdown_says() -> None:
    rows = two_dozen()
    console = Console(width=WIDTH, record=True, file=StringIO())
    console.print(screen(report(*rows)))
    text = console.export_text()
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    for row, line in zip(rows, markdown(report(*rows)).splitlines()[4:], strict=False):
        assert lines[row.policy] == line.replace("|", " ").split()[1:], row.policy
    assert "…" not in text


def test_walk_that_ended_early_has_dashes_and_is_named() -> None:
    rows = [made_up("window", 1), made_up("full", 2, early=True)]
    window, full = (line.split(" | ") for line in markdown(report(*rows)).splitlines()[4:6])
    headings = [column.heading for column in columns(PLAN)]
    dashes = [heading for heading, cell in zip(headings, full[1:], strict=True) if cell[0] == "-"]
    assert dashes == [
        *("novel", "PSNR @1024", "SSIM @1024"),
        *("sharp", "colour", "satur.", "revisit dB", "gain dB"),
    ]
    assert [cell for cell in window if cell == "-"] == ["-"]
    text = caption(report(*rows))
    said = "full ended at frame 272, where its context passed 320 frames."
    assert said in text and "window ended" not in text


@pytest.mark.parametrize(
    "words", ["on one thread", "first 256 frames", "49 real frames", "the 8", "2 cores"]
)
def test_caption_says_what_a_figure_includes(words: str) -> None:
    assert words in caption(report())


def test_title_counts_the_walks() -> None:
    assert title(PLAN).endswith("mazes, 1 of 1024 frames and 2 of 256")

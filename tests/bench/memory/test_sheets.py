"""Contact sheets show the truth twice and each system once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bench.memory.rooms import there_and_back, truth_of
from worldrt.bench.memory.sheets import COLUMNS, draw_sheet, drawn_frames
from worldrt.video import read_image

COURSE = there_and_back(10)
TRUTH = truth_of(COURSE)
SHOWN = TRUTH.rgb[drawn_frames(COURSE)]


def test_drawn_frames_are_the_first_the_last_and_some_between() -> None:
    assert drawn_frames(COURSE).tolist() == [10, 12, 13, 15, 16, 18]
    short = replace(COURSE, scored=np.arange(len(COURSE.poses)) == 14)
    assert drawn_frames(short).tolist() == [14]


def test_sheet_has_a_row_for_each_system(tmp_path: Path) -> None:
    heights = []
    for systems in (["map"], ["map", "none", "static"]):
        path = tmp_path / f"{len(systems)}.png"
        draw_sheet(path, COURSE, TRUTH, dict.fromkeys(systems, SHOWN))
        image = read_image(path)
        assert image.shape[1] > COLUMNS * 2 * 64 and image.std() > 10
        heights.append(image.shape[0])
    assert heights[1] - heights[0] == 2 * (2 * 48 + 4)


def test_course_without_exact_revisits_has_no_first_visit(tmp_path: Path) -> None:
    draw_sheet(tmp_path / "with.png", COURSE, TRUTH, {"map": SHOWN})
    lost = replace(COURSE, visit=np.full(len(COURSE.poses), -1))
    draw_sheet(tmp_path / "without.png", lost, TRUTH, {"map": SHOWN})
    tall, low = (read_image(tmp_path / f"{name}.png").shape[0] for name in ("with", "without"))
    assert tall - low == 2 * 48 + 4

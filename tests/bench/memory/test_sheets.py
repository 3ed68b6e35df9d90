"""Contact sheets show the truth twice and each system once."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.bench.memory.rooms import there_and_back, truth_of
from worldrt.bench.memory.sheets import COLUMNS, draw_sheet
from worldrt.bench.memory.video import Costs, Video
from worldrt.video import read_image

COURSE = there_and_back(10)
TRUTH = truth_of(COURSE)
NOTHING = np.zeros((9, 48, 64), np.float32)
VIDEO = Video(frames=TRUTH.rgb, depth=NOTHING, mask=NOTHING, chosen={}, costs=Costs())


def test_sheet_has_a_row_for_each_system(tmp_path: Path) -> None:
    heights = []
    for systems in (["map"], ["map", "none", "static"]):
        path = tmp_path / f"{len(systems)}.png"
        draw_sheet(path, COURSE, TRUTH, dict.fromkeys(systems, VIDEO))
        image = read_image(path)
        assert image.shape[1] > COLUMNS * 2 * 64 and image.std() > 10
        heights.append(image.shape[0])
    assert heights[1] - heights[0] == 2 * (2 * 48 + 4)


def test_course_without_exact_revisits_has_no_first_visit(tmp_path: Path) -> None:
    draw_sheet(tmp_path / "with.png", COURSE, TRUTH, {"map": VIDEO})
    lost = replace(COURSE, visit=np.full(len(COURSE.poses), -1))
    draw_sheet(tmp_path / "without.png", lost, TRUTH, {"map": VIDEO})
    tall, low = (read_image(tmp_path / f"{name}.png").shape[0] for name in ("with", "without"))
    assert tall - low == 2 * 48 + 4

"""Contact sheets of a course: the first visit, the truth on return, and what each system shows."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory.course import Course
from worldrt.bench.memory.truth import Truth
from worldrt.bench.pictures import contact_sheet

COLUMNS = 6
"""Scored frames that are shown, evenly spread."""
SCALE = 2
"""How many pixels a side each pixel becomes."""


def drawn_frames(course: Course) -> NDArray[np.int64]:
    """[N] the scored frames of a course that are on its sheet."""
    scored = np.flatnonzero(course.scored)
    return scored[np.linspace(0, len(scored) - 1, min(COLUMNS, len(scored))).round().astype(int)]


def draw_sheet(
    path: Path, course: Course, truth: Truth, pictures: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Write a contact sheet, a row for each system beneath two of the truth.

    Args:
        path: a picture file in a folder that exists.
        course: what was walked.
        truth: what is there.
        pictures: [N, Y, X, 3] of the drawn frames by system, at least one system.

    Raises:
        OutputError: the folder is missing or the disk refused.
    """
    shown = drawn_frames(course)
    first = [max(int(course.visit[at]), 0) for at in shown]
    exact = [course.visit[at] >= 0 for at in shown]
    blank = np.zeros_like(truth.rgb[0])
    rows = {
        "first visit": [
            truth.rgb[at] if found else blank for at, found in zip(first, exact, strict=True)
        ],
        "truth on return": [truth.rgb[at] for at in shown],
        **{name: list(frames) for name, frames in pictures.items()},
    }
    if not any(exact):
        del rows["first visit"]
    headings = [f"frame {at}" for at in shown]
    contact_sheet(path, list(rows.values()), list(rows), headings, SCALE)

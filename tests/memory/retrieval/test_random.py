"""The control that draws: evenly, and by its seed alone."""

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, around, stand
from worldrt.memory.retrieval.random import Random


def test_every_frame_is_as_likely_as_any_other() -> None:
    seen = around(3.0, 4.0, 11)
    pose, counts = stand(3.0, 4.0, EAST), np.zeros(11)
    for seed in range(900):
        rows = Random().choose(seen.query(pose, 3, recent=2, seed=seed), seen.candidates, None)
        counts[rows] += 1
    assert counts.sum() == 2700 and (counts[9:] == 0).all()
    assert counts[:9] == pytest.approx(np.full(9, 300), abs=60)


def test_another_moment_is_another_draw() -> None:
    seen, longer = around(3.0, 4.0, 11), around(3.0, 4.0, 12)
    pose = stand(3.0, 4.0, EAST)
    draws = [
        Random().choose(walk.query(pose, 6, seed=3), seen.candidates, None)
        for walk in (seen, longer)
    ]
    assert draws[0] != draws[1]

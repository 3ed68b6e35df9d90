"""Which candidates are free to be chosen."""

from dataclasses import replace

import numpy as np

from tests.memory.retrieval.rooms import EAST, around, stand
from worldrt.memory.retrieval.query import Query, free


def test_frames_in_the_context_are_not_free() -> None:
    seen = around(3.0, 4.0, 5)
    candidates = replace(seen.candidates, index=np.array([0, 8, 30, 31, 40]))
    pose = stand(3.0, 4.0, EAST)[None]
    for recent, rows in [(0, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3]), (10, [0, 1, 2]), (99, [])]:
        assert free(Query(pose, 4, 41, recent), candidates).tolist() == rows

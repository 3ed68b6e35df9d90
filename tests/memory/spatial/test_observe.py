"""Weights, visits and sources against lists."""

import numpy as np
import pytest

from worldrt.memory.spatial.observe import APART, attribute, disown, note, unique
from worldrt.memory.spatial.voxels import NONE, PAGE


def test_note_counts_seen_and_halves_pierced() -> None:
    weight = np.array([1, 7, 254, 255, 1, 2, 5, 255], np.uint8)
    seen, visits = np.array([3], np.int32), np.array([1], np.int32)
    first, last = np.arange(4, dtype=np.int32), np.arange(4, 8, dtype=np.int32)
    dead = note(weight, seen, visits, first, last, 5)
    assert weight.tolist() == [2, 8, 255, 255, 1, 1, 2, 127] and dead.tolist() == [4]
    assert seen.tolist() == [5] and visits.tolist() == [1]


def test_a_visit_follows_an_absence() -> None:
    weight = np.ones(2 * PAGE, np.uint8)
    seen, visits = np.array([0, 0], np.int32), np.array([1, 1], np.int32)
    none = np.zeros(0, np.int32)
    for frame, wanted in ((APART, 1), (APART + 1, 1), (2 * APART + 2, 2), (9 * APART, 3)):
        note(weight, seen, visits, np.array([PAGE, PAGE + 3], np.int32), none, frame)
        assert visits.tolist() == [1, wanted] and seen.tolist() == [0, frame]
    note(weight, seen, visits, np.array([PAGE], np.int32), none, 7)
    assert seen.tolist() == [0, 9 * APART]  # never back in time


@pytest.mark.parametrize("seed", range(3))
def test_sources_are_the_nearest_four_in_order(seed: int) -> None:
    """Against lists, keyframes coming and going."""
    random = np.random.default_rng(seed)
    position = random.normal(0, 2, (37, 3)).astype(np.float32)
    centres = random.normal(0, 2, (11, 3)).astype(np.float32)
    sources = np.full((37, 4), NONE, np.uint16)
    lists: list[list[int]] = [[] for _ in position]
    weight = random.integers(0, 2, 37).astype(np.uint8)
    for _ in range(60):
        slot = int(random.integers(11))
        disown(sources, slot)
        for each in lists:
            if slot in each:
                each.remove(slot)
        ids = np.flatnonzero(random.uniform(size=37) < 0.6).astype(np.int32)
        attribute(sources, position, ids, slot, centres)
        for p in ids.tolist():
            gap = [float(((position[p] - centres[k]) ** 2).sum()) for k in range(11)]
            lists[p] = sorted([*lists[p], slot], key=lambda k, gap=gap: gap[k])[:4]
        for row, each in zip(sources.tolist(), lists, strict=True):
            assert row == each + [NONE] * (4 - len(each))
        alone = [
            sum(each == [k] for each, w in zip(lists, weight, strict=True) if w) for k in range(11)
        ]
        assert unique(sources, weight, 11).tolist() == alone

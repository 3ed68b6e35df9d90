"""Which pages make room."""

import numpy as np

from worldrt.memory.spatial.evict import SHARE, least
from worldrt.memory.spatial.points import IMAGINED, REAL, Points

NONE = np.zeros(0, np.int32)


def full(pages: int = 2 * SHARE) -> Points:
    """One point a page, frame n in page n."""
    points = Points(pages, 32.0)
    for n in range(pages):
        place = np.array([[100 * n, 0, 0]], np.float32)
        layer = IMAGINED if n % 2 else REAL
        points.add(place, np.zeros((1, 3), np.uint8), np.ones(1, np.float32), n, layer)
    return points


def test_what_is_long_unseen_goes_first() -> None:
    points = full()
    assert least(points, NONE, 1000).tolist() == [0, 1]


def test_weight_and_visits_count_for_age() -> None:
    points = full()
    points.weight[0] = 9
    assert least(points, NONE, 1000).tolist() == [1, 2]
    points.page_visits[1] = 5
    assert least(points, NONE, 1000).tolist() == [2, 3]


def test_imagined_goes_before_real_of_the_same_value() -> None:
    points = full()
    points.page_seen[:] = 7
    assert least(points, NONE, 1000).tolist() == [1, 3]


def test_what_is_in_sight_goes_last_but_goes() -> None:
    points = full()
    kept = np.arange(63, dtype=np.int32)
    assert least(points, kept, 1000).tolist() == [0, 63]
    points.page_seen[63] = 1000
    assert least(points, kept, 1000).tolist() == [0, 1]


def test_at_least_one_page_goes() -> None:
    points = full(3)
    assert least(points, NONE, 9).tolist() == [0]
    points.clear()
    assert len(least(points, NONE, 9)) == 0

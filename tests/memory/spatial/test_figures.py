"""The ring of points: bounded, the newest kept, each sighting spread evenly."""

import numpy as np

from worldrt.memory.spatial.figures import SAMPLE, Figures


def add(figures: Figures, slot: int, sighting: int, count: int) -> None:
    points = np.arange(3.0 * count).reshape(count, 3)
    colours = np.linspace(0, 1, 3 * count, dtype=np.float32).reshape(count, 3)
    figures.add(slot, sighting, points, colours, np.arange(1.0, count + 1))


def test_few_points_are_all_kept_and_of_many_an_even_share() -> None:
    figures = Figures(2, 500)
    add(figures, 1, 0, 63)
    position, colour, depth, sighting = figures.of(1)
    np.testing.assert_array_equal(depth, np.arange(63) + 1)
    np.testing.assert_array_equal(position, np.arange(189).reshape(63, 3))
    assert colour.dtype == np.uint8 and colour.max() == 255 and np.all(sighting == 0)
    assert len(figures.of(0)[0]) == 0
    add(figures, 0, 0, 1000)
    depth = figures.of(0)[2]
    assert len(depth) == SAMPLE and np.diff(depth).max() <= 1000 / SAMPLE + 1


def test_the_newest_push_out_the_oldest_and_bytes_stay() -> None:
    figures = Figures(3, 401)
    before = sum(array.nbytes for array in figures.arrays().values())
    for sighting in range(50):
        add(figures, 2, sighting, 111)
    kept = figures.of(2)[3]
    assert len(kept) == 401 and set(kept.tolist()) == {46, 47, 48, 49}
    assert sum(array.nbytes for array in figures.arrays().values()) == before
    figures.clear(2)
    assert len(figures.of(2)[0]) == 0

"""Histograms of ages: every age is counted once, at the largest edge that is not above it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worldrt.bench.memory.ages import EDGES, count_ages, shares


@given(st.lists(st.integers(0, 100_000), max_size=60))
def test_each_age_is_counted_where_it_belongs(ages: list[int]) -> None:
    expected = [0] * (len(EDGES) + 1)
    for age in ages:
        expected[sum(edge <= age for edge in EDGES)] += 1
    assert count_ages(np.array(ages)).tolist() == expected


def test_edges_are_powers_of_two() -> None:
    assert EDGES[0] == 8 and EDGES[-1] == 4096
    assert all(high == 2 * low for low, high in zip(EDGES, EDGES[1:], strict=False))
    counts = count_ages(np.array([[7.99, 8.0], [4095.9, 4096.0]]))
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (1, 1, 1, 1)


def test_shares_are_of_all_and_nothing_has_none() -> None:
    assert shares(count_ages(np.array([0, 1, 9, 5000]))) == [0.5, 0.25, *[0.0] * 8, 0.25]
    assert shares(count_ages(np.empty(0))) == []

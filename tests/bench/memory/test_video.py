"""What a system cost, as figures."""

from worldrt.bench.memory.video import Costs


def test_costs_are_percentiles_of_what_was_timed() -> None:
    costs = Costs(insert_ms=list(range(101)), bytes=7, points=3)
    assert costs.figures() == {"bytes": 7, "points": 3, "insert_ms_p50": 50, "insert_ms_p99": 99}
    assert Costs().figures() == {"bytes": 0, "points": 0}

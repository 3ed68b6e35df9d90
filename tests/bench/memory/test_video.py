"""What a system cost, as figures."""

from tests.bench.memory.rooms import ROOM_CAMERA
from worldrt.bench.memory.controls import Repeat
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.video import Costs
from worldrt.bench.soak import peak_mb, resident_mb


def test_costs_are_percentiles_of_what_was_timed() -> None:
    costs = Costs(insert_ms=list(range(101)), bytes=7, points=3)
    assert costs.figures() == {"bytes": 7, "points": 3, "insert_ms_p50": 50, "insert_ms_p99": 99}
    assert Costs().figures() == {"bytes": 0, "points": 0}


def test_what_is_held_is_noted_with_the_peak_of_the_process() -> None:
    costs = Costs()
    costs.hold(Repeat(Setting(camera=ROOM_CAMERA, budget=0)))
    found = costs.figures()
    assert (found["bytes"], found["points"]) == (0, 0)
    assert 10 < 0.99 * resident_mb() <= found["peak_mb"] <= peak_mb()

"""The report of the memory benchmark: means over seeds, and what is left out."""

import math

import msgspec
import pytest

from worldrt.bench.memory.report import (
    Ages,
    Goal,
    MemoryReport,
    Outcome,
    Times,
    finite,
    gather,
    interval,
    value,
)
from worldrt.doctor import measure

NEVER = Ages(shown=[], chosen=[])


def outcome(course: str, system: str, seed: int, **figures: float) -> Outcome:
    return Outcome("memory", course[:2], course, system, seed, figures, NEVER)


def test_cells_are_means_over_seeds_of_what_each_seed_has() -> None:
    cells = gather(
        [
            outcome("S1-yaw", "map", 0, psnr_seen=20.0, nmr=0.5),
            outcome("S1-yaw", "none", 0, psnr_seen=10.0),
            outcome("S1-yaw", "map", 1, psnr_seen=24.0),
        ]
    )
    assert [(cell.course, cell.system) for cell in cells] == [("S1-yaw", "map"), ("S1-yaw", "none")]
    seen = cells[0].figures["psnr_seen"]
    assert (seen.mean, seen.seeds) == (22.0, 2) and 20 <= seen.low <= 22 <= seen.high <= 24
    assert (cells[0].figures["nmr"].mean, cells[0].figures["nmr"].seeds) == (0.5, 1)


def test_ages_are_means_over_the_seeds_that_have_any() -> None:
    plain = outcome("S1-yaw", "map", 0)
    told = [
        plain._replace(ages=Ages(shown=[0.5, 0.5], chosen=[])),
        plain._replace(seed=1, ages=Ages(shown=[1.0, 0.0], chosen=[0.25, 0.75])),
        plain._replace(seed=2),
    ]
    (cell,) = gather(told)
    assert cell.ages == Ages(shown=[0.75, 0.25], chosen=[0.25, 0.75])
    assert gather([plain])[0].ages == NEVER


def test_one_value_is_its_own_interval() -> None:
    one = interval([3.5])
    assert (one.mean, one.low, one.high, one.seeds) == (3.5, 3.5, 3.5, 1)


def test_value_is_the_mean_over_a_protocols_courses() -> None:
    cells = gather(
        [
            outcome("S1-yaw", "map", 0, coverage=0.9),
            outcome("S1-forward-16", "map", 0, coverage=0.8),
            outcome("S2-loop", "map", 0, coverage=0.1),
        ]
    )
    assert value(cells, "memory", "S1", "map", "coverage") == pytest.approx(0.85)
    assert value(cells, "memory", "S1", "map", "ghost") is None
    assert value(cells, "generative", "S1", "map", "coverage") is None


def test_figures_that_do_not_apply_are_left_out() -> None:
    assert finite({"a": 1, "b": math.nan, "c": math.inf, "d": -2.5}) == {"a": 1.0, "d": -2.5}


@pytest.mark.parametrize(
    "value, target, at_least, met",
    [
        (1.0, 1.0, True, True),
        (0.9, 1.0, True, False),
        (0.9, 1.0, False, True),
        (2, 1, False, False),
    ],
)
def test_goal_is_met_on_the_right_side(
    value: float, target: float, at_least: bool, met: bool
) -> None:
    assert Goal(name="it", value=value, target=target, at_least=at_least).met is met


def test_times_are_percentiles() -> None:
    times = Times.of(range(101))
    assert (times.p50, times.p99) == (50, 99)


def test_report_survives_json() -> None:
    report = MemoryReport(
        world="maze",
        quick=True,
        seeds=[0],
        machine=measure(),
        torch="2",
        date="2026-11-21",
        seconds=1.5,
        cells=gather([outcome("S1-yaw", "map", 0, psnr_seen=20.0)]),
        scale=[],
        exponents={},
        million=None,
        goals=[Goal(name="it", value=1, target=1, at_least=True)],
    )
    assert msgspec.json.decode(msgspec.json.encode(report), type=MemoryReport) == report

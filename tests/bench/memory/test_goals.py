"""What the memory was built to reach: each goal from the figures that it is about."""

import pytest

from worldrt.bench.memory.goals import goals
from worldrt.bench.memory.report import Ages, Million, Outcome, Times, Track, gather

NEVER = Ages(shown=[], chosen=[])
MILLION = Million(
    points=1_000_000,
    keyframes=100,
    bytes_a_point=60,
    retrieve_ms=Times(p50=4, p99=21),
    view_ms=Times(p50=5, p99=6),
    insert_ms=Times(p50=9, p99=30),
    save_s=0.5,
    load_s=1.5,
)


def one(track: Track, protocol: str, system: str, way: str = "x", **figures: float) -> Outcome:
    return Outcome(track, protocol, f"{protocol}-{way}", system, 0, figures, NEVER)


def test_nothing_measured_is_no_goal() -> None:
    assert goals([], {}, None) == []


@pytest.mark.parametrize("way", ["detour-500", "aside-500"])
def test_generative_goals_are_differences(way: str) -> None:
    cells = gather(
        [
            one("generative", "S3", "none", way, psnr_seen=14.0, psnr_novel=13.0),
            one("generative", "S3", "frames:nearest", way, psnr_seen=19.0),
            one("generative", "S3", "frames:montecarlo", way, psnr_seen=18.0),
            one("generative", "S3", "map", way, psnr_seen=20.25, psnr_novel=12.75),
        ]
    )
    found = {goal.name: goal for goal in goals(cells, {}, None)}
    above, rival, novel = found.values()
    assert (above.value, above.met) == (6.25, True)
    assert (rival.value, rival.met) == (1.25, False)
    assert (novel.value, novel.met) == (-0.25, True)
    assert all(("beside" in name) == (way == "aside-500") for name in found)


def test_memory_goals_hold_ghosts_down_and_coverage_up() -> None:
    cells = gather(
        [
            one("memory", "S1", "map:coverage", coverage=0.96),
            one("memory", "S3", "map:coverage", coverage=0.89),
            one("memory", "S1", "map", ghost=0.03),
            one("memory", "S1", "static", psnr_mg=-0.5),
            one("memory", "S6", "map", liveness=0.9, ghost=0.03),
        ]
    )
    met = {goal.name: goal.met for goal in goals(cells, {}, None)}
    assert met == {
        "coverage@8 of the oracle's, S1": True,
        "coverage@8 of the oracle's, S3": False,
        "ghosts, S1": False,
        "ghosts, S6": False,
        "gain of the static cheat, dB either way, S1": False,
        "liveness of scripted movers": True,
    }


def test_costs_have_ceilings() -> None:
    found = goals([], {"map 64 MB": 0.1, "frames:nearest": 1.0}, MILLION)
    met = {goal.name: goal.met for goal in found}
    assert met == {
        "exponent of choosing, map 64 MB": True,
        "choosing from 1M points, p50 ms": True,
        "choosing from 1M points, p99 ms": False,
        "insertion of a 256x144 frame, p50 ms": True,
        "bytes a point": True,
        "saving 1M points, s": True,
        "loading 1M points, s": False,
    }

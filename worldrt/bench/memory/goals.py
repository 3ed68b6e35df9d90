"""What the memory was built to reach, read off a run's figures."""

from collections.abc import Iterator, Mapping, Sequence

from worldrt.bench.memory.report import Cell, Goal, Million, value
from worldrt.bench.memory.systems import STATIC

OURS_DRAWN, OURS_CHOSEN, FLOOR = "map", "map:coverage", "none"
RIVALS = ("frames:nearest", "frames:montecarlo")
DETOURS = {"S3-detour": "to the same poses", "S3-aside": "to beside them"}
"""Courses whose return is judged, and how they return."""
COVERAGE = {"S1": 0.95, "S2": 0.95, "S3": 0.90, "S4": 0.95, "S5": 0.90}
"""Least share of what the oracle's eight frames show that ours do."""
MOVING = "S6"
"""Where things move."""


def goals(
    cells: Sequence[Cell], exponents: Mapping[str, float], million: Million | None
) -> list[Goal]:
    """Those that these figures tell about."""
    return [
        *_memory(cells),
        *_generative(cells),
        *(
            _most(f"exponent of choosing, {name}", slope, 0.2)
            for name, slope in exponents.items()
            if name.startswith(OURS_DRAWN)
        ),
        *(_million(million) if million else ()),
    ]


def _memory(cells: Sequence[Cell]) -> Iterator[Goal]:
    for protocol, target in COVERAGE.items():
        found = value(cells, "memory", protocol, OURS_CHOSEN, "coverage")
        if found is not None:
            yield _least(f"coverage@8 of the oracle's, {protocol}", found, target)
    for protocol in (*COVERAGE, MOVING):
        found = value(cells, "memory", protocol, OURS_DRAWN, "ghost")
        if found is not None:
            yield _most(f"ghosts, {protocol}", found, 0.02)
    for protocol in COVERAGE:
        found = value(cells, "memory", protocol, STATIC, "psnr_mg")
        if found is not None:
            yield _most(f"gain of the static cheat, dB either way, {protocol}", abs(found), 0.1)
    found = value(cells, "memory", MOVING, OURS_DRAWN, "liveness")
    if found is not None:
        yield _least("liveness of scripted movers", found, 0.8)


def _generative(cells: Sequence[Cell]) -> Iterator[Goal]:
    for kind, how in DETOURS.items():
        chosen = [cell for cell in cells if cell.course.startswith(kind)]
        yield from _detour(chosen, how)


def _detour(cells: Sequence[Cell], how: str) -> Iterator[Goal]:
    def told(system: str, figure: str) -> float | None:
        return value(cells, "generative", "S3", system, figure)

    ours, floor = told(OURS_DRAWN, "psnr_seen"), told(FLOOR, "psnr_seen")
    if ours is not None and floor is not None:
        yield _least(f"return after a detour {how}, seen dB above no memory", ours - floor, 6)
    rivals = [found for rival in RIVALS if (found := told(rival, "psnr_seen")) is not None]
    if ours is not None and rivals:
        yield _least(f"the same {how}, above the better rival", ours - max(rivals), 1.5)
    ours, floor = told(OURS_DRAWN, "psnr_novel"), told(FLOOR, "psnr_novel")
    if ours is not None and floor is not None:
        yield _least(f"novel pixels {how}, dB above no memory", ours - floor, -0.5)


def _million(million: Million) -> Iterator[Goal]:
    size = f"{million.points / 1e6:.2g}M points"
    yield _most(f"choosing from {size}, p50 ms", million.retrieve_ms.p50, 10)
    yield _most(f"choosing from {size}, p99 ms", million.retrieve_ms.p99, 20)
    yield _most("insertion of a 256x144 frame, p50 ms", million.insert_ms.p50, 15)
    yield _most("bytes a point", million.bytes_a_point, 64)
    yield _most(f"saving {size}, s", million.save_s, 1)
    yield _most(f"loading {size}, s", million.load_s, 1)


def _least(name: str, value: float, target: float) -> Goal:
    return Goal(name=name, value=value, target=target, at_least=True)


def _most(name: str, value: float, target: float) -> Goal:
    return Goal(name=name, value=value, target=target, at_least=False)

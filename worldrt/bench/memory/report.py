"""What `report.json` of the memory benchmark holds; docs/memory_bench.md tells its keys."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from worldrt.bench.memory.scores import bootstrap
from worldrt.doctor import Machine

Track = Literal["memory", "generative"]
Figures = dict[str, float]
"""Figures of one course walked with one system; one that does not apply is left out."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean over seeds."""

    mean: float
    low: float
    high: float
    """Ends of the bootstrap interval of 95 %."""
    seeds: int
    """Mazes that have the figure."""


class Ages(msgspec.Struct, frozen=True, kw_only=True):
    """How old what is seen of a memory is: shares below 8 frames, from 8, from 16, ..., from 4096.

    Means over the seeds that have any; empty: none has.
    """

    shown: list[float]
    """Of the pixels that are memory, frames since they were seen."""
    chosen: list[float]
    """Of the frames that it would recall."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One system on one course of all mazes."""

    track: Track
    protocol: str
    course: str
    system: str
    figures: dict[str, Interval]
    ages: Ages


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution of milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Iterable[float]) -> "Times":
        p50, p99 = np.percentile(list(milliseconds), [50, 99])
        return cls(p50=float(p50), p99=float(p99))


class ScaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a memory costs after so many frames."""

    system: str
    budget_mb: int
    """Of a map; 0: it keeps all frames."""
    frames: int
    points: int
    bytes: int
    peak_mb: float
    """The most that the process held so far, with all that is measured beside it."""
    insert_ms: Times | None
    """A frame of the latest; None: keeping it is all there is to it."""
    retrieve_ms: Times
    """The choice of 8 frames."""
    psnr: float | None
    """dB of views at random past poses against the truth; None: the system was not asked."""


class Million(msgspec.Struct, frozen=True, kw_only=True):
    """What a map of a million points costs."""

    points: int
    keyframes: int
    bytes_a_point: float
    retrieve_ms: Times
    """The choice of 8 keyframes for one view."""
    view_ms: Times
    """Of 256x144 pixels."""
    insert_ms: Times
    """Of a frame of 256x144 pixels."""
    save_s: float
    load_s: float


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """Something the memory was built to reach."""

    name: str
    value: float
    target: float
    at_least: bool
    """Whether the target is a floor; else it is a ceiling."""

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


class MemoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `report.json` holds."""

    world: str
    quick: bool
    seeds: list[int]
    machine: Machine
    torch: str
    date: str
    seconds: float
    """The whole run."""
    cells: list[Cell]
    scale: list[ScaleRow]
    exponents: dict[str, float]
    """Slope of log retrieval time over log frames, by system and budget."""
    million: Million | None
    """None: protocol S8 was not asked for."""
    goals: list[Goal]
    """Those that this run could measure."""


class Outcome(NamedTuple):
    """One system on one course of one maze."""

    track: Track
    protocol: str
    course: str
    system: str
    seed: int
    figures: Figures
    ages: Ages


def gather(outcomes: Iterable[Outcome]) -> list[Cell]:
    """Means and intervals over the seeds, in the order in which the cells first appear."""
    found: dict[tuple[Track, str, str, str], list[Outcome]] = {}
    for one in outcomes:
        key = one.track, one.protocol, one.course, one.system
        found.setdefault(key, []).append(one)
    return [
        Cell(
            track=key[0],
            protocol=key[1],
            course=key[2],
            system=key[3],
            figures=_means([one.figures for one in seeds]),
            ages=Ages(
                shown=_mean([one.ages.shown for one in seeds]),
                chosen=_mean([one.ages.chosen for one in seeds]),
            ),
        )
        for key, seeds in found.items()
    ]


def value(
    cells: Iterable[Cell], track: Track, protocol: str, system: str, figure: str
) -> float | None:
    """Mean of a figure over a protocol's courses; None: nothing has it."""
    found = [
        cell.figures[figure].mean
        for cell in cells
        if (cell.track, cell.protocol, cell.system) == (track, protocol, system)
        and figure in cell.figures
    ]
    return float(np.mean(found)) if found else None


def _means(seeds: list[Figures]) -> dict[str, Interval]:
    names = dict.fromkeys(name for figures in seeds for name in figures)
    return {name: interval([one[name] for one in seeds if name in one]) for name in names}


def _mean(histograms: list[list[float]]) -> list[float]:
    """Of those that are not empty."""
    found = [shares for shares in histograms if shares]
    return np.mean(found, axis=0).tolist() if found else []


def interval(values: list[float]) -> Interval:
    """The mean of a figure over seeds with its bootstrap interval."""
    low, high = bootstrap(np.array(values))
    return Interval(mean=float(np.mean(values)), low=low, high=high, seeds=len(values))


def finite(figures: Mapping[str, float]) -> Figures:
    """The figures that are numbers: a report leaves out what does not apply."""
    return {name: float(number) for name, number in figures.items() if math.isfinite(number)}

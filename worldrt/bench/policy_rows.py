"""What every cache policy walks, the figures of one, and the report of all."""

import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from worldrt.bench.course import Course
from worldrt.bench.drift import Drift, Revisit, drift, revisit_gain, revisits
from worldrt.bench.metrics import ssim
from worldrt.bench.policy_walk import PolicyWalk, walk
from worldrt.config import check
from worldrt.doctor import Machine
from worldrt.world import World

WINDOW = 8
"""Frames that a figure at a mark is the mean of; the last is the mark."""

Figures = TypeVar("Figures", Drift, Revisit)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is walked; only rows of one plan can be compared."""

    world: str
    """As the user named it."""
    long_seeds: tuple[int, ...]
    """Mazes walked to the last mark."""
    short_seeds: tuple[int, ...] = ()
    """Mazes walked to the last mark but one."""
    marks: tuple[int, ...] = (16, 64, 256, 1024)
    """Frames, from 1, at which quality is noted."""
    lap: int = 384
    """Frames of a lap. 1024 is 256 and two laps, so these two marks show the same views."""
    context: int = 48
    """Real frames before the one that a walk begins at."""
    most_context: int = 320
    """Latent frames' worth of tokens; a walk ends once its context holds more."""
    warm_up: int = 16
    """First blocks of a walk whose time does not count."""

    def __post_init__(self) -> None:
        seeds = (*self.long_seeds, *self.short_seeds)
        check(
            len(self.long_seeds) > 0 and len(set(seeds)) == len(seeds),
            f"Policies are compared in different mazes, one of them at length, got {seeds}.",
        )
        check(
            len(self.marks) > 1 and 0 < self.marks[0] and sorted({*self.marks}) == [*self.marks],
            f"Marks are two or more rising frames from 1 on, got {self.marks}.",
        )

    @classmethod
    def of(cls, world: str, seeds: int) -> "Plan":
        """Mazes from seed 0 on, the first quarter of them, at least one, for long walks.

        Raises:
            ConfigError: seeds is not positive.
        """
        check(seeds >= 1, f"A benchmark of {seeds} mazes measures nothing; ask for at least 1.")
        long = -(-seeds // 4)
        return cls(
            world=world, long_seeds=tuple(range(long)), short_seeds=tuple(range(long, seeds))
        )

    @property
    def short(self) -> int:
        """Frames of a short walk."""
        return self.marks[-2]

    @property
    def courses(self) -> dict[int, int]:
        """Frames to walk, by maze."""
        long, short = self.marks[-1], self.marks[-2]
        return dict.fromkeys(self.long_seeds, long) | dict.fromkeys(self.short_seeds, short)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Quality against the truth over the WINDOW frames that end at a mark."""

    frame: int
    psnr: float
    ssim: float
    psnr_seen: float | None
    """On pixels seen in real frames before the walk; None where there are none."""
    psnr_novel: float | None
    """On all others."""


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one policy; means are over walks."""

    policy: str
    frames: int
    """Length of the shortest long walk; less than the last mark where the context grew too long."""
    context_tokens: int
    """Most cached tokens that a block attended to, its own not counted."""
    cache_bytes: int
    """Most bytes of all tensors of the cache."""
    block_ms: float
    """Median time of a block on one thread, over the long walks after warm-up."""
    policy_percent: float
    """Share of those blocks' time that was the cache's own work."""
    psnr: float
    """dB against the truth over the first frames of every walk, as many as a short one has: the
    frames that all policies have walked."""
    psnr_seen: float | None
    """The same on pixels seen in real frames before the walk."""
    psnr_novel: float | None
    """The same on all others."""
    marks: list[Mark]
    """Those that were reached; the last is of the long walks alone."""
    drift: Drift | None
    """The last second of the long walks against the second in which they first showed these views.
    None where a walk ended early, like the next two."""
    drift_from_start: Drift | None
    """The last second against the first, which shows other views: what the world lacks in unknown
    places counts here too, whatever the policy."""
    revisit: Revisit | None
    """Of the long walks."""
    curve: list[float]
    """dB against the truth of each second of the long walks."""
    seconds: float
    """What measuring the row took."""


class PoliciesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `report.json` holds; rows are added as they are finished."""

    plan: Plan
    machine: Machine
    torch: str
    """Its version."""
    date: str
    """Of the last row."""
    rows: list[PolicyRow]


def course_file(folder: Path, seed: int) -> Path:
    """Where the course of a maze lies."""
    return folder / f"course-{seed}.npz"


def measure(plan: Plan, folder: Path, policy: str) -> PolicyRow:
    """Walk all courses of a plan under one policy.

    Args:
        plan: what to walk.
        folder: of the courses, see `course_file`.
        policy: of the cache.
    """
    begun = time.perf_counter()
    world = _world(plan.world)
    fps = round(world.config.fps)
    walks = {
        seed: walk(world, Course.read(course_file(folder, seed)), policy, plan.most_context)
        for seed in plan.courses
    }
    every, long = list(walks.values()), [walks[seed] for seed in plan.long_seeds]
    warm = [block for one in long for block in one.blocks[plan.warm_up :]]
    spent = sum(block.milliseconds for block in warm)
    # A figure of some walks only would not be of the same mazes as the other policies' is.
    whole = long if all(one.whole for one in long) else []
    return PolicyRow(
        policy=policy,
        frames=min(len(one.frames) for one in long),
        context_tokens=max(block.context for one in every for block in one.blocks),
        cache_bytes=max(block.bytes for one in every for block in one.blocks),
        block_ms=float(np.median([block.milliseconds for block in warm])),
        policy_percent=100 * sum(block.policy_ms for block in warm) / spent,
        psnr=float(np.mean([one.psnr[: plan.short] for one in every])),
        psnr_seen=_mean(value for one in every for value in one.psnr_seen[: plan.short]),
        psnr_novel=_mean(value for one in every for value in one.psnr_novel[: plan.short]),
        marks=[
            mark(frame, there)
            for frame in plan.marks
            if (there := [one for one in every if len(one.frames) >= frame])
        ],
        drift=_means(_drift_of_views(one, plan.lap, fps) for one in whole),
        drift_from_start=_means(_drift_from_start(one, fps) for one in whole),
        revisit=_means(_revisit(one, plan.lap) for one in whole),
        curve=_curve(long, fps),
        seconds=time.perf_counter() - begun,
    )


def mark(frame: int, walks: Sequence[PolicyWalk]) -> Mark:
    """Quality of walks, at least one, that are `frame` frames long or longer."""
    window = slice(max(0, frame - WINDOW), frame)
    return Mark(
        frame=frame,
        psnr=float(np.mean([one.psnr[window] for one in walks])),
        ssim=float(np.mean([ssim(one.frames[window], one.course.truth[window]) for one in walks])),
        psnr_seen=_mean(value for one in walks for value in one.psnr_seen[window]),
        psnr_novel=_mean(value for one in walks for value in one.psnr_novel[window]),
    )


@cache
def _world(name: str) -> World:
    """A process loads a world once for all policies."""
    return World.load(name)


def _pairs(one: PolicyWalk, lap: int) -> list[tuple[int, int]]:
    """Half a lap lies between visits: at the turning point the same views lie nearer together."""
    return revisits(one.course.poses, lap // 2)


def _drift_of_views(one: PolicyWalk, lap: int, fps: int) -> Drift | None:
    frames, truth = one.frames, one.course.truth
    first = dict(_pairs(one, lap))
    last = range(len(frames) - fps, len(frames))
    if not all(frame in first for frame in last):
        return None
    there = [first[frame] for frame in last]
    return drift(frames[there], frames[-fps:], truth[there], truth[-fps:])


def _drift_from_start(one: PolicyWalk, fps: int) -> Drift:
    frames, truth = one.frames, one.course.truth
    return drift(frames[:fps], frames[-fps:], truth[:fps], truth[-fps:])


def _revisit(one: PolicyWalk, lap: int) -> Revisit | None:
    return revisit_gain(one.frames, one.course.poses, _pairs(one, lap))


def _curve(walks: Sequence[PolicyWalk], fps: int) -> list[float]:
    seconds = min(len(one.frames) for one in walks) // fps
    curves = [one.psnr[: seconds * fps].reshape(seconds, fps).mean(axis=1) for one in walks]
    return np.mean(curves, axis=0).tolist()


def _mean(values: Iterable[float]) -> float | None:
    """Mean of those that are numbers; None where none is."""
    found = [value for value in values if not np.isnan(value)]
    return float(np.mean(found)) if found else None


def _means(found: Iterable[Figures | None]) -> Figures | None:
    """Mean of each field over those that there are; None where there are none."""
    there = [one for one in found if one is not None]
    if not there:
        return None
    rows = [msgspec.structs.asdict(one) for one in there]
    return type(there[0])(**{name: float(np.mean([row[name] for row in rows])) for name in rows[0]})

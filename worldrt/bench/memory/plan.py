"""What a run of the memory benchmark does: protocols, mazes, courses and systems, as jobs."""

from typing import NamedTuple

import msgspec

from worldrt.bench.memory.course import Course, courses
from worldrt.bench.memory.report import Track
from worldrt.config import MotionConfig, check
from worldrt.errors import ConfigError

WALKED = ("S1", "S2", "S3", "S4", "S5", "S6", "S7")
SCALE = "S8"
PROTOCOLS = (*WALKED, SCALE)
TRACKS: tuple[Track, ...] = ("memory", "generative")
SEEDS, QUICK_SEEDS = 5, 2
"""Public mazes, from seed 0, and those of `--quick`."""
HELD_OUT = 1_000_000
"""Seeds below this are of no training walk."""
NOT_GENERATED = ("S6", "S7")
"""The world knows nothing of movers, and its own poses are exact."""
QUICK_COURSES: dict[Track, dict[str, tuple[str, ...]]] = {
    "memory": {
        "S1": ("S1-forward-32", "S1-yaw"),
        "S2": ("S2-square",),
        "S3": ("S3-detour-500", "S3-aside-500"),
        "S4": ("S4-spin", "S4-pitch"),
        "S5": ("S5-worldmem",),
        "S6": ("S6-exit-moving-32", "S6-exit-replaced-32"),
        "S7": ("S7-square",),
    },
    "generative": {
        "S1": ("S1-forward-32",),
        "S3": ("S3-aside-500",),
        "S4": ("S4-spin",),
    },
}
"""Courses that are walked with `--quick`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is walked."""

    world: str
    quick: bool
    tracks: tuple[Track, ...]
    protocols: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def jobs(self) -> list["Job"]:
        """All there is to walk, the longest first."""
        found = [
            Job(track, protocol, seed)
            for track in self.tracks
            for protocol in self.protocols
            for seed in self.seeds
            if protocol != SCALE
            and not (track == "generative" and protocol in NOT_GENERATED)
            and not (self.quick and protocol not in QUICK_COURSES[track])
        ]
        return sorted(found, key=lambda job: (job.track == "memory", job.protocol != "S3"))


class Job(NamedTuple):
    """All courses of a protocol in one maze, with all systems."""

    track: Track
    protocol: str
    seed: int

    def __str__(self) -> str:
        return f"{self.track} {self.protocol} {self.seed}"

    @classmethod
    def parse(cls, text: str) -> "Job":
        """What `str` made."""
        track, protocol, seed = text.split()
        return cls("memory" if track == "memory" else "generative", protocol, int(seed))

    def courses(self, motion: MotionConfig, quick: bool) -> list[Course]:
        """What is walked."""
        names = QUICK_COURSES[self.track][self.protocol] if quick else None
        length = 500 if quick and self.protocol in ("S3", "S7") else None
        found = courses(self.protocol, self.seed, motion, length)
        return [
            course
            for course in found
            if (names is None or course.name in names)
            and not (self.track == "generative" and course.in_town)
        ]


def make_plan(world: str, quick: bool, track: str, protocols: str, seeds: int | None) -> Plan:
    """A plan from what a user said.

    Args:
        world: its name.
        quick: fewer mazes and courses.
        track: `memory`, `generative` or `both`.
        protocols: `S1,S2,...`; empty: all.
        seeds: how many mazes, from seed 0; None: 5, or 2 with `quick`.

    Raises:
        ConfigError: an unknown track or protocol, a number of mazes out of range, or nothing is
            walked.
    """
    if track not in (*TRACKS, "both"):
        raise ConfigError.unknown("track", track, (*TRACKS, "both"))
    wanted = [name.strip().upper() for name in protocols.split(",") if name.strip()]
    for name in wanted:
        if name not in PROTOCOLS:
            raise ConfigError.unknown("protocol", name, PROTOCOLS)
    count = (QUICK_SEEDS if quick else SEEDS) if seeds is None else seeds
    check(
        1 <= count <= HELD_OUT,
        f"A benchmark needs 1 to {HELD_OUT} mazes, got {count}; those are held out.",
    )
    plan = Plan(
        world=world,
        quick=quick,
        tracks=TRACKS if track == "both" else tuple(one for one in TRACKS if one == track),
        protocols=tuple(name for name in PROTOCOLS if not wanted or name in wanted),
        seeds=tuple(range(count)),
    )
    check(
        bool(plan.jobs) or SCALE in plan.protocols,
        f"Nothing of {', '.join(plan.protocols)} is walked on the track {track!r}"
        f"{' with --quick' if quick else ''}; ask for others.",
    )
    return plan

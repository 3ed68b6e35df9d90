"""All figures of one system on one course; docs/memory_bench.md says what each is."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory import moving
from worldrt.bench.memory.ages import count_ages, shares
from worldrt.bench.memory.course import Course
from worldrt.bench.memory.frame_memory import FrameMemory
from worldrt.bench.memory.memory_track import middles
from worldrt.bench.memory.pairs import Mined, mine
from worldrt.bench.memory.registration import register
from worldrt.bench.memory.report import Ages, Figures, Track, finite
from worldrt.bench.memory.scores import duplicates, gains, geometry, picture
from worldrt.bench.memory.seen import Past
from worldrt.bench.memory.setting import RECALLED, Setting
from worldrt.bench.memory.truth import Truth
from worldrt.bench.memory.video import SHOWN, Video
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.memory import Footage

MOST_SCORED, MOST_PAIRS, MOST_PLACED = 64, 100, 16
"""Scored frames of a course that are measured, pairs of a kind, and frames whose camera is looked
for, spread evenly."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walked:
    """A course with its truth, and all that is the same for every system."""

    course: Course
    truth: Truth
    past: Past
    seen: dict[int, NDArray[np.bool_]]
    """Of each measured frame [Y, X]: what the frames that were given show."""
    between: dict[int, NDArray[np.bool_]]
    """The same of frames that are generated and not scored: there is new ground in them."""
    wanted: dict[int, NDArray[np.bool_]]
    """The same of each frame that frames are chosen for."""
    best: dict[int, float]
    """The share of `wanted` that the oracle's frames show."""
    mined: Mined
    back: moving.Return | None
    """Of a course with things that move."""

    @classmethod
    def record(cls, course: Course, camera: Camera, track: Track) -> Self:
        """Walk a course in the simulator and find out what can be known of it.

        Args:
            course: the way.
            camera: one that Doom can draw.
            track: alone, a memory is given all frames but those scored; a world only the context.

        Raises:
            ConfigError: Doom has no such camera.
            BackendUnavailable: ViZDoom is not installed.
            SimulatorError: the engine has died.
        """
        truth = Truth.render(course, camera)
        past, scored = Past(truth), np.flatnonzero(course.scored)
        given = np.flatnonzero(~course.scored) if track == "memory" else np.arange(course.context)
        seen = {frame: past.seen(frame, given) for frame in _spread(scored, MOST_SCORED).tolist()}
        made = np.flatnonzero(~course.scored)
        made = made[made >= course.context] if track == "generative" else made[:0]
        between = {frame: past.seen(frame, given) for frame in _spread(made, MOST_SCORED).tolist()}
        asked = middles(course.scored) if track == "memory" else []
        wanted = {frame: past.seen(frame, given) for frame in asked}
        back = None if course.hidden is None else moving.Return.record(course, truth)
        return cls(
            course=course,
            truth=truth,
            past=past,
            seen=seen,
            between=between,
            wanted=wanted,
            best=_oracle(course, truth, past, wanted),
            mined=_thinned(mine(course.poses, course.seed)),
            back=back,
        )


def figures(video: Video, walked: Walked) -> Figures:
    """Score what a system made of a course.

    Args:
        video: of the whole course.
        walked: the course.
    """
    return finite(
        _pictures(video, walked)
        | _geometry(video, walked)
        | gains(video.frames, walked.mined)
        | _drift(video, walked)
        | _choices(video, walked)
        | _things(video, walked)
        | video.costs.figures()
    )


def ages(video: Video) -> Ages:
    """How old what a system showed and chose of a course is."""
    chosen = [frame - at for frame, frames in video.chosen.items() for at in frames]
    return Ages(shown=shares(video.shown), chosen=shares(count_ages(np.array(chosen))))


def _pictures(video: Video, walked: Walked) -> Figures:
    """Against the truth on seen and novel pixels, and against what was shown on the first visit."""
    rows = [
        picture(video.frames[frame], walked.truth.rgb[frame], {"novel": ~seen})
        for frame, seen in walked.between.items()
    ]
    for frame, seen in walked.seen.items():
        image, visit = video.frames[frame], int(walked.course.visit[frame])
        row = picture(image, walked.truth.rgb[frame], {"seen": seen, "novel": ~seen})
        if visit >= 0:
            whole = np.ones_like(seen)
            row |= picture(image, video.frames[visit], {"first": whole})
        rows.append(row)
    return _means(rows)


def _geometry(video: Video, walked: Walked) -> Figures:
    """All scored frames together, since a frame may show no memory at all."""
    truth = walked.truth.depth[walked.course.scored]
    covered = {"covered": float(video.mask.mean())}
    return covered | geometry(video.depth, truth, video.mask >= SHOWN)


def _drift(video: Video, walked: Walked) -> Figures:
    """Of the camera in what is shown, by the pixels that the frames that were given show."""
    truth = walked.truth
    drifts = []
    for frame in _spread(np.array(list(walked.seen)), MOST_PLACED).tolist():
        image, real, depth = video.frames[frame], truth.rgb[frame], truth.still[frame]
        drifts.append(register(image, real, depth, walked.seen[frame], truth.camera))
    found = [drift for drift in drifts if drift is not None]
    figures = {"registered": len(found) / len(drifts)}
    if found:
        metres = float(np.mean([drift.metres for drift in found]))
        figures["r_dist"] = float(np.mean([drift.radians for drift in found]))
        figures["drift_m"] = metres
        place = truth.poses[:, :3, 3]
        farthest = float(np.linalg.norm(place - place[0], axis=-1).max())
        if farthest > 0:  # not on the spot
            figures["t_dist"] = metres / farthest
    return figures


def _choices(video: Video, walked: Walked) -> Figures:
    """Of the frames that it would recall: what they show of the oracle's, and which they are."""
    rows = []
    for frame, chosen in video.chosen.items():
        row = {"duplicates": duplicates(walked.course.poses[chosen])}
        if walked.best[frame] > 0:
            at = np.array(chosen, np.int64)
            shown = walked.past.explained(frame, at, walked.wanted[frame])
            row["coverage"] = shown / walked.best[frame]
        if chosen:
            row["age"] = frame - float(np.median(chosen))
        rows.append(row)
    return _means(rows)


def _things(video: Video, walked: Walked) -> Figures:
    """Means over the things that move; of a memory that is told what it shows, only its lag."""
    back, movers = walked.back, walked.course.movers
    if back is None or movers is None:
        return {}
    frames = video.frames[walked.course.scored]
    rows = []
    for thing, mover in enumerate(movers.movers):
        if video.told_back:
            row = {"lag": float(moving.lag(frames, back, thing))}
        else:
            row = moving.figures(frames, back, thing)
        rows.append(row | {f"{name}_{mover.kind}": value for name, value in row.items()})
    return _means(rows)


def _oracle(
    course: Course, truth: Truth, past: Past, wanted: dict[int, NDArray[np.bool_]]
) -> dict[int, float]:
    """What the oracle's frames explain, where systems are asked for theirs."""
    setting = Setting(camera=truth.camera, budget=0, truth=truth.depth)
    oracle, found, told = FrameMemory("oracle", setting), dict[int, float](), 0
    for frame, seen in wanted.items():
        for at in range(told, frame):
            if not course.scored[at]:
                one = slice(at, at + 1)
                oracle.remember(Footage(truth.rgb[one], truth.depth[one], truth.poses[one], at))
        told = frame
        chosen = oracle.chosen(course.poses[frame : frame + 1], RECALLED, frame)
        found[frame] = past.explained(frame, np.array(chosen, np.int64), seen)
    return found


def _thinned(mined: Mined) -> Mined:
    return replace(
        mined,
        revisits=_spread(mined.revisits, MOST_PAIRS),
        baselines=_spread(mined.baselines, MOST_PAIRS),
    )


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]


def _means(rows: list[Figures]) -> Figures:
    """The mean of each figure over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {}
    for name in names:
        values = [row[name] for row in rows if name in row and np.isfinite(row[name])]
        if values:
            found[name] = float(np.mean(values))
    return found

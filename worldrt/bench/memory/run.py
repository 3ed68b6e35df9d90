"""`worldrt bench memory`: does a place stay the same, and what does remembering it cost.

Courses through held-out mazes that come back to where they were (`course.py`), walked by every
memory twice over: alone, with true frames in and a fixed filler behind it, and, on the generative
track, as the memory of a world that makes all frames after the first ones itself.

What it must cost: a generated block of 4 frames is 0.1 s of one thread, so a detour of 500 frames
with its looks is 25 s a memory, 60 blocks of context included; the memory alone is 5 ms a frame and
its figures 12 ms a scored one. `--quick` is 7 minutes of two cores for its walks, one a core, and
two for S8; a whole run is hours.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import msgspec
import torch

from worldrt.bench.crew import spread
from worldrt.bench.memory.figures import Walked, ages, figures
from worldrt.bench.memory.folder import FolderReport, score_folder
from worldrt.bench.memory.generative_track import play as generate
from worldrt.bench.memory.generative_track import systems
from worldrt.bench.memory.goals import OURS_DRAWN, goals
from worldrt.bench.memory.memory_track import play as recall
from worldrt.bench.memory.noise import noisy, noisy_depth
from worldrt.bench.memory.plan import SCALE, Job, Plan
from worldrt.bench.memory.plots import plot_ages, plot_bars, plot_scale
from worldrt.bench.memory.report import MemoryReport, Million, Outcome, ScaleRow, gather
from worldrt.bench.memory.scale import exponents, measure_million, measure_scale
from worldrt.bench.memory.setting import Setting
from worldrt.bench.memory.sheets import draw_sheet, drawn_frames
from worldrt.bench.memory.stream import stream
from worldrt.bench.memory.systems import SYSTEMS
from worldrt.bench.memory.video import Video
from worldrt.checkpoints.files import write_bytes
from worldrt.doctor import measure as measure_machine
from worldrt.errors import OutputError
from worldrt.world import World

NOISY = "S7"
REPLACED = "replaced"
"""Courses of S6 by this name are about how soon a change is noticed."""
BUDGET = 64_000_000
"""Bytes of a map."""
MARKS, QUICK_MARKS = (1000, 4000, 16_000, 64_000), (500, 1000, 2000, 4000)
BUDGETS, QUICK_BUDGETS = (8, 64, 512), (8, 64)
MAZES = 8
"""That the camera explores one after the other."""
METHODS = ("nearest", "montecarlo", "frustum")
"""Of S8: methods that look at all frames."""


def bench_memory(plan: Plan, out: Path) -> MemoryReport:
    """Run the benchmark and write `report.json`, plots and contact sheets.

    Args:
        plan: what is walked.
        out: folder, made if need be.

    Raises:
        ConfigError, CheckpointError, OutputError: before a walk begins.
        WorldrtError: a job failed; nothing but contact sheets was written.
    """
    began = time.perf_counter()
    world = World.load(plan.world)
    _make(out)
    jobs = [str(job) for job in plan.jobs]
    outcomes: dict[str, list[Outcome]] = dict.fromkeys(jobs, [])
    if jobs:
        left = "no report was written"
        work = partial(play, plan, out)
        for job, found in spread(work, jobs, left, ("walk", "walks")):
            outcomes[job] = found
    rows, million = _scale(plan, world) if SCALE in plan.protocols else ([], None)
    cells = gather(one for job in sorted(jobs) for one in outcomes[job])
    slopes = exponents(rows)
    report = MemoryReport(
        world=world.config.name,
        quick=plan.quick,
        seeds=list(plan.seeds),
        machine=measure_machine(),
        torch=str(torch.__version__),
        date=date.today().isoformat(),
        seconds=time.perf_counter() - began,
        cells=cells,
        scale=rows,
        exponents=slopes,
        million=million,
        goals=goals(cells, slopes, million),
    )
    _write(report, out)
    draw(report, out)
    return report


def bench_folder(folder: Path, out: Path) -> FolderReport:
    """Score somebody's video and write `report.json`.

    Args:
        folder: see `folder.py`.
        out: folder, made if need be.

    Raises:
        InputError: the video can't be scored.
        OutputError: nothing can be written there.
    """
    report = score_folder(folder)
    _make(out)
    _write(report, out)
    return report


def play(plan: Plan, out: Path, name: str) -> list[Outcome]:
    """One job: all systems on all its courses; the first maze's contact sheets are drawn.

    Args:
        plan: what the job is of.
        out: where contact sheets go.
        name: of the job.
    """
    job, world = Job.parse(name), World.load(plan.world)
    names = SYSTEMS if job.track == "memory" else systems(world, plan.quick)
    found = []
    for course in job.courses(world.config.motion, plan.quick):
        walked = Walked.record(course, world.camera, job.track)
        pictures = {}
        for system in names:
            video = _video(world, job, walked, system)
            found.append(
                Outcome(
                    track=job.track,
                    protocol=job.protocol,
                    course=course.name,
                    system=system,
                    seed=job.seed,
                    figures=figures(video, walked),
                    ages=ages(video),
                )
            )
            # No two whole videos are held at once: one of a long walk is hundreds of megabytes.
            pictures[system] = video.frames[drawn_frames(course)]
            del video
        if job.seed == plan.seeds[0]:
            path = out / f"{job.track}-{course.name}.png"
            draw_sheet(path, course, walked.truth, pictures)
    return found


def _video(world: World, job: Job, walked: Walked, system: str) -> Video:
    """What one system makes of a course."""
    course, truth = walked.course, walked.truth
    setting = Setting(camera=world.camera, budget=BUDGET, seed=job.seed, truth=truth.depth)
    if job.track == "generative":
        shape = world.config.codec.channels, *world.config.latent_size
        return generate(world, system, course, truth, replace(setting, latent_shape=shape))
    if course.movers is not None:
        setting = replace(setting, moving=truth.ids >= 0)
    if job.protocol != NOISY:
        return recall(system, course, truth, setting, tell_back=REPLACED in course.name)
    poses, depth = noisy(course, job.seed), noisy_depth(truth.depth, 0, job.seed)
    return recall(system, course, truth, setting, poses, depth)


def draw(report: MemoryReport, out: Path) -> None:
    """Write the plots of a report."""
    for track in ("memory", "generative"):
        cells = [cell for cell in report.cells if cell.track == track]
        for figure, title, ylabel in (
            ("psnr_seen", "Pixels seen before, against the truth", "PSNR, dB"),
            ("coverage", "What the eight chosen frames show", "share of the oracle's"),
        ):
            if any(figure in cell.figures for cell in cells):
                plot_bars(out / f"{track}-{figure}.png", cells, figure, title, ylabel)
    ours = [cell for cell in report.cells if cell.system == OURS_DRAWN and cell.ages.shown]
    if ours:
        plot_ages(out / "memory-ages.png", ours)
    if report.scale:
        plot_scale(out / "scale.png", report.scale)


def _scale(plan: Plan, world: World) -> tuple[list[ScaleRow], Million]:
    marks: Sequence[int] = QUICK_MARKS if plan.quick else MARKS
    budgets: Sequence[int] = QUICK_BUDGETS if plan.quick else BUDGETS
    walk = stream(plan.seeds[0], world.config.motion, world.camera, marks[-1], MAZES)
    rows = measure_scale(walk, world.camera, marks, budgets, METHODS)
    with tempfile.TemporaryDirectory(prefix="worldrt-million-") as folder:
        return rows, measure_million(Path(folder))


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error


def _write(report: MemoryReport | FolderReport, out: Path) -> None:
    write_bytes(out / "report.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")

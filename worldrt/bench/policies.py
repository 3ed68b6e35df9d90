"""`worldrt bench policies`: every cache policy on the same mazes, starts and ways.

Every policy walks laps through held-out mazes (`worldrt.bench.course`), so that it comes back to
places which it has shown before; truth and real frames are drawn once and shared. `PolicyRow` says
what each figure is.

What it must cost: with `--quick` a row is one walk of 1024 frames and two of 256, 1536 frames or
384 blocks. At 0.1 s a block on one thread that is 40 s, twice that where the context is long; 24
rows on two quiet cores are 24 / 2 x 40 to 80 s, 8 to 16 minutes, and half a minute for courses and
starting up. Without it a row has two long walks and six short ones, 3584 frames or 896 blocks: 2.3
times as much.
"""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from worldrt.bench.course import Course
from worldrt.bench.crew import spread
from worldrt.bench.policy_plots import plot_bytes, plot_quality
from worldrt.bench.policy_rows import Plan, PoliciesReport, PolicyRow, course_file, measure
from worldrt.bench.policy_table import markdown, screen
from worldrt.checkpoints.files import write_bytes
from worldrt.config import check
from worldrt.doctor import measure as measure_machine
from worldrt.errors import ConfigError, CorruptFile, OutputError
from worldrt.memory.policy import names
from worldrt.world import World

VARIANTS = (
    "window:sink=0,recent=0",
    "window:codec=int8",
    "window:codec=int4",
    "window:codec=int2",
)
"""Measured beside all policies with their default options and the world's own. The first has no
context at all: what it lacks is all that any policy can give."""
LEARNED = "pack:packer=learned"
"""Measured where the world has a packer."""
SEEDS, QUICK_SEEDS = 8, 3
"""Mazes, and those of `--quick`."""


def default_policies(world: World) -> list[str]:
    """The world's own policy, all others, and the variants, each once."""
    learned = [LEARNED] if world.packer else []
    return list(dict.fromkeys([world.config.policy, *names(), *learned, *VARIANTS]))


def split_policies(text: str) -> list[str]:
    """Policies from `NAME;NAME:key=value,...;...`, each once.

    Raises:
        ConfigError: the text names none.
    """
    found = list(dict.fromkeys(filter(None, (part.strip() for part in text.split(";")))))
    check(len(found) > 0, f"--policies {text!r} names none; say for example 'window;pack:top=2'.")
    return found


def bench_policies(
    plan: Plan, out: Path, policies: Sequence[str] | None = None
) -> tuple[PoliciesReport, Table]:
    """Measure policies and write `report.json`, `table.md`, `quality.png` and `bytes.png`.

    Rows that `report.json` has already are not measured again; rows of other policies stay in it
    and in the table.

    Args:
        plan: what is walked.
        out: folder, made if need be.
        policies: of the cache; None: `default_policies`.

    Raises:
        ConfigError: an unknown world or policy, walks too short to be timed, or `report.json` is
            of another plan.
        CheckpointError, BackendUnavailable, OutputError: before a walk begins.
        WorldrtError: a policy failed; the rows finished before are in `report.json`.
        KeyboardInterrupt: after Ctrl-C, likewise.
    """
    world = World.load(plan.world)
    wanted = policies if policies is not None else default_policies(world)
    for policy in wanted:
        world.policy(policy)
    check(
        plan.short > plan.warm_up * world.config.block_frames,
        f"Walks of {plan.short} frames end before they are warm; ask for more than "
        f"{plan.warm_up * world.config.block_frames}.",
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    path = out / "report.json"
    rows = {row.policy: row for row in _finished(path, plan)}
    report = _report(plan, wanted, rows)
    missing = [policy for policy in wanted if policy not in rows]
    if missing:
        with tempfile.TemporaryDirectory(prefix="worldrt-courses-") as folder:
            _draw_courses(world, plan, Path(folder))
            for policy, row in spread(partial(measure, plan, Path(folder)), missing):
                rows[policy] = row
                report = _report(plan, wanted, rows)
                write_bytes(path, msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    write_bytes(out / "table.md", markdown(report).encode())
    plot_quality(out / "quality.png", report.rows, round(world.config.fps), plan.marks)
    plot_bytes(out / "bytes.png", report.rows, plan.short)
    return report, screen(report)


def _finished(path: Path, plan: Plan) -> list[PolicyRow]:
    """Rows that a run before this one finished.

    Raises:
        CorruptFile: the file is no report.
        ConfigError: it is of another plan.
    """
    if not path.exists():
        return []
    try:
        report = msgspec.json.decode(path.read_bytes(), type=PoliciesReport)
    except (msgspec.MsgspecError, OSError) as error:
        raise CorruptFile(path, str(error)) from error
    if report.plan != plan:
        raise ConfigError(
            f"{path} is of another plan ({_differences(report.plan, plan)}); name another folder."
        )
    return report.rows


def _differences(before: Plan, now: Plan) -> str:
    """What two plans differ in, for a sentence."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(now)
    return ", ".join(f"{key} {old[key]}, now {new[key]}" for key in old if old[key] != new[key])


def _report(plan: Plan, wanted: Sequence[str], rows: Mapping[str, PolicyRow]) -> PoliciesReport:
    """The rows that were asked for, in that order, then those of earlier runs."""
    order = dict.fromkeys([*wanted, *rows])
    return PoliciesReport(
        plan=plan,
        machine=measure_machine(),
        torch=str(torch.__version__),
        date=date.today().isoformat(),
        rows=[rows[policy] for policy in order if policy in rows],
    )


def _draw_courses(world: World, plan: Plan, folder: Path) -> None:
    for seed, frames in track(
        plan.courses.items(), "courses and their truth", console=Console(stderr=True)
    ):
        course = Course.record(world, seed, context=plan.context, lap=plan.lap, frames=frames)
        course.write(course_file(folder, seed))

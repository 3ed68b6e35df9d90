"""`worldrt bench world`: how true a world stays to what it has seen, on mazes new to it.

For every seed a walk explores and comes back, once from a single real frame and once after a look
around; and a turn on the spot is made twice. Nothing but the camera's path is given.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from rich.table import Table

from worldrt.bench.compare import Comparison, Figures
from worldrt.bench.metrics import psnr
from worldrt.bench.pictures import contact_sheet, plot_lines
from worldrt.checkpoints.files import write_bytes
from worldrt.config import check
from worldrt.errors import OutputError
from worldrt.geometry.trajectory import read_path
from worldrt.render import follow
from worldrt.session import Session
from worldrt.simulators.doom.engine import Doom
from worldrt.simulators.doom.maze import generate
from worldrt.simulators.walks import explore_and_revisit
from worldrt.world import World

FRAMES = 96
"""Length of a walk."""
CONTEXTS = (0, 48)
"""Real frames before the walk."""
SHOWN = (0, 15, 31, 47, 63, 79, 95)
"""Frames on the contact sheets."""


class WorldReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `report.json` holds; all means are over seeds and frames."""

    world: str
    policy: str
    seeds: list[int]
    walks: dict[str, Figures]
    """By context frames: means of `worldrt.bench.compare.Figures` and, as `last_`, of frame 96."""
    turn_psnr: dict[str, float]
    """dB of a second full turn on the spot against the first, by seed."""
    fps: float
    """Generated frames a second over all walks, see `worldrt.tally.INCLUDES`."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One walk's pictures and figures."""

    generated: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    filling: NDArray[np.uint8]
    figures: list[Figures]
    milliseconds: float


def bench_world(name: str, out: Path, seeds: int, policy: str | None) -> tuple[WorldReport, Table]:
    """Run the benchmark and write `report.json`, `walk-C.png` sheets and `psnr.png`.

    Args:
        name: of the world.
        out: folder, made if need be.
        seeds: how many mazes, from seed 0.
        policy: of the cache; None: the world's own.

    Raises:
        ConfigError, CheckpointError, BackendUnavailable, OutputError: before a walk begins.
    """
    check(seeds >= 1, f"A benchmark of {seeds} mazes measures nothing; ask for at least 1.")
    world = World.load(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    walks: dict[str, Figures] = {}
    curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    spent, made = 0.0, 0
    for context in CONTEXTS:
        found = [
            walk(world, seed, context, policy)
            for seed in track(range(seeds), f"walks after {context} real frames")
        ]
        walks[str(context)] = _means(found)
        _draw_sheet(out / f"walk-{context}.png", found[: min(4, seeds)])
        for part in ("world", "splat", "repeat"):
            curves[f"{part}, {context} real frames"] = _curve(found, f"psnr_seen_{part}")
        spent += sum(one.milliseconds for one in found)
        made += sum(len(one.generated) for one in found)
    plot_lines(out / "psnr.png", curves, "Pixels seen in real frames", "frame", "PSNR, dB")
    turns = {
        str(seed): turn_twice(world, seed, policy) for seed in track(range(seeds), "double turns")
    }
    report = WorldReport(
        world=world.config.name,
        policy=policy or world.config.policy,
        seeds=list(range(seeds)),
        walks=walks,
        turn_psnr=turns,
        fps=1000 * made / spent,
    )
    write_bytes(out / "report.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return report, table(report)


def walk(world: World, seed: int, context: int, policy: str | None) -> Walk:
    """Explore a maze and come back, beside the truth."""
    config = world.config
    start = world.start(f"seed:{seed}", context)
    maze = generate(seed)
    path = explore_and_revisit(maze, start.poses[-1], FRAMES + 1, config.motion, seed)[1:]
    comparison = Comparison(world, start)
    chunks = list(follow(Session(world, start, policy=policy), path))
    generated = np.concatenate([chunk.frames for chunk in chunks])[:FRAMES]
    with Doom(world.camera, [seed]) as doom:
        seen = [doom.observe(pose) for pose in path]
    truth = np.stack([view.rgb for view in seen])
    figures = comparison.add(generated, truth, np.stack([view.depth for view in seen]), path)
    spent = sum(chunk.block_ms for chunk in chunks)
    return Walk(generated, truth, comparison.fill(path), figures, spent)


def turn_twice(world: World, seed: int, policy: str | None) -> float:
    """Turn on the spot twice from one real frame; dB of the second turn against the first."""
    config = world.config
    start = world.start(f"seed:{seed}")
    turn = round(360 / config.motion.turn_step)
    poses = read_path("spin", 2 * turn, config.motion).poses(
        start.poses[-1], config.motion, 2 * turn
    )
    chunks = follow(Session(world, start, policy=policy), poses)
    frames = np.concatenate([chunk.frames for chunk in chunks])
    return min(psnr(frames[turn : 2 * turn], frames[:turn]), 60.0)


def table(report: WorldReport) -> Table:
    """The report for a person."""
    found = Table(title=f"{report.world}, {len(report.seeds)} held-out mazes, {FRAMES} frames")
    for heading in ("real frames", "part", "of", "PSNR dB", "sharpness", "at frame 96"):
        found.add_column(heading, justify="left" if heading in ("part", "of") else "right")
    for context, means in report.walks.items():
        for part in ("seen", "novel"):
            for of in ("world", "splat", "repeat"):
                found.add_row(
                    context,
                    part,
                    {"splat": "real frames' splat, filled", "repeat": "last real frame"}.get(
                        of, of
                    ),
                    *(
                        f"{means[name]:.2f}" if name in means else "-"
                        for name in (
                            f"psnr_{part}_{of}",
                            f"sharp_{part}_{of}",
                            f"last_sharp_{part}_{of}",
                        )
                    ),
                )
    turns = ", ".join(f"{value:.1f}" for value in report.turn_psnr.values())
    found.caption = f"second turn against the first: {turns} dB; {report.fps:.1f} fps"
    return found


def _means(walks: list[Walk]) -> Figures:
    names = {name for one in walks for figures in one.figures for name in figures}
    found: Figures = {}
    for name in sorted(names):
        values = [figures[name] for one in walks for figures in one.figures if name in figures]
        last = [one.figures[-1][name] for one in walks if name in one.figures[-1]]
        found[name] = float(np.mean(values))
        if last:
            found[f"last_{name}"] = float(np.mean(last))
    return found


def _curve(walks: list[Walk], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over walks of one figure by frame; frames that no walk has it for are left out."""
    frames, values = [], []
    for frame in range(FRAMES):
        found = [one.figures[frame][name] for one in walks if name in one.figures[frame]]
        if found:
            frames.append(frame + 1)
            values.append(float(np.mean(found)))
    return np.array(frames, np.float64), np.array(values)


def _draw_sheet(path: Path, walks: list[Walk]) -> None:
    rows, labels = [], []
    for number, one in enumerate(walks):
        for label, video in (
            ("truth", one.truth),
            ("world", one.generated),
            ("filling", one.filling),
        ):
            rows.append([video[frame] for frame in SHOWN])
            labels.append(f"{number} {label}")
    contact_sheet(path, rows, labels, [f"frame {frame + 1}" for frame in SHOWN], 2)

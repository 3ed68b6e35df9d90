"""A walk as a video: generated block by block and streamed to disk as it is made.

An hour costs no more memory than a second. What ends early, by Ctrl-C or a full disk, leaves a
playable file with the frames so far.
"""

import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worldrt.bench.compare import Comparison
from worldrt.bench.pictures import side_by_side
from worldrt.checkpoints.files import write_bytes
from worldrt.config import check
from worldrt.errors import ConfigError, OutputError
from worldrt.geometry.trajectory import Step, read_path
from worldrt.memory.slots import Region
from worldrt.rollout import Receipt
from worldrt.schedule import Due, read_schedule, take_due
from worldrt.session import Chunk, Session
from worldrt.simulators.doom.engine import Doom
from worldrt.simulators.doom.maze import generate
from worldrt.starts import Start
from worldrt.video import VideoWriter
from worldrt.world import World

SCALE = 4
"""Video pixels a side of each pixel of a small world."""
INCLUDES = (
    "splat, denoising steps, clean pass, decode and memory insert; video encoding, comparison and "
    "loading are not in it"
)
"""What `fps` and `block_ms` cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to render.

    Args:
        world, start, policy: names, see `World.load`, `open_start` and `memory.policy.find`.
        path: see `read_path`.
        seconds: length; None: the path once.
        context_frames: real frames before the one that the walk begins at.
        seed: of the noise.
        switch: changes of scene, see `read_schedule`.
        compare: show and score the truth beside it; needs a `seed:N` start.
        out: `.mp4` or `.mkv`.
        json: where the report goes; None: nowhere.
    """

    world: str
    path: str
    seconds: float | None
    start: str
    context_frames: int
    seed: int
    policy: str | None
    switch: str
    compare: bool
    out: Path
    json: Path | None


class Milliseconds(msgspec.Struct, frozen=True):
    """A distribution of block times."""

    p50: float
    p95: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` holds."""

    world: str
    start: str
    assumed: str
    """What was assumed about the start because it could not be known."""
    policy: str
    switches: list[Receipt]
    """Changes of scene, each with the block in which it took effect."""
    seed: int
    frames: int
    fps: float
    fps_includes: str = INCLUDES
    block_ms: Milliseconds
    stage_ms: dict[str, float]
    """Mean milliseconds a block of each stage."""
    cache_bytes_peak: int
    memory_points: int
    partitions: dict[str, dict[str, int]]
    """Frames, tokens and bytes of each region of the cache at the end."""
    latents_sha256: str
    interrupted: bool
    psnr_seen: float | None
    """dB on pixels seen in real frames; None without `--compare` or where no frame has any."""
    psnr_novel: float | None
    baselines: dict[str, float | None]
    """`repeat`, `splat`: PSNR on seen pixels; `fill_novel`: of the filling on new ones."""
    sharpness: dict[str, float]
    """Mean gradient relative to the truth's, by part and candidate."""


def render(order: Order) -> Report:
    """Render a walk; see `Order`.

    Raises:
        ConfigError, InputError, CheckpointError: before anything is written.
        OutputError: a folder is missing or the disk is full; the file so far is playable.
        KeyboardInterrupt: after Ctrl-C, with the file closed and the report written.
    """
    check(
        order.seconds is None or 0 < order.seconds < math.inf,
        f"A video of {order.seconds} seconds can't be made; ask for a number above 0.",
    )
    if order.compare and not order.start.startswith("seed:"):
        raise ConfigError(
            f"Only a maze has a truth to compare with, {order.start!r} is none; say --start seed:3."
        )
    if order.json and not order.json.parent.is_dir():
        raise OutputError(f"The folder {order.json.parent} does not exist; make it first.")
    if order.json and order.json.is_dir():
        raise OutputError(f"{order.json} is a folder; name a file for the figures.")
    world = World.load(order.world)
    config = world.config
    frames = max(1, round(order.seconds * config.fps)) if order.seconds else None
    policy = world.policy(order.policy or config.policy)
    waiting = read_schedule(order.switch, config.fps, policy)
    path = read_path(order.path, frames, config.motion)
    frames = frames or len(path.steps)
    size = world.camera.width, world.camera.height
    if order.compare:
        probe = np.zeros((1, size[1], size[0], 3), np.uint8)
        shown = side_by_side(probe, probe, LABELS, SCALE).shape
        video = VideoWriter(order.out, shown[2], shown[1], config.fps)
    else:
        video = VideoWriter(order.out, *size, config.fps, SCALE)
    start = world.start(order.start, order.context_frames)
    poses = path.poses(start.poses[-1], config.motion, frames, _walls(start))
    session = Session(world, start, seed=order.seed, policy=order.policy)
    truth = Truth(world, start) if order.compare else None
    tally = Tally(session, start, order)
    try:
        with video, Bar(frames, config.fps) as bar:
            for chunk in follow(session, poses, waiting):
                tally.add(chunk)
                bar.show(chunk, tally)
                kept = chunk.frames[: frames - chunk.first]
                video.write(truth.beside(kept, chunk) if truth else kept)
    except KeyboardInterrupt:
        tally.interrupted = True
        raise
    finally:
        if truth:
            truth.close()
        report = tally.report(video.frames, truth)
        if order.json and tally.blocks:
            write_bytes(order.json, msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return report


LABELS = ("generated", "truth")


def follow(
    session: Session, poses: NDArray[np.float64], switches: Sequence[Due] = ()
) -> Iterator[Chunk]:
    """Walk poses [F, 4, 4] block by block, with switches; the last block holds its last pose."""
    size, waiting = session.world.config.block_frames, list(switches)
    for first in range(0, len(poses), size):
        for mode in take_due(waiting, first):
            session.switch(mode)
        yield session.follow(poses[np.minimum(np.arange(first, first + size), len(poses) - 1)])


def _walls(start: Start) -> Step | None:
    """What keeps keys from walking through a maze's walls; None where no maze is known."""
    if start.maze is None:
        return None
    maze = generate(start.maze)
    return lambda here, there: maze.slide(here, there)[0]


class Truth:
    """The simulator beside a session: shows and scores what is really there."""

    def __init__(self, world: World, start: Start) -> None:
        assert start.maze is not None
        self._doom = Doom(world.camera, [start.maze])
        self.comparison = Comparison(world, start)

    def beside(self, frames: NDArray[np.uint8], chunk: Chunk) -> NDArray[np.uint8]:
        """Generated and true frames as one picture each; the figures are kept."""
        poses = chunk.poses[: len(frames)]
        seen = [self._doom.observe(pose) for pose in poses]
        rgb = np.stack([view.rgb for view in seen])
        self.comparison.add(frames, rgb, np.stack([view.depth for view in seen]), poses)
        return side_by_side(frames, rgb, LABELS, SCALE)

    def close(self) -> None:
        self._doom.close()


class Tally:
    """Sums of a rendering: constant memory, whatever its length."""

    BUCKETS = np.geomspace(0.1, 1e6, 2001)
    """Edges in milliseconds of the histogram that percentiles are read from: 0.8 % apart."""

    def __init__(self, session: Session, start: Start, order: Order) -> None:
        self._session, self._start, self._order = session, start, order
        self._digest = hashlib.sha256()
        self._histogram = np.zeros(len(self.BUCKETS) + 1, np.int64)
        self._stages: dict[str, float] = {}
        self._partitions: dict[Region, dict[str, int]] = {}
        self._switches: list[Receipt] = []
        self.blocks = self.frames = 0
        self.cache_bytes = session.cache.nbytes
        self.milliseconds = 0.0
        self.interrupted = False

    def add(self, chunk: Chunk) -> None:
        """Count a block."""
        self._digest.update(chunk.latents.float().cpu().numpy().tobytes())
        self._histogram[np.searchsorted(self.BUCKETS, chunk.block_ms)] += 1
        self._switches += chunk.switches
        for stage, spent in chunk.stage_ms.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + spent
        self._partitions = {
            region: {"frames": part.frames, "tokens": part.tokens, "bytes": part.bytes}
            for region, part in chunk.partitions.items()
        }
        self.blocks += 1
        self.frames += len(chunk.frames)
        self.milliseconds += chunk.block_ms
        self.cache_bytes = max(self.cache_bytes, self._session.cache.nbytes)

    @property
    def fps(self) -> float:
        """Generated frames a second so far."""
        return 1000 * self.frames / self.milliseconds if self.milliseconds else 0.0

    def percentile(self, share: float) -> float:
        """Block time in milliseconds below which `share` of the blocks lie."""
        wanted = share * self.blocks
        bucket = int(np.searchsorted(np.cumsum(self._histogram), wanted))
        return float(self.BUCKETS[min(bucket, len(self.BUCKETS) - 1)])

    def report(self, frames: int, truth: Truth | None) -> Report:
        """All figures of a video of so many frames; those that filled its last block are not in."""
        means = truth.comparison.means() if truth else {}
        return Report(
            world=self._session.world.config.name,
            start=self._start.name,
            assumed=self._start.assumed,
            policy=self._order.policy or self._session.world.config.policy,
            switches=self._switches,
            seed=self._order.seed,
            frames=frames,
            fps=round(self.fps, 2),
            block_ms=Milliseconds(round(self.percentile(0.5), 1), round(self.percentile(0.95), 1)),
            stage_ms={k: round(v / max(self.blocks, 1), 2) for k, v in self._stages.items()},
            cache_bytes_peak=self.cache_bytes,
            memory_points=len(self._session.cloud),
            partitions={str(region): part for region, part in self._partitions.items()},
            latents_sha256=self._digest.hexdigest(),
            interrupted=self.interrupted,
            psnr_seen=means.get("psnr_seen_world"),
            psnr_novel=means.get("psnr_novel_world"),
            baselines={
                "repeat": means.get("psnr_seen_repeat"),
                "splat": means.get("psnr_seen_splat"),
                "fill_novel": means.get("psnr_novel_splat"),
            },
            sharpness={k: v for k, v in means.items() if k.startswith("sharp")},
        )


class Bar(Progress):
    """The progress of a rendering on a terminal; silent elsewhere."""

    def __init__(self, frames: int, fps: float) -> None:
        super().__init__(
            TextColumn("rendering"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._job = self.add_task("", total=frames, figures="")
        self._frames, self._fps = frames, fps

    def show(self, chunk: Chunk, tally: Tally) -> None:
        """Say how it goes after a block."""
        figures = (
            f"{tally.fps:.1f} fps  block {chunk.block_ms:.0f} ms  "
            f"cache {tally.cache_bytes / 1e6:.1f} MB"
        )
        done = min(tally.frames, self._frames)
        self.update(self._job, completed=done, figures=figures)

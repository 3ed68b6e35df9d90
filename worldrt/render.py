"""A walk as a video: generated block by block and streamed to disk as it is made.

An hour costs no more memory than a second. What ends early, by Ctrl-C or a full disk, leaves a
playable file with the frames so far.
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from worldrt.actions import ActionLog, header_of
from worldrt.atlas.store import check_target, save
from worldrt.bench.compare import Comparison
from worldrt.bench.pictures import side_by_side
from worldrt.checkpoints.files import write_bytes
from worldrt.chunk import Chunk
from worldrt.config import MemoryUse, check
from worldrt.errors import ConfigError, OutputError
from worldrt.geometry.trajectory import Step, Trajectory, read_path
from worldrt.schedule import Due, read_schedule, take_due
from worldrt.session import Session, batched_keys
from worldrt.simulators.doom.engine import Doom
from worldrt.simulators.doom.maze import generate
from worldrt.starts import Start
from worldrt.tally import Report, Tally
from worldrt.video import VideoWriter
from worldrt.world import World

SCALE = 4
"""Video pixels a side of each pixel of a small world."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to render.

    Args:
        world, start, policy: names, see `World.load`, `open_start` and `memory.policy.find`.
        path: see `read_path`.
        seconds: length; None: the path once.
        context_frames: real frames before the one that the walk begins at.
        seed: of the noise.
        steps: of the sampler, see `steps_of`; None: the world's own.
        dtype: see `World.load`.
        switch: changes of scene, see `read_schedule`.
        memory: what the spatial memory tells a block; None: the world's own way.
        retrieval: how past frames are found, see `memory.retrieval.find`; None: the world's way.
        through_walls: keys may lead through walls that have been seen.
        depth: how the depth of a picture is found, see `open_start`.
        load_memory: folder of a memory that the walk goes on with; None: an empty one.
        save_memory: folder that the spatial memory is saved to in the end; None: it is not.
        compare: show and score the truth beside it; needs a `seed:N` start.
        out: `.mp4` or `.mkv`.
        json: where the report goes; None: nowhere.
        log: where the action log goes, see `actions`; None: nowhere.
    """

    world: str
    path: str
    seconds: float | None
    start: str
    context_frames: int
    seed: int
    policy: str | None
    steps: int | None
    dtype: str
    switch: str
    memory: MemoryUse | None
    retrieval: str | None
    through_walls: bool
    depth: str
    load_memory: Path | None
    save_memory: Path | None
    compare: bool
    out: Path
    json: Path | None
    log: Path | None


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
    check_file(order.json, "the figures")
    check_file(order.log, "the action log")
    world = World.load(order.world, order.dtype)
    config = world.config
    frames = max(1, round(order.seconds * config.fps)) if order.seconds else None
    policy = world.policy(order.policy or config.policy)
    waiting = read_schedule(order.switch, config.fps, policy)
    path = read_path(order.path, frames, config.motion)
    frames = frames or len(path.steps)
    use = order.memory or config.memory.use
    check(
        order.retrieval is None or use.recalls,
        f"Retrieval {order.retrieval!r} finds frames to recall, and memory use {use.value!r} "
        "recalls none; leave it out, or say --memory context.",
    )
    if order.save_memory:
        check(
            use is not MemoryUse.NONE,
            f"Nothing is remembered with memory use {use.value!r}, so there is nothing to save to "
            f"{order.save_memory}; leave one of them out.",
        )
        check_target(order.save_memory)
    size = world.camera.width, world.camera.height
    if order.compare:
        probe = np.zeros((1, size[1], size[0], 3), np.uint8)
        shown = side_by_side(probe, probe, LABELS, SCALE).shape
        video = VideoWriter(order.out, shown[2], shown[1], config.fps)
    else:
        video = VideoWriter(order.out, *size, config.fps, SCALE)
    start = world.start(order.start, order.context_frames, order.depth)
    session = Session(
        world,
        start,
        seed=order.seed,
        policy=order.policy,
        steps=order.steps,
        use=order.memory,
        memory=world.places(order.retrieval, order.load_memory),
    )
    step = None if order.through_walls else _solid(start, session.walls)
    truth = Truth(world, start) if order.compare else None
    tally = Tally(session, start, order.policy, order.seed, order.retrieval)
    try:
        with _opened_log(order, session) as log:
            chunks = _logged(walk(session, path, frames, step, waiting), log)
            film(chunks, frames, video, tally, truth)
    finally:
        if truth:
            truth.close()
        session.close()
        report = tally.report(video.frames, truth.comparison.means() if truth else {})
        if order.json and tally.blocks:
            write_report(order.json, report)
        if order.save_memory and session.places is not None:
            save(session.places.map, order.save_memory, session.places.entities)
    return report


LABELS = ("generated", "truth")


def check_file(path: Path | None, what: str) -> None:
    """Raise OutputError unless a file can lie there; None: none is to."""
    if path and not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist; make it first.")
    if path and path.is_dir():
        raise OutputError(f"{path} is a folder; name a file for {what}.")


def film(
    chunks: Iterable[Chunk],
    frames: int,
    video: VideoWriter,
    tally: Tally,
    truth: "Truth | None" = None,
) -> None:
    """Write so many frames of a walk as a video, with a bar on a terminal.

    Raises:
        OutputError: the disk is full; the file so far is playable.
        KeyboardInterrupt: after Ctrl-C, with the file closed and the tally told.
    """
    try:
        with video, Bar(frames) as bar:
            for chunk in chunks:
                tally.add(chunk)
                bar.show(chunk, tally)
                kept = chunk.frames[: frames - chunk.first]
                video.write(truth.beside(kept, chunk) if truth else kept)
    except KeyboardInterrupt:
        tally.interrupted = True
        raise


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def follow(
    session: Session, poses: NDArray[np.float64], switches: Sequence[Due] = ()
) -> Iterator[Chunk]:
    """Walk poses [F, 4, 4] block by block, with switches; the last block holds its last pose."""
    size, waiting = session.world.config.block_frames, list(switches)
    for first in range(0, len(poses), size):
        for mode in take_due(waiting, first):
            session.switch(mode)
        yield session.follow(poses[np.minimum(np.arange(first, first + size), len(poses) - 1)])


def walk(
    session: Session, path: Trajectory, frames: int, step: Step | None, switches: Sequence[Due]
) -> Iterator[Chunk]:
    """Walk a path block by block: keys as far as `step` lets them lead, or given poses."""
    config = session.world.config
    if not isinstance(path.steps, tuple):
        yield from follow(session, path.poses(session.pose, config.motion, frames), switches)
        return
    waiting = list(switches)
    keys = tuple(islice(cycle(path.steps), frames))
    for index, held in enumerate(batched_keys(keys, config.block_frames)):
        for mode in take_due(waiting, index * config.block_frames):
            session.switch(mode)
        yield session.step(held, step)


def _solid(start: Start, seen: Step | None) -> Step | None:
    """What keys can't lead through: walls that were seen, and those of the maze where it is known.

    The maze's own are asked last, so that rounding never leads out of it.
    """
    if start.maze is None:
        return seen
    maze = generate(start.maze)

    def stop(here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
        return maze.slide(here, seen(here, there) if seen else there)[0]

    return stop


def _logged(chunks: Iterable[Chunk], log: ActionLog | None) -> Iterator[Chunk]:
    """The same chunks, each of them logged."""
    for chunk in chunks:
        if log:
            log.add(chunk)
        yield chunk


def _opened_log(order: Order, session: Session) -> AbstractContextManager[ActionLog | None]:
    """The action log that was asked for, if one was."""
    if order.log is None:
        return nullcontext()
    header = header_of(
        session,
        world=order.world,
        start=order.start,
        seed=order.seed,
        context_frames=order.context_frames,
        depth=order.depth,
        load_memory=order.load_memory,
        retrieval=order.retrieval,
        through_walls=order.through_walls,
    )
    return ActionLog(order.log, header)


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


class Bar(Progress):
    """The progress of a rendering on a terminal; silent elsewhere."""

    def __init__(self, frames: int) -> None:
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
        self._frames = frames

    def show(self, chunk: Chunk, tally: Tally) -> None:
        """Say how it goes after a block."""
        figures = (
            f"{tally.fps:.1f} fps  block {chunk.block_ms:.0f} ms  "
            f"cache {tally.cache_bytes / 1e6:.1f} MB"
        )
        done = min(tally.frames, self._frames)
        self.update(self._job, completed=done, figures=figures)

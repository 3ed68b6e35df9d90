"""A walk made again from its action log, as it was or with another policy, seed or more steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from worldrt import __version__
from worldrt.actions import Header, PolicyChanged, Switched, fingerprint
from worldrt.chunk import Chunk
from worldrt.config import check
from worldrt.errors import ConfigError
from worldrt.render import check_file, film, write_report
from worldrt.session import Session
from worldrt.tally import Report, Tally
from worldrt.transcript import Transcript
from worldrt.video import VideoWriter
from worldrt.world import World

MOST_SCALE = 64
"""Video pixels a side of a pixel, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What to make again, and what of it differs; None: as the log says.

    Args:
        log: of the walk.
        out: `.mp4` or `.mkv`.
        world: a name or a folder.
        steps: of the sampler.
        policy: one for the whole walk, whose changes of policy are left out.
        seed: of the noise.
        scale: video pixels a side of each pixel, 1 to MOST_SCALE.
        json: where the report goes; None: nowhere.
    """

    log: Path
    out: Path
    world: str | None
    steps: int | None
    policy: str | None
    seed: int | None
    scale: int
    json: Path | None


def replay(again: Again) -> tuple[Report, tuple[str, ...]]:
    """Walk the poses of a log again; see `Again`.

    Returns:
        The figures, and sentences on how the walk compares with the log's.

    Raises:
        ConfigError, InputError, CheckpointError: before anything is written.
        OutputError: a folder is missing or the disk is full; the file so far is playable.
        KeyboardInterrupt: after Ctrl-C, with the file closed and the report written.
    """
    check(
        1 <= again.scale <= MOST_SCALE,
        f"A pixel is drawn 1 to {MOST_SCALE} pixels wide, got {again.scale}.",
    )
    check_file(again.json, "the figures")
    log = Transcript(again.log)
    header = log.header
    check(log.blocks > 0, f"{log.path} holds 0 blocks, a video needs at least 1; walk first.")
    torch.set_num_threads(header.threads)
    world = World.load(again.world or header.world, header.dtype)
    _check_world(log, world)
    if again.policy:
        policy = world.policy(again.policy)
        for mode in log.modes:
            policy.check_switch(mode)
    loaded = Path(header.load_memory) if header.load_memory else None
    start = world.start(header.start, header.context_frames, header.depth)
    seed = header.seed if again.seed is None else again.seed
    policy = again.policy or header.policy
    session = Session(
        world,
        start,
        seed=seed,
        policy=policy,
        steps=header.steps if again.steps is None else again.steps,
        use=header.memory,
        memory=world.places(header.retrieval, loaded),
    )
    camera, frames = world.camera, log.blocks * header.block_frames
    tally = Tally(session, start, policy, seed, header.retrieval)
    try:
        video = VideoWriter(again.out, camera.width, camera.height, world.config.fps, again.scale)
        chunks = walk(session, log, changes_policy=again.policy is None)
        film(chunks, frames, video, tally)
    finally:
        session.close()
        report = tally.report(tally.frames, {})
        if again.json and tally.blocks:
            write_report(again.json, report)
    return report, tuple(_remarks(log, session, seed, again, report))


def walk(session: Session, log: Transcript, changes_policy: bool = True) -> Iterator[Chunk]:
    """Walk a log's blocks with its switches, and with its changes of policy unless told not to."""
    for walked in log:
        for change in walked.changes:
            match change:
                case Switched():
                    session.switch(change.mode)
                case PolicyChanged() if changes_policy:
                    session.use_policy(change.policy)
        yield session.follow(walked.poses)


def _check_world(log: Transcript, world: World) -> None:
    """Raise ConfigError unless the log's poses make blocks of this world, seen by its camera."""
    theirs = log.header.block_frames, log.header.camera
    ours = world.config.block_frames, world.config.camera
    if theirs != ours:
        raise ConfigError(
            f"{log.path} has blocks of {theirs[0]} frames of {theirs[1]}, world "
            f"{world.config.name!r} blocks of {ours[0]} frames of {ours[1]}; name the world that "
            "was walked."
        )


def _remarks(
    log: Transcript, session: Session, seed: int, again: Again, report: Report
) -> Iterator[str]:
    """What is to be known of how this walk and the log's compare."""
    header, changed = log.header, list[str]()
    if log.torn:
        yield f"The last line of {log.path} is cut and was passed over."
    if again.policy:
        changed.append(f"policy {again.policy}")
    if session.steps != header.steps:
        changed.append(f"{session.steps} steps for {header.steps}")
    if seed != header.seed:
        changed.append(f"seed {seed} for {header.seed}")
    for what, was, now in _made_with(header, session.world):
        if was != now:
            changed.append(f"{what} {now} for {was}")
    if changed:
        yield f"Other than in the log: {', '.join(changed)}."
    if log.end is None:
        yield "The log has no end, so there is no hash of its latents to compare with."
        return
    if log.end.why:
        yield log.end.why
    same = log.end.latents_sha256 == report.latents_sha256
    yield "The latents are the log's, bit for bit." if same else "The latents are not the log's."


def _made_with(header: Header, world: World) -> tuple[tuple[str, str, str], ...]:
    """What made the log and what made this walk: name, then, now."""
    return (
        ("weights", header.weights[:12], fingerprint(world.folder)[:12]),
        ("worldrt", header.worldrt, __version__),
        ("torch", header.torch, str(torch.__version__)),
    )

"""What all walks of a server share: its settings, its world, its threads and its figures."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from worldrt import __version__
from worldrt.memory.policy import describe, find, names
from worldrt.protocol.replies import Lens, Limits, PolicyInfo, WorldInfo
from worldrt.protocol.requests import Start
from worldrt.server.access import Tickets
from worldrt.server.engine import Engine
from worldrt.server.lobby import Lobby
from worldrt.server.metrics import Metrics
from worldrt.server.opening import Opener
from worldrt.server.recording import Shelf
from worldrt.world import World

FAVOURITE = "hall"
"""The start that is offered first where a world has it."""
CODERS = 2
"""Threads that code pictures."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a server serves.

    Args:
        world: see `World.load`.
        start: that is offered first, see `open_start`; empty: the world's first.
        host, port: where it listens; 0: any free port.
        token: that clients must bring; empty: none.
        insecure: other machines may come without one.
        origins: of pages elsewhere that may connect.
        places: sessions at once.
        waiting: clients that may queue.
        spectators: that may look on at one session.
        context_frames: real frames that a walk's memory begins with.
        through_walls: keys lead through walls.
        idle_s, lifetime_s, detach_s: see `Lobby`.
        record_s: seconds of a recording, at most.
        seed: of the walk that is prepared before anybody asks.
        threads: of torch.
        dtype: see `World.load`.
        logs: folder of the action logs; None: none are written.
    """

    world: str = "maze"
    start: str = ""
    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    insecure: bool = False
    origins: tuple[str, ...] = ()
    places: int = 1
    waiting: int = 64
    spectators: int = 8
    context_frames: int = 48
    through_walls: bool = False
    idle_s: float = 600.0
    lifetime_s: float = 7200.0
    detach_s: float = 60.0
    record_s: float = 300.0
    seed: int = 0
    threads: int = 1
    dtype: str = "auto"
    logs: Path | None = None

    @property
    def limits(self) -> Limits:
        """What clients are told of it."""
        return Limits(
            idle_s=self.idle_s,
            lifetime_s=self.lifetime_s,
            detach_s=self.detach_s,
            record_s=self.record_s,
        )


@dataclass(frozen=True)
class Loaded:
    """A world that is there."""

    world: World
    info: WorldInfo
    """What clients are told of it."""
    opener: Opener
    """Begins sessions in it."""


@dataclass(frozen=True)
class House:
    """What all walks share; made on the loop."""

    serving: Serving
    engine: Engine
    lobby: Lobby
    metrics: Metrics
    shelf: Shelf
    world: asyncio.Future[Loaded]
    release: str = f"worldrt {__version__}"
    resumes: Tickets = field(default_factory=Tickets)
    watches: Tickets = field(default_factory=Tickets)
    sketcher: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, "sketcher", torch.set_num_threads, (1,))
    )
    """Draws what memories hold."""
    coders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CODERS, "coder"))


async def load(serving: Serving, engine: Engine) -> Loaded:
    """Load the world beside the loop, and prepare the walk that will be asked for first.

    Raises:
        WorldrtError: as `World.load`, or the world's own policy does not stay bounded.
    """
    world = await asyncio.to_thread(World.load, serving.world, serving.dtype)
    starts = offered(world, serving.start)
    opener = Opener(
        engine,
        world,
        serving.world,
        starts,
        context_frames=serving.context_frames,
        through_walls=serving.through_walls,
        logs=serving.logs,
    )
    if starts:
        opener.prepare(Start(seed=serving.seed))
    return Loaded(world, await asyncio.to_thread(world_info, world, starts), opener)


def offered(world: World, first: str) -> tuple[str, ...]:
    """The starts that clients may choose: `first`, if it is not empty, then those of the world."""
    shipped = sorted(path.stem for path in (world.folder / "starts").glob("*.mkv"))
    first = first or (FAVOURITE if FAVOURITE in shipped else "")
    return tuple(dict.fromkeys([first, *shipped] if first else shipped))


def world_info(world: World, starts: tuple[str, ...]) -> WorldInfo:
    """What a viewer must know of a world and of the starts that are offered."""
    config = world.config
    policies = []
    for name in names():
        if find(name, config.block_frames).partition.recent is not None:
            line = describe(name)
            policies.append(
                PolicyInfo(name=name, summary=line.summary, modes=tuple(line.modes.split(", ")))
            )
    return WorldInfo(
        name=config.name,
        summary=config.summary,
        fps=config.fps,
        block_frames=config.block_frames,
        lens=Lens(
            width=world.camera.width,
            height=world.camera.height,
            fx=world.camera.fx,
            fy=world.camera.fy,
        ),
        move_step=config.motion.move_step,
        turn_step=config.motion.turn_step,
        pitch_limit=config.motion.pitch_limit,
        takes_text=config.model.text_dim > 0,
        starts=starts,
        policy=config.policy,
        policies=tuple(policies),
    )

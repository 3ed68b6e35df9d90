"""Sessions from clients' wishes: the start is read, the session begun, both off the loop.

The first one is begun as soon as the world is there, before anybody has asked: a client that wishes
what most do has its first frame a block later.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from worldrt.actions import SUFFIX, ActionLog, header_of, keep_newest
from worldrt.config import check
from worldrt.errors import ConfigError, OutputError
from worldrt.protocol.requests import Start as Wish
from worldrt.server.engine import Engine
from worldrt.server.progress import Progress
from worldrt.session import Session
from worldrt.world import World

MOST_SLOTS = 256
"""Latent frames of a session's cache."""
MOST_LOGS = 100
"""Action logs that a folder keeps, the newest ones."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has been begun, and what it was begun with."""

    session: Session
    wish: Wish
    """With all that was left open filled in."""
    assumed: str
    """See `Start`."""


class Opener:
    """Begins sessions.

    Args:
        engine: makes them.
        world: that they walk.
        name: of the world, as it was asked for.
        starts: that clients may choose, the one first that is meant if none is named.
        context_frames: real frames that a session's memory begins with.
        through_walls: for the action logs.
        logs: folder of the action logs; None: none are written.
    """

    def __init__(
        self,
        engine: Engine,
        world: World,
        name: str,
        starts: tuple[str, ...],
        *,
        context_frames: int,
        through_walls: bool = False,
        logs: Path | None = None,
    ) -> None:
        self._engine, self._world, self._name, self._starts = engine, world, name, starts
        self._context_frames, self._through_walls = context_frames, through_walls
        self._logs = logs
        self._took_s = 2.0
        self._prepared: tuple[Wish, asyncio.Task[Opened]] | None = None

    def progress(self) -> Progress:
        """For one session to be begun."""
        return Progress(self._took_s)

    def prepare(self, wish: Wish) -> None:
        """Begin a session that will probably be asked for.

        Raises:
            ConfigError: there is no such start or policy.
        """
        wish = self._full(wish)
        self._prepared = wish, asyncio.create_task(self._begin(wish, self.progress()))

    async def open(self, wish: Wish, progress: Progress) -> Opened:
        """A session as a client wishes.

        Args:
            wish: a start of those that are offered; a policy that stays bounded.
            progress: is told what is being done.

        Raises:
            WorldrtError: there is no such start or policy, or the start can't be read.
        """
        wish = self._full(wish)
        if self._prepared is not None:
            prepared, self._prepared = self._prepared, None
            if prepared[0] == wish:
                progress.stage = f"Remembering what {wish.start!r} shows"
                return await prepared[1]
            prepared[1].add_done_callback(self._discard)
        return await self._begin(wish, progress)

    async def log(self, opened: Opened, session: str) -> ActionLog | None:
        """The action log of a session that begins, named for its time and its name.

        Raises:
            OutputError: it can't be written.
        """
        if self._logs is None:
            return None
        return await asyncio.to_thread(self._open_log, self._logs, opened, session)

    async def wait_prepared(self) -> None:
        """Until what was prepared is there.

        Raises:
            WorldrtError: its start can't be read.
        """
        if self._prepared is not None:
            await asyncio.shield(self._prepared[1])

    async def close(self) -> None:
        """Discard what was prepared."""
        if self._prepared is not None:
            await asyncio.wait([self._prepared[1]])
            self._discard(self._prepared[1])

    def _full(self, wish: Wish) -> Wish:
        """The wish with all that was left open filled in."""
        start = wish.start or next(iter(self._starts), "")
        if start not in self._starts:
            raise ConfigError.unknown("start", start, self._starts)
        policy = wish.policy or self._world.config.policy
        check_bounded(self._world, policy)
        return Wish(start=start, seed=wish.seed, policy=policy)

    async def _begin(self, wish: Wish, progress: Progress) -> Opened:
        progress.stage = f"Reading the start {wish.start!r}"
        start = await asyncio.to_thread(self._world.start, wish.start, self._context_frames)
        progress.stage = f"Remembering what {wish.start!r} shows"
        make = partial(Session, self._world, start, seed=wish.seed, policy=wish.policy)
        session = await asyncio.wrap_future(self._engine.submit(make))
        self._took_s = progress.took_s
        return Opened(session, wish, start.assumed)

    def _discard(self, task: asyncio.Task[Opened]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._engine.submit(task.result().session.close)

    def _open_log(self, folder: Path, opened: Opened, session: str) -> ActionLog:
        header = header_of(
            opened.session,
            world=self._name,
            start=opened.wish.start,
            seed=opened.wish.seed,
            context_frames=self._context_frames,
            through_walls=self._through_walls,
            threads=self._engine.threads,
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder {folder} for action logs can't be made ({error.strerror}); this walk "
                "is not logged."
            ) from error
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        log = ActionLog(folder / f"{now}-{session}{SUFFIX}", header)
        keep_newest(folder, MOST_LOGS)
        return log


def check_bounded(world: World, policy: str) -> None:
    """Raise ConfigError unless a cache policy is there and keeps few enough frames for a server."""
    found = world.policy(policy)
    check(
        found.partition.recent is not None,
        f"Policy {policy!r} keeps every frame, and a live session has no end; choose another one.",
    )
    slots = found.slots(world.config.block_frames)
    check(
        slots <= MOST_SLOTS,
        f"Policy {policy!r} keeps {slots} frames, a live session at most {MOST_SLOTS}; ask for "
        "fewer.",
    )

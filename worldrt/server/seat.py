"""One walk on the model thread: a session, what its keys are, and when its next block is due."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from worldrt.actions import ActionLog
from worldrt.chunk import Chunk, Sight
from worldrt.geometry.trajectory import Step
from worldrt.memory.policy import SwitchMode
from worldrt.server.inputs import Inputs, Latched
from worldrt.server.pacing import Pacer
from worldrt.session import Session


@dataclass(frozen=True, slots=True)
class Seen:
    """What a block shows, before its clean pass; times in seconds of the monotonic clock."""

    sight: Sight
    latched: Latched
    index: int
    """Of the block in its walk, from 0."""
    began: float
    done: float
    """When its frames were there."""


@dataclass(frozen=True, slots=True)
class Made:
    """A block once it is in cache and memory."""

    chunk: Chunk
    seen: Seen
    ended: float
    """When the model thread was done with it."""
    points: int
    keyframes: int
    memory_bytes: int


class Seat:
    """A walk; the model thread alone calls `block`, `switch`, `use_policy` and `close`.

    Args:
        session: what is walked.
        inputs: what is held.
        pacer: when the next block is due; guarded by the engine's lock.
        walls: where keys can't lead; None: they lead everywhere.
        log: of its actions; None: none is written.
        show: takes the seat and what each block shows, on the model thread.
        deliver: takes the seat and each block, on the model thread.
        fail: told the seat and why no further block will come, on the model thread.
    """

    def __init__(
        self,
        session: Session,
        inputs: Inputs,
        pacer: Pacer,
        walls: Step | None,
        log: ActionLog | None,
        show: Callable[["Seat", Seen], object],
        deliver: Callable[["Seat", Made], object],
        fail: Callable[["Seat", Exception], object],
    ) -> None:
        self.session, self.inputs, self.pacer = session, inputs, pacer
        self.show, self.deliver, self.fail = show, deliver, fail
        self.blocks = 0
        """Blocks made so far: index of the next."""
        self._walls, self._log = walls, log
        self._paused = self._away = self._stepping = False

    def stand(self, *, paused: bool | None = None, away: bool | None = None) -> None:
        """Stand still while it is paused or its client is away, and go on when it is neither.

        Args:
            paused: None: as it was.
            away: None: as it was.
        """
        stood = self._paused or self._away
        self._paused = self._paused if paused is None else paused
        self._away = self._away if away is None else away
        self._stepping = False
        if stood and not (self._paused or self._away):
            self.pacer.restart()

    def step(self) -> None:
        """Allow one block while paused."""
        self._stepping = self._paused and not self._away

    def due(self, now: float) -> float | None:
        """When the next block is to begin; None: not before something changes."""
        due = self.pacer.due(now)
        if not (self._paused or self._away):
            return due
        return now if self._stepping and due is not None else None

    def block(self, there: Callable[[Seen], object]) -> Made:
        """Make the next block with what is held now.

        Args:
            there: called as soon as its frames are there.
        """
        self._stepping = False
        config = self.session.world.config
        began = time.monotonic()
        latched = self.inputs.latch(began, config.block_frames, config.motion)
        index, self.blocks = self.blocks, self.blocks + 1
        found: list[Seen] = []

        def show(sight: Sight) -> None:
            found.append(Seen(sight, latched, index, began, time.monotonic()))
            there(found[0])

        chunk = self.session.drive(latched.axes, self._walls, show)
        places = self.session.places
        return Made(
            chunk=chunk,
            seen=found[0],
            ended=time.monotonic(),
            # Read beside the writer, not after it: a figure for a person may be a frame old.
            points=len(places.map.points) if places else 0,
            keyframes=len(places.map.keyframes) if places else 0,
            memory_bytes=self.session.memory.nbytes,
        )

    def switch(self, mode: SwitchMode) -> int:
        """Change the scene; returns the first block that it holds for."""
        return self.session.switch(mode).block

    def use_policy(self, name: str) -> int:
        """Go on under another cache policy; returns the first block that it holds for."""
        self.session.use_policy(name)
        return self.blocks

    def note(self, made: Made) -> None:
        """Put a block into the log of actions."""
        if self._log is not None:
            latched = made.seen.latched
            self._log.add(made.chunk, latched.axes, latched.keys, latched.seq)

    def close(self) -> None:
        """End the session and its log."""
        self.session.close()
        if self._log is not None:
            self._log.close()

"""What trainings by the clock share: their settings, the loop, the rate, and the state on disk.

The learning rate follows the time spent, not the steps, because the speed of a shared machine is
unknown; a killed run goes on from its last state with the time it had left.
"""

import io
import logging
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from worldrt.checkpoints.files import write_bytes
from worldrt.config import Config, check
from worldrt.errors import CorruptFile
from worldrt.training.curves import Curves

log = logging.getLogger(__name__)

UNREADABLE = (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError)
"""What torch raises on a damaged file."""
WARMUP = 100
"""Steps over which the learning rate rises."""
FALL = 0.4
"""Share of the time, at the end, over which it falls to 0."""


class Effort(Config, frozen=True, kw_only=True):
    """How long a training goes on, and with what."""

    minutes: float
    """Time to train, all runs of the same folder together."""
    batch: int
    """Samples a step."""
    learning_rate: float
    report_seconds: float = 120.0
    """Time between two checkpoints with held-out figures."""
    loaders: int = 1
    """Processes that build samples; 0: in the training process."""
    threads: int = 1
    """Threads of the training process."""
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        check(
            min(self.minutes, self.batch, self.learning_rate, self.threads) > 0,
            "A recipe needs positive minutes, batch, learning_rate and threads, got "
            f"{self.minutes}, {self.batch}, {self.learning_rate} and {self.threads}.",
        )

    def rate(self, step: int, done: float) -> float:
        """The learning rate after `step` steps, when the share `done` of the time is spent."""
        return self.learning_rate * min(1.0, (step + 1) / WARMUP) * min(1.0, (1 - done) / FALL)


@dataclass(slots=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    seconds: float = 0.0
    """Time trained, all runs together."""


Batch = TypeVar("Batch", contravariant=True)


class Learner(Protocol[Batch]):
    """What the loop trains."""

    progress: Progress

    def step(self, sample: Batch, done: float) -> dict[str, float]:
        """One step of descent, which counts itself; `done` is the share of the time spent."""
        ...

    def save(self, path: Path) -> None:
        """Write what a run needs to go on."""
        ...


def descend(
    learner: Learner[Batch],
    batches: Iterator[Batch],
    effort: Effort,
    run: Path,
    look: Callable[[], dict[str, float]],
) -> None:
    """Train until the time is spent, with checkpoints and figures on the way and at the end.

    Args:
        learner: what is trained, as far as it has come.
        batches: endless.
        effort: the time there is.
        run: folder that receives `state.pt`, `curves.jsonl` and `curves.png`.
        look: measures held-out figures.
    """
    progress, budget = learner.progress, effort.minutes * 60
    curves = Curves(run, progress.step)
    reported = time.monotonic()
    sums: dict[str, float] = {}
    steps = 0
    bar = Bar(budget, progress.seconds)
    while progress.seconds < budget:
        started = time.monotonic()
        figures = learner.step(next(batches), progress.seconds / budget)
        progress.seconds += time.monotonic() - started
        bar.show(progress, figures)
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value
        steps += 1
        if time.monotonic() - reported > effort.report_seconds:
            learner.save(run / "state.pt")
            means = {name: value / steps for name, value in sums.items()}
            curves.append(progress.step, means | look())
            log.info("step %s, %.0f s: %s", progress.step, progress.seconds, means)
            reported, sums, steps = time.monotonic(), {}, 0
    bar.stop()
    learner.save(run / "state.pt")
    curves.append(progress.step, look())
    curves.draw()


class Bar(RichProgress):
    """The progress of a training on a terminal, by time; silent elsewhere."""

    def __init__(self, budget: float, done: float) -> None:
        super().__init__(
            TextColumn("training"),
            BarColumn(),
            TextColumn("step {task.fields[step]}  loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._job = self.add_task(
            "", total=round(budget), completed=round(done), step=0, loss=float("nan")
        )
        self.start()

    def show(self, progress: Progress, figures: dict[str, float]) -> None:
        """Say how it goes after a step."""
        loss = figures.get("loss", float("nan"))
        self.update(self._job, completed=progress.seconds, step=progress.step, loss=loss)


class Stateful(Protocol):
    """A model or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


def save_state(path: Path, parts: Mapping[str, Stateful], progress: Progress) -> None:
    """Write what a run needs to go on; a kill while writing leaves the state before.

    Args:
        path: the file.
        parts: models and optimisers by name.
        progress: how far they have come.
    """
    content = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**states, "step": progress.step, "seconds": progress.seconds}, content)
    write_bytes(path, content.getvalue())


def load_state(path: Path, parts: Mapping[str, Stateful], device: torch.device) -> Progress:
    """Give `parts` the states that `save_state` wrote.

    Raises:
        CorruptFile: the file is damaged or belongs to other parts.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return Progress(state["step"], state["seconds"])
    except UNREADABLE as error:
        raise CorruptFile(path, str(error)) from error

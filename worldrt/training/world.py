"""`worldrt train world`: data, steps, checkpoints, curves and strips, until the time is spent.

The learning rate follows the time spent, not the steps, because the speed of a shared machine is
unknown; a killed run goes on from its last state with the time it had left.
"""

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch.utils.data import DataLoader

from worldrt.checkpoints.files import read_tensors, write_bytes, write_tensors
from worldrt.codec import Codec, build
from worldrt.config import dump
from worldrt.model import Transformer
from worldrt.training.curves import Curves
from worldrt.training.samples import Sample, SampleBuilder, Samples
from worldrt.training.trainer import Progress, Trainer, WorldRecipe

log = logging.getLogger(__name__)


def train(recipe: WorldRecipe, run: Path) -> Transformer:
    """Train the recipe's generator, going on where a run in the same folder stopped.

    The folder receives `state.pt` (to resume), `model.safetensors` (averaged weights),
    `world.toml`, `curves.jsonl`, `curves.png` and `strip.png`.

    Args:
        recipe: what to train on what.
        run: folder of the run, made if need be.

    Returns:
        The averaged model, in evaluation mode.

    Raises:
        InputError: data or codec are missing.
        CorruptFile: the run's state can't be read.
    """
    torch.set_num_threads(recipe.threads)
    run.mkdir(parents=True, exist_ok=True)
    write_bytes(run / "world.toml", dump(recipe.world).encode())
    device = torch.device(recipe.device)
    codec = build(recipe.world.codec)
    codec.load_state_dict(read_tensors(Path(recipe.codec)))
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, codec, device)
    state = run / "state.pt"
    if state.exists():
        trainer.load(state)
    curves = Curves(run, trainer.progress.step)
    batches = _batches(recipe, codec, trainer.progress.step)
    probe = _held_out(recipe, codec)
    budget = recipe.minutes * 60
    reported = time.monotonic()
    sums: dict[str, float] = {}
    steps = 0
    bar = Bar(budget, trainer.progress.seconds)
    while trainer.progress.seconds < budget:
        started = time.monotonic()
        figures = trainer.step(next(batches).to(device), trainer.progress.seconds / budget)
        trainer.progress.seconds += time.monotonic() - started
        bar.show(trainer.progress, figures)
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value
        steps += 1
        if time.monotonic() - reported > recipe.report_seconds:
            trainer.save(state)
            means = {name: value / steps for name, value in sums.items()}
            curves.append(trainer.progress.step, means | trainer.look(probe, codec, run))
            log.info("step %s, %.0f s: %s", trainer.progress.step, trainer.progress.seconds, means)
            reported, sums, steps = time.monotonic(), {}, 0
    bar.stop()
    trainer.save(state)
    write_tensors(run / "model.safetensors", trainer.averaged.state_dict())
    curves.append(trainer.progress.step, trainer.look(probe, codec, run))
    curves.draw()
    return trainer.averaged


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


def _batches(recipe: WorldRecipe, codec: Codec, step: int) -> Iterator[Sample]:
    """An endless stream of batches; a resumed run draws other samples than before its kill."""
    dataset = Samples(recipe.recording, recipe.world, codec, recipe.seed + step)
    return iter(
        DataLoader(
            dataset,
            batch_size=recipe.batch,
            num_workers=recipe.loaders,
            collate_fn=Sample.stack,
            prefetch_factor=4 if recipe.loaders else None,
            multiprocessing_context="spawn" if recipe.loaders else None,
        )
    )


def _held_out(recipe: WorldRecipe, codec: Codec) -> list[Sample]:
    """One sample of each held-out episode, as batches of one."""
    builder = SampleBuilder(recipe.recording.open(), recipe.world, codec)
    return [
        Sample.stack([builder.draw(episode, np.random.default_rng(episode))])
        for episode in recipe.recording.validation
    ]

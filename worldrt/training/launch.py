"""`worldrt train`: recipes from files, recordings where they are missing, the smoke run."""

import logging
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import msgspec
from rich.console import Console
from rich.logging import RichHandler

from worldrt.checkpoints.files import write_bytes
from worldrt.config import CodecConfig, ModelConfig, WorldConfig, dump, load
from worldrt.errors import WorldrtError
from worldrt.training import codec as codec_training
from worldrt.training import packer as packer_training
from worldrt.training import world as world_training
from worldrt.training.codec import CodecRecipe
from worldrt.training.packer import PackerRecipe
from worldrt.training.recording import Recording
from worldrt.training.trainer import WorldRecipe

log = logging.getLogger(__name__)

RECIPES = Path(str(files("worldrt.training") / "recipes"))
SMOKE_SECONDS = 170.0
"""Longest that a smoke run may take."""


def train_codec(recipe: Path | None, run: Path) -> None:
    """Train a codec; see `worldrt.training.codec.train`.

    Args:
        recipe: a TOML file; None: the shipped world's.
        run: folder of the run.
    """
    _report()
    chosen = load(recipe or RECIPES / "codec.toml", CodecRecipe)
    chosen.recording.complete(_workers())
    codec_training.train(chosen, run)


def train_world(recipe: Path | None, run: Path) -> None:
    """Train a generator; see `worldrt.training.world.train`.

    Args:
        recipe: a TOML file; None: the shipped world's.
        run: folder of the run.
    """
    _report()
    chosen = load(recipe or RECIPES / "maze.toml", WorldRecipe)
    chosen.recording.complete(_workers())
    world_training.train(chosen, run)


def train_packer(recipe: Path | None, run: Path) -> None:
    """Train a packer; see `worldrt.training.packer.train`.

    Args:
        recipe: a TOML file; None: the shipped world's.
        run: folder of the run.
    """
    _report()
    chosen = load(recipe or RECIPES / "packer.toml", PackerRecipe)
    chosen.recording.complete(_workers())
    packer_training.train(chosen, run)


def smoke(run: Path) -> None:
    """Record, train a codec, train a world, kill it, resume it to the end; in under three minutes.

    Args:
        run: folder; what is in it from an earlier smoke run is gone on from.

    Raises:
        WorldrtError: a part of it failed or took too long.
    """
    began = time.monotonic()
    console = Console(stderr=True)
    run.mkdir(parents=True, exist_ok=True)
    recipe = _smoke_recipe(run)
    console.print("smoke: recording 18 short walks")
    recipe.recording.complete(_workers())
    console.print("smoke: training a codec")
    codec = CodecRecipe(
        codec=recipe.world.codec,
        recording=recipe.recording,
        steps=20,
        batch=4,
        learning_rate=1e-3,
        fit_frames=128,
    )
    codec_training.train(codec, run / "codec")
    write_bytes(run / "world.toml", dump(recipe).encode())
    state = run / "world" / "state.pt"
    console.print("smoke: training a world, until its first checkpoint")
    _until_killed(run, state, began)
    console.print(
        f"smoke: killed with a checkpoint of {state.stat().st_size / 1e6:.1f} MB, resuming"
    )
    done = subprocess.run(_command(run), check=False)
    if done.returncode or not (run / "world" / "model.safetensors").exists():
        raise WorldrtError(f"The resumed training ended with code {done.returncode}; see above.")
    steps = [step for step, _ in _rows(run / "world" / "curves.jsonl")]
    if steps != sorted(steps):
        raise WorldrtError(f"The resumed training went back in its steps: {steps}.")
    spent = time.monotonic() - began
    console.print(f"smoke: trained, killed, resumed and ended in {spent:.0f} s at step {steps[-1]}")


def _smoke_recipe(run: Path) -> WorldRecipe:
    """The shipped world's recipe at a size that trains in seconds."""
    full = load(RECIPES / "maze.toml", WorldRecipe)
    world: WorldConfig = msgspec.structs.replace(
        full.world,
        model=ModelConfig(
            dim=48,
            num_heads=2,
            num_layers=2,
            ffn_dim=96,
            in_channels=16,
            camera_channels=full.world.model.camera_channels,
            spatial_channels=full.world.model.spatial_channels - full.world.model.in_channels + 16,
        ),
        codec=CodecConfig(channels=16, near=full.world.codec.near, refiner_width=8),
    )
    recording = Recording(
        folder=str(run / "data"),
        episodes=18,
        held_out=2,
        frames=40,
        camera=full.recording.camera,
    )
    return msgspec.structs.replace(
        full,
        world=world,
        recording=recording,
        codec=str(run / "codec" / "codec.safetensors"),
        minutes=0.5,
        batch=2,
        report_seconds=6.0,
    )


def _until_killed(run: Path, state: Path, began: float) -> None:
    """Start a training in a process of its own; kill it, hard, when it has a checkpoint."""
    before = state.stat().st_mtime_ns if state.exists() else 0
    child = subprocess.Popen(_command(run), start_new_session=True)
    try:
        while not (state.exists() and state.stat().st_mtime_ns != before):
            if child.poll() is not None:
                raise WorldrtError(f"The training ended by itself, code {child.returncode}.")
            if time.monotonic() - began > SMOKE_SECONDS:
                raise WorldrtError(
                    f"No checkpoint after {SMOKE_SECONDS:.0f} s; is the machine busy?"
                )
            time.sleep(0.1)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _command(run: Path) -> list[str]:
    options = ["--recipe", str(run / "world.toml"), "--run-folder", str(run / "world")]
    return [sys.executable, "-m", "worldrt", "train", "world", *options]


def _rows(table: Path) -> list[tuple[int, dict[str, float | None]]]:
    lines = table.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=tuple[int, dict[str, float | None]]) for line in lines]


def _workers() -> int:
    return os.cpu_count() or 1


def _report() -> None:
    """Let training say on stderr how it goes."""
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])

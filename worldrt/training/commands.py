"""`worldrt train`: its subcommands; see `worldrt.cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class TrainCodec:
    """Train a world's codec; a killed run goes on where it was."""

    recipe: Path | None = None
    """A TOML recipe; default: the shipped world's."""
    run_folder: Path = Path("runs/codec")
    """Where state, weights, curves and strips go."""

    def run(self) -> None:
        from worldrt.training.launch import train_codec

        train_codec(self.recipe, self.run_folder)


@dataclass(frozen=True, kw_only=True)
class TrainWorld:
    """Train a world's generator; a killed run goes on where it was."""

    recipe: Path | None = None
    """A TOML recipe; default: the shipped world's."""
    run_folder: Path = Path("runs/maze")
    """Where state, weights, curves and strips go."""
    smoke: bool = False
    """Record a few mazes, train something tiny, kill it, resume it: under three minutes."""

    def run(self) -> None:
        from worldrt.training.launch import smoke, train_world

        if self.smoke:
            smoke(self.run_folder)
        else:
            train_world(self.recipe, self.run_folder)


@dataclass(frozen=True, kw_only=True)
class TrainPacker:
    """Train a world's packer of old blocks; a killed run goes on where it was."""

    recipe: Path | None = None
    """A TOML recipe; default: the shipped world's."""
    run_folder: Path = Path("runs/packer")
    """Where state, weights and curves go."""

    def run(self) -> None:
        from worldrt.training.launch import train_packer

        train_packer(self.recipe, self.run_folder)


@dataclass(frozen=True, kw_only=True)
class TrainShip:
    """Make a finished run a world that loads: weights in half precision, numbers, starts."""

    run_folder: Path = Path("runs/maze")
    """Of the world's training."""
    codec: Path = Path("runs/codec/codec.safetensors")
    """The codec that it was trained with."""
    out: Path = Path("checkpoints/maze")
    """Folder of the world."""

    def run(self) -> None:
        from worldrt.training.ship import ship

        ship(self.run_folder, self.codec, self.out)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a part of a world from its recipe."""

    part: (
        Annotated[TrainCodec, tyro.conf.subcommand("codec")]
        | Annotated[TrainWorld, tyro.conf.subcommand("world")]
        | Annotated[TrainPacker, tyro.conf.subcommand("packer")]
        | Annotated[TrainShip, tyro.conf.subcommand("ship")]
    )
    """What to train."""

    def run(self) -> None:
        self.part.run()

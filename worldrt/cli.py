"""The `worldrt` command: one dataclass a subcommand, whose docstrings are its `--help`.

A command's work is imported when it runs, so that `worldrt --help` loads no torch.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import tyro

from worldrt import __version__
from worldrt.errors import WorldrtError


class Command(Protocol):
    """A subcommand: its fields are the options."""

    def run(self) -> None:
        """Do the work; a WorldrtError becomes one line on stderr."""
        ...


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Show what this machine can do, what it lacks and how to get that."""

    json: bool = False
    """Print one JSON object instead of tables."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.doctor import diagnose, tables

        report = diagnose()
        if self.json:
            print(msgspec.json.encode(report).decode())
        else:
            Console(highlight=False).print(tables(report))
        report.require()


@dataclass(frozen=True, kw_only=True)
class Render:
    """Walk through a world and write what is seen as a video.

    Ctrl-C leaves a playable file with the frames so far.
    """

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder with world.toml and its weights."""
    path: str = "loop"
    """The camera's path: keys held and frames ("W*24 J*12 WJ*8"; WASD move, IJKL look, . rests), a
    name (loop, spin, out-and-back, square, random:SEED), or a JSON file of poses."""
    seconds: float | None = None
    """Length of the video; a shorter path begins anew. Default: the path once."""
    start: str = "hall"
    """What the world begins from: a start shipped with it, seed:N (a maze, needs ViZDoom), or a
    picture (its depth is assumed, and said)."""
    context_frames: int = 0
    """Real frames, 0 to 96, that are remembered before the walk: a look around."""
    seed: int = 0
    """Of the noise; the same seed and path give the same video."""
    policy: str | None = None
    """Cache policy, NAME or NAME:key=value,...; see `worldrt policies`. Default: the world's."""
    switch: str = ""
    """Changes of scene, SECONDS:MODE separated by spaces ("2:flush 4.5:cut"); modes are keep,
    recache, flush, cut and recall, as far as the policy supports them."""
    compare: bool = False
    """Show the truth beside it and score against it; needs --start seed:N."""
    out: Path = Path("out.mp4")
    """The video, .mp4 or .mkv, in a folder that exists."""
    json: Path | None = None
    """Write figures to this file: fps, block times, cache, hash of the latents, quality."""

    def run(self) -> None:
        from dataclasses import asdict

        from worldrt.render import Order, render

        report = render(Order(**asdict(self)))
        if report.assumed:
            print(report.assumed)
        print(
            f"{self.out}: {report.frames} frames, generated at {report.fps:.1f} fps "
            f"({report.fps_includes})"
        )


@dataclass(frozen=True, kw_only=True)
class Policies:
    """List the cache policies: name, what it keeps, source."""

    def run(self) -> None:
        from rich.console import Console
        from rich.table import Table

        from worldrt.memory.policy import describe, names

        found = Table("policy", "what it keeps", "source", box=None, pad_edge=False)
        for name in names():
            found.add_row(*describe(name))
        Console(highlight=False).print(found)


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
class BenchWorld:
    """Measure how true a world stays to what it has seen, on held-out mazes (needs ViZDoom)."""

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder."""
    out: Path = Path("out/bench")
    """Folder for report.json, plots and contact sheets."""
    seeds: int = 8
    """Mazes, from seed 0."""
    policy: str | None = None
    """Cache policy; default: the world's own."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.bench.world import bench_world

        report, table = bench_world(self.world, self.out, self.seeds, self.policy)
        Console().print(table)
        print(msgspec.json.encode(report).decode())


@dataclass(frozen=True, kw_only=True)
class BenchSoak:
    """Walk for thousands of blocks and note whether memory or time grows."""

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder."""
    out: Path = Path("out/bench")
    """Folder for soak.json and soak.png."""
    blocks: int = 1000
    """Length of the walk."""
    policy: str | None = None
    """Cache policy; default: the world's own."""
    start: str = "hall"
    """Where the walk begins, as in `worldrt render`."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.bench.soak import bench_soak

        report, table = bench_soak(self.world, self.out, self.blocks, self.policy, self.start)
        Console().print(table)
        print(msgspec.json.encode(report).decode())


@dataclass(frozen=True, kw_only=True)
class BenchPolicies:
    """Compare cache policies on the same ways through held-out mazes (needs ViZDoom).

    What the folder has already is not measured again: Ctrl-C costs the rows under way.
    """

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder."""
    out: Path = Path("out/policies")
    """Folder for report.json, table.md and plots."""
    policies: str | None = None
    """What to compare, "NAME;NAME:key=value,..."; default: all policies and some variants."""
    seeds: int | None = None
    """Mazes, from seed 0, a quarter of them for long walks; default: 8, or 3 with --quick."""
    quick: bool = False
    """Fewer mazes: 24 policies in under 20 minutes on two cores."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.bench.policies import QUICK_SEEDS, SEEDS, bench_policies, split_policies
        from worldrt.bench.policy_rows import Plan
        from worldrt.bench.policy_table import WIDTH

        seeds = (QUICK_SEEDS if self.quick else SEEDS) if self.seeds is None else self.seeds
        policies = None if self.policies is None else split_policies(self.policies)
        report, table = bench_policies(Plan.of(self.world, seeds), self.out, policies)
        # A pipe has no width of its own, and 80 columns cut the figures off.
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
        print(msgspec.json.encode(report).decode())


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


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure a world; figures, plots and pictures go to a folder."""

    part: (
        Annotated[BenchWorld, tyro.conf.subcommand("world")]
        | Annotated[BenchSoak, tyro.conf.subcommand("soak")]
        | Annotated[BenchPolicies, tyro.conf.subcommand("policies")]
    )
    """What to measure."""

    def run(self) -> None:
        self.part.run()


COMMANDS: dict[str, type[Command]] = {
    "render": Render,
    "policies": Policies,
    "train": Train,
    "bench": Bench,
    "doctor": Doctor,
}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line `arguments`, the process's own by default, and exit.

    Exits 0 when it worked, 2 after a mistake that the caller can mend, 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"worldrt {__version__}")
        sys.exit(0)
    command: Command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="worldrt",
        description="Walk through worlds that a video generator dreams. See also --version.",
        args=arguments,
        config=(
            tyro.conf.FlagCreatePairsOff,
            tyro.conf.OmitArgPrefixes,
            tyro.conf.OmitSubcommandPrefixes,
        ),
    )
    try:
        command.run()
    except WorldrtError as error:
        print(f"worldrt: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)

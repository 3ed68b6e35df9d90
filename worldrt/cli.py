"""The `worldrt` command: one dataclass a subcommand, whose docstrings are its `--help`.

A command's work is imported when it runs, so that `worldrt --help` loads no torch.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import tyro

from worldrt import __version__
from worldrt.atlas.commands import World
from worldrt.bench.commands import Bench
from worldrt.config import MemoryUse
from worldrt.errors import WorldrtError
from worldrt.server.commands import Play, Serve
from worldrt.training.commands import Train
from worldrt.weights import Convert, Worlds


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
    dtype: str = "fp32"
    """What the transformer is computed in: fp32, bf16, or auto, which is bf16 where this machine
    multiplies it faster."""
    policy: str | None = None
    """Cache policy, NAME or NAME:key=value,...; see `worldrt policies`. Default: the world's."""
    steps: int | None = None
    """Denoising steps a block, at even distances. Default: the world's. The maze was trained for
    one: more take longer and show nothing finer."""
    switch: str = ""
    """Changes of scene, SECONDS:MODE separated by spaces ("2:flush 4.5:cut"); modes are keep,
    recache, flush, cut and recall, as far as the policy supports them."""
    memory: MemoryUse | None = None
    """What the spatial memory tells the generator: its points (splat), past frames recalled by the
    camera's pose (context), both, or nothing. Default: the world's."""
    retrieval: str | None = None
    """How past frames are found that the context recalls, NAME or NAME:key=value,...; see
    `worldrt policies`. Default: the world's."""
    through_walls: bool = False
    """Let keys lead through walls that have been seen."""
    depth: str = "room"
    """Depth of a picture to start from: an assumed room, plane:METRES, or a folder with a
    depth-estimation model for transformers."""
    load_memory: Path | None = None
    """Go on with the spatial memory of this folder; start where it was walked."""
    save_memory: Path | None = None
    """Save the spatial memory to this folder in the end, see `worldrt world`."""
    compare: bool = False
    """Show the truth beside it and score against it; needs --start seed:N."""
    out: Path = Path("out.mp4")
    """The video, .mp4 or .mkv, in a folder that exists."""
    json: Path | None = None
    """Write figures to this file: fps, block times, cache, hash of the latents, quality."""
    log: Path | None = None
    """Write an action log to this file, from which `worldrt replay` makes the walk again."""

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
class Replay:
    """Make a walk again from its action log and write it as a video.

    Where nothing is changed, the same build gives the same latents bit for bit, and says so.
    """

    log: tyro.conf.Positional[Path]
    """The action log: of a live session, or of `worldrt render --log`."""
    out: Path = Path("out.mp4")
    """The video, .mp4 or .mkv, in a folder that exists."""
    world: str | None = None
    """A shipped world or a folder. Default: the log's."""
    steps: int | None = None
    """Denoising steps a block, at even distances. Default: the log's. The maze was trained for one:
    more take longer and show nothing finer."""
    policy: str | None = None
    """One cache policy for the whole walk, NAME or NAME:key=value,...; see `worldrt policies`.
    Default: the log's, with its changes."""
    seed: int | None = None
    """Of the noise. Default: the log's."""
    scale: int = 4
    """Video pixels a side of each pixel of the world."""
    json: Path | None = None
    """Write figures to this file, as `worldrt render --json`."""

    def run(self) -> None:
        from dataclasses import asdict

        from worldrt.replay import Again, replay

        report, remarks = replay(Again(**asdict(self)))
        for remark in remarks:
            print(remark)
        print(
            f"{self.out}: {report.frames} frames, generated at {report.fps:.1f} fps "
            f"({report.fps_includes})"
        )


@dataclass(frozen=True, kw_only=True)
class Policies:
    """List the cache policies, and the ways to find past frames: what each does, its source, its
    options."""

    def run(self) -> None:
        from rich.console import Console
        from rich.table import Table

        from worldrt.memory.policy import describe, names
        from worldrt.memory.retrieval import find as retrieval

        found = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 1, 0))
        for line in map(describe, names()):
            found.add_row(
                f"[bold]{line.name}[/]",
                f"{line.summary}\n[dim]{line.source}[/]\n"
                f"options [cyan]{line.options}[/]; switches [cyan]{line.modes}[/]",
            )
        ways = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 1, 0))
        for way in map(retrieval.describe, retrieval.names()):
            ways.add_row(
                f"[bold]{way.name}[/]",
                f"{way.summary}\n[dim]{way.source}[/]\noptions [cyan]{way.options}[/]",
            )
        console = Console(highlight=False)
        console.print(found)
        print("Say --policy NAME or NAME:option=value,... as in window:sink=4,codec=int4.\n")
        console.print(ways)
        print("Say --retrieval NAME or NAME:option=value,... as in coverage:frames=32.")


COMMANDS: dict[str, type[Command]] = {
    "play": Play,
    "serve": Serve,
    "render": Render,
    "replay": Replay,
    "policies": Policies,
    "train": Train,
    "bench": Bench,
    "world": World,
    "worlds": Worlds,
    "convert": Convert,
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
            tyro.conf.EnumChoicesFromValues,
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

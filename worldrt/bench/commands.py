"""`worldrt bench`: its subcommands; see `worldrt.cli`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from worldrt.config import check


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
class BenchGrowth:
    """Play thousands of random blocks through each policy's cache and note whether it grows.

    No world is needed: a small cache alone, one process a core.
    """

    out: Path = Path("out/growth")
    """Folder for growth.json and growth.png."""
    blocks: int = 10_000
    """Blocks of each policy; one that keeps everything plays 500 at most."""
    policies: str | None = None
    """What to play, "NAME;NAME:key=value,..."; default: all policies."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.bench.growth import bench_growth
        from worldrt.bench.policies import split_policies
        from worldrt.bench.policy_table import WIDTH

        policies = None if self.policies is None else split_policies(self.policies)
        report, table = bench_growth(self.out, self.blocks, policies)
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
        print(msgspec.json.encode(report).decode())


@dataclass(frozen=True, kw_only=True)
class BenchMemory:
    """Measure whether places stay the same, and what remembering them costs (needs ViZDoom).

    Courses through held-out mazes come back to where they were; the memory is judged alone and
    inside a world, beside other ways to remember and the controls.
    """

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder."""
    out: Path = Path("out/memory")
    """Folder for report.json, plots and contact sheets."""
    quick: bool = False
    """Two mazes and the shorter courses: under 10 minutes on two cores."""
    track: str = "both"
    """What is judged: memory (alone), generative (in the world), or both."""
    protocols: str = ""
    """Which protocols, "S1,S3"; default: S1 to S8."""
    seeds: int | None = None
    """Mazes, from seed 0; default: 5, or 2 with --quick."""
    frames: Path | None = None
    """Judge a video of yours instead: a folder with frames/00000.png and so on, or a video, and
    poses.json; see docs/memory_bench.md."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.bench.memory.plan import make_plan
        from worldrt.bench.memory.run import bench_folder, bench_memory
        from worldrt.bench.memory.table import WIDTH, folder_table, tables

        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        if self.frames is not None:
            self._check_alone()
            report = bench_folder(self.frames, self.out)
            console.print(folder_table(report))
        else:
            plan = make_plan(self.world, self.quick, self.track, self.protocols, self.seeds)
            report = bench_memory(plan, self.out)
            for table in tables(report):
                console.print(table)
        print(msgspec.json.encode(report).decode())

    def _check_alone(self) -> None:
        """Raise ConfigError where a walk is described and none is walked."""
        described = {
            "--quick": self.quick,
            "--track": self.track != "both",
            "--protocols": bool(self.protocols),
            "--seeds": self.seeds is not None,
        }
        given = [name for name, said in described.items() if said]
        check(
            not given,
            f"A video is scored as it is: {', '.join(given)} with --frames means nothing; leave "
            f"{'it' if len(given) == 1 else 'them'} out.",
        )


@dataclass(frozen=True, kw_only=True)
class BenchSpeed:
    """State what a block must cost on this machine, measure it, and show the gap."""

    world: str | None = None
    """A shipped world, or a folder; default: --model."""
    model: str = "small"
    """A size with random weights: wan-1.3b, wan-14b or small (384 wide, 6 layers)."""
    size: tuple[int, int] = (208, 128)
    """Width and height of a model's frames in pixels."""
    policy: str | None = None
    """Cache policy; default: the world's own, or the last frames of --context."""
    context: int = 9
    """Latent frames that a model's cache keeps."""
    steps: int = 4
    """Denoising steps of a model; the clean pass comes on top."""
    dtype: str = "fp32"
    """What the transformer is computed in: fp32, bf16 or auto."""
    device: str | None = None
    """cpu or cuda; default: cuda where there is one."""
    blocks: int = 20
    """How many are timed."""
    plain: bool = False
    """Time a straightforward loop (everything put together anew each pass, rotation in float64)
    with the same model beside it, in turns."""
    trace: Path | None = None
    """Write a Chrome trace of three blocks to this file."""
    out: Path | None = None
    """Write the report to this file, too."""

    def run(self) -> None:
        from dataclasses import asdict

        import msgspec
        from rich.console import Console

        from worldrt.bench.speed.run import Order, bench_speed

        report = bench_speed(Order(**asdict(self)), Console(highlight=False))
        print(msgspec.json.encode(report).decode())


@dataclass(frozen=True, kw_only=True)
class BenchLatency:
    """Measure how long a key takes to the screen, and how evenly frames come.

    A server in a process of its own; keys pressed at random, in the Python client and in a headless
    browser.
    """

    world: tyro.conf.Positional[str] = "maze"
    """A shipped world, or a folder."""
    out: Path = Path("out/latency")
    """Folder for report.json, latency.png and the server's log."""
    seconds: float = 60.0
    """That each client walks."""
    client: Literal["python", "browser", "both"] = "both"
    """Who walks; the browser needs playwright and Chromium."""

    def run(self) -> None:
        import msgspec
        from rich.console import Console

        from worldrt.bench.latency import DRIVERS, bench_latency, expect
        from worldrt.bench.policy_table import WIDTH

        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        console.print(expect(self.world))
        clients = tuple(DRIVERS) if self.client == "both" else (self.client,)
        report, table = bench_latency(self.world, self.out, self.seconds, clients)
        console.print(table)
        print(msgspec.json.encode(report).decode())


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure a world; figures, plots and pictures go to a folder."""

    part: (
        Annotated[BenchWorld, tyro.conf.subcommand("world")]
        | Annotated[BenchSoak, tyro.conf.subcommand("soak")]
        | Annotated[BenchPolicies, tyro.conf.subcommand("policies")]
        | Annotated[BenchGrowth, tyro.conf.subcommand("growth")]
        | Annotated[BenchMemory, tyro.conf.subcommand("memory")]
        | Annotated[BenchLatency, tyro.conf.subcommand("latency")]
        | Annotated[BenchSpeed, tyro.conf.subcommand("speed")]
    )
    """What to measure."""

    def run(self) -> None:
        self.part.run()

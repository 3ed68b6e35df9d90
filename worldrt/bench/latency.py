"""`worldrt bench latency`: how long a key takes to the screen, and how evenly frames come.

What it must cost: with blocks of P seconds, of which the input is latched when one begins, a key
waits for the next block, 0 to P, and is seen one block's generation G later, and what transport and
client add. A world just fast enough (G = P) lags 1.5 P in the mean and 2 P at worst; one that makes
blocks in no time still lags P / 2 and P.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import numpy as np
import torch
from rich.progress import Progress, TaskID
from rich.table import Table

from worldrt.bench.drivers import SETTLE_S, Driver, Seen, drive_browser, drive_python
from worldrt.bench.latency_plots import plot_latency
from worldrt.bench.presses import random_presses
from worldrt.checkpoints.files import write_bytes
from worldrt.client.lag import Stages
from worldrt.config import WorldConfig, check, load
from worldrt.doctor import Machine
from worldrt.doctor import measure as measure_machine
from worldrt.errors import ConfigError, OutputError, ServerError
from worldrt.world import MANIFEST, find_world

DRIVERS: dict[str, Driver] = {"python": drive_python, "browser": drive_browser}
LEAST_S = 10.0
"""Seconds of a measurement, at least."""
OWN = ("queue_ms", "generate_ms", "decode_ms")
"""Stages that are the world's: waiting for its next block, and making it."""
OVERHEAD_MS = 100.0
"""Milliseconds that all other stages together may take, 95 times of 100."""
BLOCKS = 1.5
"""Blocks that motion to photon may take beside OVERHEAD_MS, 95 times of 100."""
TOO_LONG_MS = 250.0
"""Milliseconds that no frame may stand."""
SEED = 0
"""Of the keys."""
LOOK_S = 0.2
"""Seconds between two looks at whether the server is ready."""
PARTING_S = 10.0
"""Seconds that the server has to end."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        p50, p95, p99 = np.percentile(values, (50, 95, 99)).round(1).tolist()
        return cls(p50=p50, p95=p95, p99=p99)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of client saw."""

    client: str
    seconds: float
    keys: int
    """Keys that went down or up and were seen through."""
    lag: Spread
    """From the key to the first frame that obeys it."""
    stages: dict[str, Spread]
    """Its parts, see `worldrt.client.lag.Stages`."""
    overhead: Spread
    """All stages but OWN."""
    fps: float
    """Frames shown a second."""
    dropped: int
    stalls: int
    longest_ms: float
    load: float
    """Of the machine in the last minute."""
    goals: dict[str, bool]
    """Whether they are met."""


class LatencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `report.json` holds."""

    world: str
    fps: float
    """At which it is meant to be watched."""
    block_frames: int
    block_ms: float
    """Of frames on the screen: P."""
    target_ms: float
    """Of the 95th percentile of the lag."""
    machine: Machine
    torch: str
    date: str
    clients: list[Measured]


def bench_latency(
    name: str, out: Path, seconds: float, clients: Sequence[str]
) -> tuple[LatencyReport, Table]:
    """Serve a world in a process of its own, walk in it, and write `report.json` and `latency.png`.

    Args:
        name: of the world.
        out: folder, made if need be.
        seconds: that each client walks, at least LEAST_S.
        clients: names in DRIVERS, one after the other.

    Raises:
        ConfigError, OutputError, BackendUnavailable, ServerError: nothing is written.
    """
    check(
        seconds >= LEAST_S,
        f"{seconds:g} s are too short to measure a lag; ask for {LEAST_S:g} or more.",
    )
    for client in clients:
        if client not in DRIVERS:
            raise ConfigError.unknown("client", client, DRIVERS)
    config = load(find_world(name) / MANIFEST, WorldConfig)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    block_ms = 1e3 * config.block_frames / config.fps
    target = BLOCKS * block_ms + OVERHEAD_MS
    presses = random_presses(SEED, seconds - SETTLE_S)
    seen: dict[str, Seen] = {}
    measured = []
    with serving(name, out) as url, Progress() as progress:
        for client in clients:
            task = progress.add_task(client, total=seconds)
            seen[client] = DRIVERS[client](url, presses, seconds, partial(_tick, progress, task))
            measured.append(measure(client, seen[client], target))
    report = LatencyReport(
        world=config.name,
        fps=config.fps,
        block_frames=config.block_frames,
        block_ms=round(block_ms, 1),
        target_ms=round(target, 1),
        machine=measure_machine(),
        torch=str(torch.__version__),
        date=date.today().isoformat(),
        clients=measured,
    )
    write_bytes(out / "report.json", msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    plot_latency(out / "latency.png", {name: each.samples for name, each in seen.items()}, target)
    return report, table(report)


def _tick(progress: Progress, task: TaskID, over_s: float) -> None:
    progress.update(task, completed=over_s)


def expect(name: str) -> Table:
    """What the lag of a world must cost by the length of its blocks, before anything is measured.

    Raises:
        ConfigError: no such world.
    """
    config = load(find_world(name) / MANIFEST, WorldConfig)
    period = 1e3 * config.block_frames / config.fps
    found = Table(
        title=f"{config.name}: blocks of {config.block_frames} frames at {config.fps:g} a second "
        f"are {period:.0f} ms; what a key must take, in ms, transport and client aside"
    )
    for heading in ("a block made in", "mean", "p95", "worst"):
        found.add_column(heading, justify="right")
    for share, what in ((0.0, "no time"), (0.25, "P / 4"), (0.5, "P / 2"), (1.0, "P")):
        made = share * period
        row = (made + part * period for part in (0.5, 0.95, 1.0))
        found.add_row(f"{what}, {made:.0f} ms", *(f"{ms:.0f}" for ms in row))
    return found


def measure(client: str, seen: Seen, target_ms: float) -> Measured:
    """The figures of what a client saw.

    Raises:
        ServerError: no key was seen through.
    """
    staged = [sample.stages for sample in seen.samples if sample.stages is not None]
    if not staged:
        raise ServerError(f"The {client} client saw none of its keys in {seen.seconds:g} s.")
    parts = {name: [getattr(each, name) for each in staged] for name in Stages.__struct_fields__}
    others = np.sum([values for name, values in parts.items() if name not in OWN], axis=0)
    lag = Spread.of([sample.lag_ms for sample in seen.samples])
    overhead = Spread.of(others)
    return Measured(
        client=client,
        seconds=seen.seconds,
        keys=len(seen.samples),
        lag=lag,
        stages={name.removesuffix("_ms"): Spread.of(values) for name, values in parts.items()},
        overhead=overhead,
        fps=round(seen.shown / seen.seconds, 2),
        dropped=seen.dropped,
        stalls=seen.stalls,
        longest_ms=round(seen.longest_ms, 1),
        load=round(os.getloadavg()[0], 2),
        goals={
            "lag": lag.p95 <= target_ms,
            "overhead": overhead.p95 <= OVERHEAD_MS,
            "stalls": seen.stalls == 0,
        },
    )


def table(report: LatencyReport) -> Table:
    """All clients and stages beside each other."""
    found = Table(title=f"{report.world}: motion to photon, ms")
    found.add_column("")
    for each in report.clients:
        for part in ("p50", "p95", "p99"):
            found.add_column(f"{each.client} {part}", justify="right")
    rows = {"input": "key to server", "queue": "to the next block", "generate": "block"}
    for stage in Stages.__struct_fields__:
        name = stage.removesuffix("_ms")
        found.add_row(rows.get(name, name), *_cells(each.stages[name] for each in report.clients))
    found.add_section()
    found.add_row("overhead", *_cells(each.overhead for each in report.clients))
    found.add_row("the whole", *_cells(each.lag for each in report.clients))
    found.caption = "\n".join(_sentence(each, report) for each in report.clients)
    return found


def _cells(spreads: Iterable[Spread]) -> list[str]:
    return [f"{ms:.0f}" for each in spreads for ms in (each.p50, each.p95, each.p99)]


def _sentence(each: Measured, report: LatencyReport) -> str:
    missed = [name for name, met in each.goals.items() if not met]
    verdict = f"missed: {', '.join(missed)}" if missed else "all goals met"
    return (
        f"{each.client}: {each.keys} keys in {each.seconds:g} s; {each.fps:g} of {report.fps:g} "
        f"fps, {each.dropped} dropped, {each.stalls} stalls, longest {each.longest_ms:.0f} ms; "
        f"lag p95 {each.lag.p95:.0f} of {report.target_ms:.0f} ms, overhead p95 "
        f"{each.overhead.p95:.0f} of {OVERHEAD_MS:.0f} ms; load {each.load:g}; {verdict}"
    )


def _loaded(url: str) -> bool:
    try:
        with urlopen(f"{url}healthz", timeout=PARTING_S) as answer:
            return msgspec.json.decode(answer.read())["status"] == "ok"
    except (URLError, TimeoutError):
        return False


@contextmanager
def serving(name: str, out: Path) -> Iterator[str]:
    """A server of a world in a process of its own, and the address of its page.

    Args:
        name: of the world.
        out: where its log goes, `server.log`.

    Raises:
        ServerError: it did not begin, with its last words.
    """
    log = out / "server.log"
    command = [sys.executable, "-m", "worldrt", "serve", name, "--port", "0"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--logs", str(out / "sessions")],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C is ours: it ends the server in its turn
        )
    assert process.stdout is not None
    try:
        address = re.search(r"http://\S+", process.stdout.readline())
        while address is None or not _loaded(address[0]):
            if address is None or process.poll() is not None:
                process.wait()
                last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
                raise ServerError(f"The server of {name!r} did not begin: {last}")
            time.sleep(LOOK_S)
        yield address[0]
    finally:
        process.terminate()
        try:
            process.wait(PARTING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

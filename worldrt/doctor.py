"""`worldrt doctor`: what this machine can do, and what it lacks with the command that gets it."""

import os
import platform
import shutil
import sys
from pathlib import Path

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

import worldrt
from worldrt.config import WorldConfig, load
from worldrt.errors import BackendUnavailable, WorldrtError
from worldrt.parts import GIB, PARTS, Finding, examine

CHECKPOINTS = Path(worldrt.__file__).parent / "checkpoints"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine itself."""

    worldrt: str
    python: str
    platform: str
    cores: int
    """Cores that this process may use."""
    memory_gib: float
    """The machine's memory, or its container's limit where that is less."""
    disk_free_gib: float
    """Free where the command was run."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A world in `checkpoints/`."""

    name: str
    usable: bool
    detail: str
    """Its summary, or why its `world.toml` can't be read."""
    mib: float
    """All its files."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that the doctor found out."""

    machine: Machine
    parts: list[Finding]
    worlds: list[World]

    def require(self) -> None:
        """Raise BackendUnavailable for the first missing part that nothing works without."""
        for finding in self.parts:
            if finding.required and not finding.found:
                what = f"{finding.part} ({finding.detail})"
                raise BackendUnavailable(what, f"get it with: {finding.remedy}")


def memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Bytes of memory, at most the control group's limit in the file `limit`."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return total if text == "max" else min(total, int(text))


def measure() -> Machine:
    """Measure the machine that this runs on."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Machine(
        worldrt=worldrt.__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=cores,
        memory_gib=round(memory() / GIB, 1),
        disk_free_gib=round(shutil.disk_usage(Path.cwd()).free / GIB, 1),
    )


def find_worlds(folder: Path) -> list[World]:
    """Worlds in `folder`: each subfolder that holds a `world.toml`, by name."""
    worlds = []
    for path in sorted(folder.glob("*/world.toml")):
        try:
            usable, detail = True, load(path, WorldConfig).summary
        except WorldrtError as error:
            usable, detail = False, str(error)
        size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
        mib = round(size / 2**20, 1)
        worlds.append(World(name=path.parent.name, usable=usable, detail=detail, mib=mib))
    return worlds


def diagnose() -> Report:
    """Measure this machine, look for every part and list the worlds."""
    return Report(
        machine=measure(),
        parts=[examine(part) for part in PARTS],
        worlds=find_worlds(CHECKPOINTS),
    )


def verdict(good: bool, otherwise: str, needed: bool) -> Text:
    """`ok`, or the word `otherwise`, red where it is needed and yellow where it is not."""
    return Text("ok", "green") if good else Text(otherwise, "bold red" if needed else "yellow")


def tables(report: Report) -> Group:
    """The report as tables for a terminal."""
    machine = report.machine
    head = Text(
        f"worldrt {machine.worldrt}, Python {machine.python}, {machine.platform}\n"
        f"{machine.cores} cores, {machine.memory_gib} GiB of memory, "
        f"{machine.disk_free_gib} GiB of disk free\n"
    )
    parts = Table("part", "", "found", "what for", box=None, pad_edge=False, header_style="bold")
    for finding in report.parts:
        status = verdict(finding.found, "missing", finding.required)
        parts.add_row(finding.part, status, Text(finding.detail), finding.purpose)
    worlds = Table("world", "", "MiB", "", box=None, pad_edge=False, header_style="bold")
    for world in report.worlds:
        status = verdict(world.usable, "broken", True)
        worlds.add_row(world.name, status, f"{world.mib}", Text(world.detail))
    if not report.worlds:
        worlds.add_row("none", "", "", Text("a world is a folder in checkpoints/ with world.toml"))
    missing = [finding for finding in report.parts if not finding.found]
    if not missing:
        return Group(head, parts, Text(), worlds)
    remedies = Table("to get", "run", box=None, pad_edge=False, header_style="bold")
    for finding in missing:
        remedies.add_row(finding.part, Text(finding.remedy))
    return Group(head, parts, Text(), worlds, Text(), remedies)

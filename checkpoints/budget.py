"""Memory that weights need against memory there is: said before anything is allocated."""

import os
import resource
import sys
from pathlib import Path

import torch

from worldrt.errors import CheckpointError

GROUP = Path("/sys/fs/cgroup")
GIB = 2**30


def free_host(group: Path = GROUP) -> int:
    """Bytes of memory that this process can still take.

    Args:
        group: folder of its control group, whose limit counts where it has one.

    Returns:
        The least of what the machine, the control group and the process's own limit leave.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    free = [_machine(page)]
    limit, used = group / "memory.max", group / "memory.current"
    if limit.is_file() and (text := limit.read_text().strip()) != "max":
        free.append(int(text) - int(used.read_text()) + _reclaimable(group))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    if own != resource.RLIM_INFINITY and sys.platform == "linux":
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * page
        free.append(own - taken)
    return max(0, min(free))


def _machine(page: int) -> int:
    """What the machine can give without writing to disk."""
    table = Path("/proc/meminfo")
    if not table.is_file():
        return os.sysconf("SC_PHYS_PAGES") * page
    lines = dict(line.split(":") for line in table.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _reclaimable(group: Path) -> int:
    """Bytes of the group that are copies of files, given up when room is needed."""
    table = group / "memory.stat"
    if not table.is_file():
        return 0
    lines = dict(line.split() for line in table.read_text().splitlines())
    return int(lines.get("inactive_file", 0))


def check_room(what: str, stays: int, passing: int, device: torch.device) -> None:
    """Refuse weights that do not fit, before any of them is read.

    Args:
        what: they are, for the sentence.
        stays: bytes of the loaded weights, on `device`.
        passing: bytes of host memory besides, while they are read.
        device: where they go.

    Raises:
        CheckpointError: they do not fit.
    """
    host = passing + (stays if device.type == "cpu" else 0)
    _compare(what, host, free_host(), "this machine")
    if device.type == "cuda":
        _compare(what, stays, torch.cuda.mem_get_info(device)[0], str(device))


def _compare(what: str, needed: int, free: int, where: str) -> None:
    if needed > free:
        raise CheckpointError(
            f"{what} needs {_size(needed)} of memory to load, {where} has {_size(free)} free; free "
            "some, or take a smaller model or type."
        )


def _size(number: int) -> str:
    return f"{number / GIB:.2f} GiB" if number >= GIB else f"{number / 2**20:.0f} MiB"

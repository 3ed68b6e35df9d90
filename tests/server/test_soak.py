"""Ten thousand chunks through a socket: the server is as large at the end as after its warm-up."""

import asyncio
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.asyncio.client import connect as dial

from tests.server.guests import Guest
from worldrt.protocol import requests
from worldrt.protocol.terms import VERSION

WARM_UP, CHUNKS = 2_000, 10_000
BLOCK = 4
SPARE = 3
"""Threads of pools that are not full until they were busy: coders and readers."""


class Size(NamedTuple):
    """A process as the system sees it."""

    resident_mb: float
    files: int
    threads: int


def measure(url: str, pid: int) -> Size:
    """By the server's own /metrics, and the folder of its threads."""
    with urllib.request.urlopen(url + "metrics") as answer:
        lines = answer.read().decode().splitlines()
    told = dict(line.split(" ") for line in lines if line.startswith("process_"))
    return Size(
        float(told["process_resident_memory_bytes"]) / 1e6,
        int(float(told["process_open_fds"])),
        len(list(Path(f"/proc/{pid}/task").iterdir())),
    )


async def walk(url: str, pid: int) -> list[Size]:
    sizes = []
    async with dial(url.replace("http", "ws", 1), compression=None) as connection:
        one = Guest(connection)
        await one.say(requests.Hello(versions=(VERSION,)))
        ready = await one.begin()
        for chunk in range(WARM_UP + CHUNKS + 1):
            if chunk >= WARM_UP and (chunk - WARM_UP) % 1000 == 0:
                sizes.append(await asyncio.to_thread(measure, url, pid))
                print(chunk, sizes[-1])
            if chunk % 5 == 0:
                keys = 1 << chunk // 5 % 8
                await one.say(requests.Input(seq=1 + chunk, t_us=chunk, keys=keys))
            frame = [await one.packet() for _ in range(BLOCK)][-1].header.frame
            await one.say(requests.Ack(epoch=ready.epoch, frame=frame, shown_us=chunk))
            one.messages.clear()
    return sizes


@pytest.mark.slow
def test_nothing_grows_in_ten_thousand_chunks(world_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worldrt", "serve", str(world_folder), "--port", "0"]
    with subprocess.Popen(
        [*command, "--lifetime-s", "1e6"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        sizes = asyncio.run(walk(url, server.pid))
        server.terminate()
    first, last = sizes[0], sizes[-1]
    assert last.resident_mb - first.resident_mb < 2, sizes
    assert first.files == last.files, sizes
    assert last.threads <= first.threads + SPARE, sizes

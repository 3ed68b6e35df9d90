"""Memory needed against memory there is."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worldrt.checkpoints import budget
from worldrt.checkpoints.budget import GIB, check_room, free_host
from worldrt.errors import CheckpointError


def test_a_group_s_limit_counts_and_its_file_cache_does_not(tmp_path: Path) -> None:
    assert 2**20 < free_host(tmp_path) < 2**50
    (tmp_path / "memory.max").write_text("max\n")
    assert 2**20 < free_host(tmp_path) < 2**50
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert free_host(tmp_path) == 1000
    (tmp_path / "memory.stat").write_text("anon 1200\ninactive_file 700\n")
    assert free_host(tmp_path) == 1700
    (tmp_path / "memory.current").write_text("9000\n")
    assert free_host(tmp_path) == 0


def test_the_process_s_own_limit_counts() -> None:
    program = (
        "import resource, pathlib; from worldrt.checkpoints.budget import free_host;"
        "taken = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * 4096;"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + 2**26, resource.RLIM_INFINITY));"
        "print(free_host())"
    )
    if sys.platform != "linux" or resource.getpagesize() != 4096:
        pytest.skip("reads /proc in pages of 4 KiB")
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(result.stdout) == pytest.approx(2**26, abs=2**22)


@pytest.mark.parametrize(
    "stays, passing, says",
    [
        (GIB, GIB // 2, None),
        (
            2 * GIB,
            GIB,
            "w.pt needs 3.00 GiB of memory to load, this machine has 1.75 GiB free; free some, or "
            "take a smaller model or type.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, stays: int, passing: int, says: str | None
) -> None:
    monkeypatch.setattr(budget, "free_host", lambda: 7 * GIB // 4)
    if says is None:
        check_room("w.pt", stays, passing, torch.device("cpu"))
        return
    with pytest.raises(CheckpointError) as caught:
        check_room("w.pt", stays, passing, torch.device("cpu"))
    assert str(caught.value) == says


def test_a_device_needs_what_stays_and_the_host_what_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "free_host", lambda: GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 * GIB, 9 * GIB))
    cuda = torch.device("cuda:1")
    check_room("w.pt", 4 * GIB, GIB, cuda)
    with pytest.raises(CheckpointError, match="needs 6.00 GiB of memory to load, cuda:1 has 5.00"):
        check_room("w.pt", 6 * GIB, GIB, cuda)
    with pytest.raises(CheckpointError, match="needs 2.00 GiB of memory to load, this machine has"):
        check_room("w.pt", 4 * GIB, 2 * GIB, cuda)

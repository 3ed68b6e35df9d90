import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from worldrt import parts
from worldrt.parts import PARTS, Absent, Part, examine, remedy, version


def part(module: str, *libraries: str) -> Part:
    return Part(
        name="Thing",
        probe=version(module),
        purpose="things",
        remedy="pip install thing",
        libraries=libraries,
    )


def test_a_found_part_tells_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_thing.py").write_text("__version__ = '7.5'")
    monkeypatch.syspath_prepend(tmp_path)
    finding = examine(part("found_thing"))
    assert (finding.found, finding.detail, finding.remedy) == (True, "7.5", "")


def test_a_part_that_is_not_installed_names_the_command() -> None:
    finding = examine(part("no_such_thing"))
    assert (finding.found, finding.detail) == (False, "not installed")
    assert finding.remedy == "pip install thing"


@pytest.mark.parametrize(
    "source, detail, command",
    [
        (
            "raise ImportError('libGL.so.1: cannot open shared object file: No such file')",
            "ImportError: libGL.so.1: cannot open shared object file: No such file",
            "apt-get install -y libgl1",
        ),
        (
            "raise OSError('libodd.so.3: cannot open shared object file')",
            "OSError: libodd.so.3: cannot open shared object file",
            "apt-get install -y (the package of libodd.so.3)",
        ),
        ("raise AttributeError('no\\n  such')", "AttributeError: no such", "pip install thing"),
        ("import no_such_thing", "ModuleNotFoundError: No module named 'no_such_thing'", None),
    ],
)
def test_a_broken_part_tells_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    detail: str,
    command: str | None,
) -> None:
    name = tmp_path.name  # another module each time
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    finding = examine(part(name))
    assert (finding.found, finding.detail) == (False, detail)
    assert finding.remedy == (command or "pip install thing")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems ship these libraries otherwise")
def test_missing_system_libraries_come_first() -> None:
    finding = examine(part("no_such_thing", "libc.so.6", "libusb-1.0.so.999"))
    assert finding.remedy == (
        "apt-get install -y (the package of libusb-1.0.so.999) && pip install thing"
    )


def test_remedy_of_an_installed_part_leaves_out_pip() -> None:
    thing = part("thing")
    missing = ["libusb-1.0.so.0", "libGL.so.1"]
    assert remedy(thing, missing, True) == "apt-get install -y libusb-1.0-0 libgl1"
    assert remedy(thing, missing, False) == (
        "apt-get install -y libusb-1.0-0 libgl1 && pip install thing"
    )
    assert remedy(thing, [], True) == "pip install thing"


def test_every_listed_part_is_complete() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    for one in PARTS:
        assert one.purpose and one.remedy
        assert set(one.libraries) <= set(parts.DEBIAN), one.name


def test_required_parts_are_found_here() -> None:
    for one in PARTS:
        if one.required:
            assert examine(one).detail and examine(one).found, one.name


def test_browser_is_the_first_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Absent, match="none of chromium, "):
        parts.browser()
    for name in reversed(parts.BROWSERS):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert parts.browser() == str(tmp_path / name)


def test_cuda_tells_a_cpu_build_from_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(Absent, match="this torch is a CPU build"):
        parts.cuda()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Absent, match="torch for CUDA 13.0 sees no device or driver"):
        parts.cuda()


def test_cuda_lists_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [
        SimpleNamespace(name="H200", total_memory=140 * parts.GIB, major=9, minor=0),
        SimpleNamespace(name="T4", total_memory=15.6 * parts.GIB, major=7, minor=5),
    ]
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", devices.__getitem__)
    assert parts.cuda() == "H200, 140 GiB, sm_90; T4, 16 GiB, sm_75"

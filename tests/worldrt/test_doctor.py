import io
import os
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from worldrt import config, doctor
from worldrt.config import (
    CameraConfig,
    CodecConfig,
    ModelConfig,
    MotionConfig,
    SamplerConfig,
    WorldConfig,
)
from worldrt.doctor import Machine, Report, World, find_worlds, measure, memory, tables
from worldrt.errors import BackendUnavailable
from worldrt.parts import Finding

WORLD = WorldConfig(
    name="meadow",
    summary="Grass as far as one sees.",
    fps=12,
    block_frames=4,
    policy="full",
    camera=CameraConfig(width=32, height=16, fx=16, fy=16),
    motion=MotionConfig(move_step=0.1, turn_step=4),
    model=ModelConfig(dim=12, num_heads=1, num_layers=1, ffn_dim=12, in_channels=3),
    codec=CodecConfig(channels=3),
    sampler=SamplerConfig(sigmas=(1.0,), prediction="clean"),
)


def finding(part: str, found: bool, required: bool = False) -> Finding:
    return Finding(
        part=part,
        found=found,
        detail="1.0" if found else "[red]not[/red] installed",
        purpose="tests",
        remedy="" if found else f"pip install {part}",
        required=required,
    )


def report(*parts: Finding, worlds: tuple[World, ...] = ()) -> Report:
    machine = Machine(
        worldrt="0.0",
        python="3.11",
        platform="Linux",
        cores=3,
        memory_gib=7.5,
        disk_free_gib=9.25,
    )
    return Report(machine=machine, parts=list(parts), worlds=list(worlds))


def shown(report: Report) -> list[list[str]]:
    """Words of each line of the tables."""
    screen = io.StringIO()
    Console(file=screen, width=120, highlight=False).print(tables(report))
    return [line.split() for line in screen.getvalue().splitlines()]


def test_the_machine_has_what_the_process_sees() -> None:
    machine = measure()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert 0 < machine.memory_gib and 0 <= machine.disk_free_gib
    assert machine.python.startswith("3.")


def test_memory_obeys_the_control_group(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = memory(limit)
    limit.write_text("max\n")
    assert memory(limit) == whole
    limit.write_text("1048576\n")
    assert memory(limit) == 1048576
    limit.write_text(f"{whole * 2}\n")
    assert memory(limit) == whole


def test_worlds_are_found_with_their_summary_or_the_reason(tmp_path: Path) -> None:
    assert find_worlds(tmp_path) == []
    for name, text in [("meadow", config.dump(WORLD)), ("bog", "name = 3"), ("fen", "=")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "world.toml").write_text(text)
    (tmp_path / "meadow" / "weights").write_bytes(bytes(3 * 2**20))
    (tmp_path / "no world").mkdir()
    bog, fen, meadow = find_worlds(tmp_path)
    assert (bog.name, bog.usable) == ("bog", False)
    assert "Expected `str`, got `int` - at `$.name`" in bog.detail
    assert (fen.usable, "can't be read" in fen.detail) == (False, True)
    assert meadow == World(name="meadow", usable=True, detail=WORLD.summary, mib=3.0)


def test_a_missing_required_part_is_an_error() -> None:
    report(finding("here", True, required=True), finding("extra", False)).require()
    with pytest.raises(BackendUnavailable) as error:
        report(finding("extra", False), finding("torch", False, required=True)).require()
    assert str(error.value) == (
        "torch ([red]not[/red] installed) is not available here; get it with: pip install torch."
    )


def test_tables_tell_every_part_once_and_every_remedy() -> None:
    world = World(name="bog", usable=False, detail="[b]damp[/b]", mib=1.5)
    lines = shown(report(finding("here", True), finding("gone", False), worlds=(world,)))
    assert "3 cores, 7.5 GiB of memory, 9.25 GiB of disk free".split() in lines
    assert ["here", "ok", "1.0", "tests"] in lines
    assert ["gone", "missing", "[red]not[/red]", "installed", "tests"] in lines
    assert ["gone", "pip", "install", "gone"] in lines
    assert ["here", "pip", "install", "here"] not in lines
    assert ["bog", "broken", "1.5", "[b]damp[/b]"] in lines


def test_tables_without_worlds_or_remedies() -> None:
    lines = shown(report(finding("here", True)))
    assert any(line[:4] == ["none", "a", "world", "is"] for line in lines)
    assert ["to", "get", "run"] not in lines


def test_json_round_trip() -> None:
    whole = report(finding("here", True), finding("gone", False))
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Report) == whole


def test_diagnosis_covers_the_parts_and_the_shipped_worlds() -> None:
    whole = doctor.diagnose()
    assert [found.part for found in whole.parts] == [part.name for part in doctor.PARTS]
    assert whole.worlds == find_worlds(Path("checkpoints"))
    assert all(world.usable for world in whole.worlds)

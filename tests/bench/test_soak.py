"""A long walk costs what a short one does, and the benchmark that says so."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from worldrt.bench.soak import WARM_UP, bench_soak
from worldrt.errors import ConfigError, OutputError
from worldrt.video import read_image


def test_soak_notes_the_state_as_it_goes(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    report, table = bench_soak(str(world_folder), out, WARM_UP + 10, None, "room")
    assert (report.world, report.policy) == ("tiny", "window")
    blocks = [row.block for row in report.rows]
    assert blocks == list(range(WARM_UP, WARM_UP + 11))
    assert len({(row.cache_bytes, row.memory_bytes) for row in report.rows}) == 1
    assert all(row.block_ms > 0 and row.process_mb > 50 for row in report.rows)
    points = [row.memory_points for row in report.rows]
    # The memory is full: what is worth least makes room.
    assert 0.9 * max(points) < min(points) <= max(points) < 2e6 / 32
    found = json.loads((out / "soak.json").read_text())
    assert found["rows"][-1]["block"] == WARM_UP + 10
    assert read_image(out / "soak.png").std() > 0
    console = Console(width=120, record=True, file=StringIO())
    console.print(table)
    text = console.export_text()
    assert "tiny, policy window" in text and f" {WARM_UP + 10} " in text


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "blocks"), [("window:sink=0,recent=8", 1000), ("pack", 5000)])
def test_nothing_grows_with_the_length_of_a_walk(
    world_folder: Path, tmp_path: Path, policy: str, blocks: int
) -> None:
    report, _ = bench_soak(str(world_folder), tmp_path, blocks, policy, "room")
    assert report.rows[-1].block == blocks
    assert len({(row.cache_bytes, row.memory_bytes) for row in report.rows}) == 1
    assert max(row.process_mb for row in report.rows) - report.rows[0].process_mb < 10


@pytest.mark.parametrize("blocks", [-1, 0, WARM_UP])
def test_soak_that_ends_before_it_is_warm_is_refused(
    world_folder: Path, tmp_path: Path, blocks: int
) -> None:
    with pytest.raises(ConfigError, match=f"{blocks} blocks ends before it is warm"):
        bench_soak(str(world_folder), tmp_path / "out", blocks, None, "room")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "world, start, policy, words",
    [
        ("nowhere", "room", None, "Unknown world 'nowhere'"),
        (None, "rom", None, "Unknown start 'rom'"),
        (None, "room", "windw", "Unknown policy 'windw'"),
    ],
)
def test_unknown_names_are_refused(
    world_folder: Path,
    tmp_path: Path,
    world: str | None,
    start: str,
    policy: str | None,
    words: str,
) -> None:
    with pytest.raises(ConfigError, match=words):
        bench_soak(world or str(world_folder), tmp_path / "out", 60, policy, start)


def test_folder_that_cannot_be_made_is_refused(world_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        bench_soak(str(world_folder), tmp_path / "file" / "out", 60, None, "room")

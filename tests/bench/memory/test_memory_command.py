"""`worldrt bench memory` as it is typed: what it asks for, and the line that it ends with."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from worldrt.bench.commands import Bench, BenchMemory
from worldrt.bench.memory.plan import Plan
from worldrt.errors import ConfigError


class Report(msgspec.Struct):
    """Stands for a report."""

    kind: str


def test_plan_is_what_was_said_and_the_last_line_is_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = []

    def note(plan: Plan, out: Path) -> Report:
        asked.append((plan, out))
        return Report("walked")

    monkeypatch.setattr("worldrt.bench.memory.run.bench_memory", note)
    monkeypatch.setattr("worldrt.bench.memory.table.tables", lambda report: iter(["a table"]))
    command = BenchMemory(out=tmp_path, quick=True, track="generative", protocols="S3,S4", seeds=3)
    Bench(part=command).run()
    assert asked == [
        (
            Plan(
                world="maze",
                quick=True,
                tracks=("generative",),
                protocols=("S3", "S4"),
                seeds=(0, 1, 2),
            ),
            tmp_path,
        )
    ]
    assert capsys.readouterr().out.splitlines() == ["a table", '{"kind":"walked"}']


def test_video_of_somebody_is_scored_in_place_of_a_world(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = []

    def note(folder: Path, out: Path) -> Report:
        asked.append((folder, out))
        return Report("video")

    monkeypatch.setattr("worldrt.bench.memory.run.bench_folder", note)
    monkeypatch.setattr("worldrt.bench.memory.table.folder_table", lambda report: "a table")
    BenchMemory(frames=tmp_path / "video", out=tmp_path).run()
    assert asked == [(tmp_path / "video", tmp_path)]
    assert capsys.readouterr().out.splitlines() == ["a table", '{"kind":"video"}']


def test_mistakes_are_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown track 'memori'"):
        BenchMemory(track="memori", out=tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"quick": True},
            "A video is scored as it is: --quick with --frames means nothing; leave it out.",
        ),
        (
            {"track": "memory", "seeds": 0},
            "A video is scored as it is: --track, --seeds with --frames means nothing; leave them "
            "out.",
        ),
        (
            {"protocols": "S1"},
            "A video is scored as it is: --protocols with --frames means nothing; leave it out.",
        ),
    ],
)
def test_a_video_is_no_walk(said: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        BenchMemory(frames=tmp_path / "video", out=tmp_path / "out", **said).run()
    assert str(caught.value) == sentence
    assert not (tmp_path / "out").exists()

"""Caches over many blocks: which of them grow, and what the benchmark says about it."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from worldrt import cli
from worldrt.bench import growth
from worldrt.bench.growth import (
    NOTES,
    SHAPE,
    SLACK,
    WARM_UP,
    GrowthCurve,
    GrowthRow,
    Walk,
    bench_growth,
    measure,
)
from worldrt.errors import ConfigError, OutputError
from worldrt.memory.policy import names
from worldrt.memory.slots import Region
from worldrt.video import read_image

LEAST = WARM_UP + NOTES


def made_up(policy: str, *, warm: int = 2000, last: int = 2000, old_ms: float = 1.0) -> GrowthCurve:
    rows = [
        GrowthRow(block=WARM_UP + note, block_ms=1.25, cache_bytes=last, process_mb=400.0)
        for note in range(1, NOTES + 1)
    ]
    return GrowthCurve(
        policy=policy,
        start_bytes=1000,
        warm_bytes=warm,
        rows=rows,
        old_ms=old_ms,
        young_ms=1.0,
        process_mb=0.5,
    )


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """No process is begun; what would have been measured, `full` growing."""
    asked: list[tuple[int, str]] = []

    def stand_in(
        work: partial[GrowthCurve], wanted: Sequence[str], left: str
    ) -> Iterator[tuple[str, GrowthCurve]]:
        assert left == "nothing was written"
        for policy in reversed(wanted):  # they come as they end
            asked.append((work.args[0], policy))
            yield policy, made_up(policy, last=3000 if policy == "full" else 2000)

    monkeypatch.setattr(growth, "spread", stand_in)
    return asked


@pytest.mark.parametrize("policy", ["window", "history", "state", "reground"])
def test_curve_of_a_bounded_policy_is_flat(policy: str) -> None:
    curve = measure(LEAST, policy)
    assert [row.block for row in curve.rows] == list(range(WARM_UP + 1, LEAST + 1))
    assert {row.cache_bytes for row in curve.rows} == {curve.warm_bytes}
    assert all(row.block_ms > 0 and row.process_mb > 50 for row in curve.rows)
    assert curve.old_ms > 0 and curve.young_ms > 0


def test_curve_of_the_policy_that_keeps_everything_rises_and_ends_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growth, "MOST_FULL", 180)
    curve = measure(10_000, "full")
    assert curve.rows[-1].block == 180
    assert curve.start_bytes < curve.warm_bytes < curve.rows[-1].cache_bytes and curve.grows


@pytest.mark.parametrize("policy", ["window", "pack", "history", "recompute", "state", "reground"])
def test_walk_is_a_rollout_of_whole_blocks(policy: str) -> None:
    walk = Walk(policy)
    with torch.inference_mode():
        assert all(walk.play() > 0 for _ in range(12))
    cache, size = walk.cache, SHAPE.block_frames
    assert cache.frames == 12 * size
    held = cache.occupancy()
    assert held[Region.RECENT].frames >= size
    assert held[Region.SINK].frames == {
        "window": size,
        "pack": size,
        "state": 1,
        "reground": 1,
    }.get(policy, 0)
    assert (held[Region.MID].tokens > 0) == (policy in ("pack", "history"))


@pytest.mark.parametrize(
    ("curve", "grows"),
    [
        (made_up("a"), False),
        (made_up("a", last=2001), True),
        (made_up("a", last=1999), True),
        (made_up("a", old_ms=SLACK), False),
        (made_up("a", old_ms=SLACK + 0.01), True),
        (made_up("a", old_ms=0.5), False),
    ],
)
def test_growth_is_bytes_that_change_or_blocks_that_take_longer(
    curve: GrowthCurve, grows: bool
) -> None:
    assert curve.grows == grows


def test_caches_are_played_in_processes_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    report, _ = bench_growth(out, LEAST, ["full", "longlive", "window:sink=0,recent=3"])
    # What keeps everything comes last.
    assert [c.policy for c in report.curves] == ["longlive", "window:sink=0,recent=3", "full"]
    assert [c.warm_bytes > c.start_bytes for c in report.curves] == [False, False, True]
    assert report.blocks == LEAST and report.machine.cores >= 1
    assert json.loads((out / "growth.json").read_text())["curves"][2]["policy"] == "full"
    assert read_image(out / "growth.png").std() > 5


def test_all_policies_are_played_and_the_last_line_is_the_report(
    tmp_path: Path, crew: list[tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["bench", "growth", "--out", str(tmp_path)])
    assert exit.value.code == 0
    assert sorted(policy for _, policy in crew) == names() and {n for n, _ in crew} == {10_000}
    *table, last = capsys.readouterr().out.splitlines()
    report = json.loads(last)
    assert report == json.loads((tmp_path / "growth.json").read_text())
    assert report["growing"] == ["full"]
    lines = [line.split() for line in table]
    wanted = ["full", "120", "1,000", "2,000", "3,000", "1.25", "1.25", "1.25", "1.00", "+0.5"]
    assert wanted in lines
    assert any("Grow: full." in line for line in table)


@pytest.mark.parametrize("blocks", [-1, 0, LEAST - 1])
def test_too_few_blocks_are_refused(
    tmp_path: Path, crew: list[tuple[int, str]], blocks: int
) -> None:
    with pytest.raises(ConfigError, match=f"^{blocks} blocks end .* ask for at least {LEAST}.$"):
        bench_growth(tmp_path / "out", blocks)
    assert list(tmp_path.iterdir()) == [] and crew == []


def test_mistakes_are_found_before_anything_is_played(
    tmp_path: Path, crew: list[tuple[int, str]]
) -> None:
    with pytest.raises(ConfigError, match="Unknown policy 'windw': did you mean 'window'"):
        bench_growth(tmp_path / "out", LEAST, ["window", "windw"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        bench_growth(tmp_path / "file" / "out", LEAST, ["window"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and crew == []

"""`worldrt bench latency`: its figures from known samples, and a real run on the tiny world."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from worldrt.bench.commands import Bench, BenchLatency
from worldrt.bench.drivers import Seen
from worldrt.bench.latency import LatencyReport, Spread, bench_latency, expect, measure, serving
from worldrt.client.lag import Sample, Stages
from worldrt.errors import ConfigError, OutputError, ServerError, WorldrtError


def sample(seq: int, lag_ms: float, stages: Stages | None) -> Sample:
    return Sample(seq=seq, t_us=0, shown_us=round(1000 * lag_ms), frame=seq, stages=stages)


def seen(samples: list[Sample], stalls: int = 0) -> Seen:
    return Seen(samples=samples, seconds=10.0, shown=148, dropped=2, stalls=stalls, longest_ms=99.0)


def text(table: Table) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_percentiles_are_those_of_the_samples() -> None:
    values = [float(value) for value in range(101)]
    assert Spread.of(values) == Spread(p50=50.0, p95=95.0, p99=99.0)


def test_figures_of_known_samples() -> None:
    stages = Stages(1.0, 100.0, 50.0, 5.0, 4.0, 3.0, 20.0, 2.0)
    samples = [sample(1, 185.0, stages), sample(2, 185.0, stages), sample(3, 400.0, None)]
    found = measure("python", seen(samples), target_ms=500.0)
    assert found.keys == 3 and found.fps == 14.8 and found.dropped == 2
    assert found.overhead == Spread(p50=30.0, p95=30.0, p99=30.0)
    assert found.stages["queue"].p50 == 100.0 and list(found.stages) == [
        "input", "queue", "generate", "decode", "encode", "network", "buffer", "display",
    ]  # fmt: skip
    assert found.lag == Spread.of([185.0, 185.0, 400.0])
    assert found.goals == {"lag": True, "overhead": True, "stalls": True}
    missed = measure("python", seen(samples, stalls=1), target_ms=300.0).goals
    assert missed == {"lag": False, "overhead": True, "stalls": False}


def test_a_client_that_saw_nothing_measured_nothing() -> None:
    with pytest.raises(ServerError, match="^The python client saw none of its keys in 10 s.$"):
        measure("python", seen([sample(1, 5.0, None)]), 500.0)


def test_what_it_must_cost_is_said_first() -> None:
    """Four frames at 15 a second are 267 ms: half a block of waiting, and the block itself."""
    found = text(expect("maze"))
    assert "267 ms" in found
    assert (
        "P, 267 ms │  400 │ 520 │   533" in found and "no time, 0 ms │  133 │ 253 │   267" in found
    )


@pytest.mark.parametrize(
    "wish, sentence",
    [
        ({"seconds": 9.0}, "9 s are too short to measure a lag; ask for 10 or more."),
        ({"clients": ["fax"]}, "Unknown client 'fax': choose one of browser, python."),
        ({"name": "mars"}, "Unknown world 'mars': choose one of maze."),
        ({"out": Path("/proc/x")}, "/proc/x can't be made (No such file or directory)."),
    ],
)
def test_misuse(wish: dict, sentence: str, tmp_path: Path) -> None:
    plain = {"name": "maze", "out": tmp_path / "out", "seconds": 10.0, "clients": ["python"]}
    with pytest.raises((ConfigError, OutputError)) as caught:
        bench_latency(**{**plain, **wish})
    assert str(caught.value) == sentence
    assert not list(tmp_path.glob("out/*"))


def test_a_server_that_does_not_begin_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorldrtError, match="^The server of 'mars' did not begin: .*Unknown world"):
        with serving("mars", tmp_path):
            pass


@pytest.mark.slow
def test_a_run_prints_what_it_found_and_ends_with_one_json_line(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = "both" if shutil.which("chromium") else "python"
    command = BenchLatency(world=str(world_folder), out=tmp_path, seconds=10.0, client=client)
    Bench(part=command).run()
    *lines, last = capsys.readouterr().out.splitlines()
    report = msgspec.json.decode(last, type=LatencyReport)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(last)
    assert report.target_ms == pytest.approx(1.5 * report.block_ms + 100, abs=0.2)
    assert [each.client for each in report.clients] == ["python", "browser"][: len(report.clients)]
    for each in report.clients:
        assert each.keys >= 6 and each.fps > 0
        assert 0 < each.lag.p50 <= each.lag.p95 <= each.lag.p99
    assert any("the whole" in line for line in lines)
    assert (tmp_path / "latency.png").stat().st_size > 0
    assert not any(tmp_path.glob("*.tmp"))

"""`worldrt bench speed` as a whole."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import msgspec
import pytest
import torch
from rich.console import Console

from worldrt.bench.speed import ceilings
from worldrt.bench.speed.run import Order, SpeedReport, bench_speed
from worldrt.errors import BackendUnavailable, ConfigError, OutputError

ORDER = Order(
    world=None,
    model="small",
    size=(48, 32),
    policy=None,
    context=6,
    steps=2,
    dtype="fp32",
    device="cpu",
    blocks=3,
    plain=False,
    trace=None,
    out=None,
)


@pytest.fixture(autouse=True)
def short_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "COPIED", 2**16)


def test_the_bound_comes_before_the_measurement(tmp_path: Path) -> None:
    shown = StringIO()
    order = replace(ORDER, plain=True, out=tmp_path / "speed.json")
    report = bench_speed(order, Console(file=shown, width=120))
    text = shown.getvalue()
    assert text.index("must cost") < text.index("What it costs") < text.index("plain loop")
    assert msgspec.json.decode((tmp_path / "speed.json").read_bytes(), type=SpeedReport) == report
    assert report.keys == report.tokens + 6 * 6  # six frames of 2 x 3 tokens
    assert report.bound_ms == pytest.approx(sum(row.bound_ms for row in report.kinds), rel=0.01)
    assert report.gap == pytest.approx(report.block_ms / report.bound_ms, rel=0.01)
    assert report.latent_fps == pytest.approx(3000 / report.block_ms, rel=0.01)
    assert report.plain_ms and report.beside_plain_ms and report.speedup
    assert (report.width, report.height, report.steps) == (48, 32, 2)


def test_half_the_precision_has_half_the_cache() -> None:
    console = Console(file=StringIO())
    wide = bench_speed(ORDER, console)
    narrow = bench_speed(replace(ORDER, dtype="bf16"), console)
    assert narrow.dtype == "bfloat16" and wide.dtype == "float32"
    assert narrow.cache_mb == pytest.approx(wide.cache_mb / 2, rel=0.02)


def test_a_world_is_measured(world_folder: Path) -> None:
    report = bench_speed(replace(ORDER, world=str(world_folder)), Console(file=StringIO()))
    assert report.subject == "tiny" and report.latent_fps > 0


@pytest.mark.parametrize(
    "change, kind, sentence",
    [
        ({"blocks": 2}, ConfigError, "2 blocks can't be timed; ask for 3 to 1000."),
        ({"dtype": "fp8"}, ConfigError, "Unknown dtype 'fp8': choose one of auto, bf16, fp32."),
        ({"device": "disk"}, ConfigError, "Unknown device 'disk': choose one of cpu, cuda."),
        (
            {"out": Path("/nowhere/at/all.json")},
            OutputError,
            "The folder /nowhere/at does not exist; make it first.",
        ),
    ],
)
def test_what_can_not_be_measured(
    change: dict[str, object], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        bench_speed(replace(ORDER, **change), Console(file=StringIO()))  # type: ignore[arg-type]
    assert str(caught.value) == sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(BackendUnavailable):
        bench_speed(replace(ORDER, device="cuda"), Console(file=StringIO()))

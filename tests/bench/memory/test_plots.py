"""The plots of the memory benchmark are written, and show something."""

from pathlib import Path

from worldrt.bench.memory.plots import plot_bars, plot_scale
from worldrt.bench.memory.report import Outcome, ScaleRow, Times, gather
from worldrt.video import read_image


def test_bars_show_what_has_the_figure(tmp_path: Path) -> None:
    cells = gather(
        Outcome("memory", course[:2], course, system, seed, {"psnr_seen": base + seed})
        for course in ("S1-yaw", "S2-loop")
        for system, base in (("none", 8.0), ("map", 25.0))
        for seed in range(3)
    )
    cells += gather([Outcome("memory", "S3", "S3-detour", "random", 0, {"bytes": 1.0})])
    path = tmp_path / "bars.png"
    plot_bars(path, cells, "psnr_seen", "Seen", "dB")
    assert read_image(path).std() > 10


def test_scale_has_lines_for_maps_and_for_what_keeps_all(tmp_path: Path) -> None:
    rows = [
        ScaleRow(
            system=system,
            budget_mb=budget,
            frames=frames,
            points=5,
            bytes=7,
            insert_ms=Times(p50=2, p99=3) if budget else None,
            retrieve_ms=Times(p50=frames / 100, p99=9),
            psnr=None,
        )
        for system, budget in (("map", 8), ("map", 64), ("frames:nearest", 0))
        for frames in (500, 1000)
    ]
    path = tmp_path / "scale.png"
    plot_scale(path, rows)
    assert read_image(path).std() > 10

"""The plots of the memory benchmark are written, and show something."""

from pathlib import Path

from worldrt.bench.memory.plots import plot_ages, plot_bars, plot_scale
from worldrt.bench.memory.report import Ages, Outcome, ScaleRow, Times, gather
from worldrt.video import read_image

NEVER = Ages(shown=[], chosen=[])


def test_bars_show_what_has_the_figure(tmp_path: Path) -> None:
    cells = gather(
        Outcome("memory", course[:2], course, system, seed, {"psnr_seen": base + seed}, NEVER)
        for course in ("S1-yaw", "S2-loop")
        for system, base in (("none", 8.0), ("map", 25.0))
        for seed in range(3)
    )
    cells += gather([Outcome("memory", "S3", "S3-detour", "random", 0, {"bytes": 1.0}, NEVER)])
    path = tmp_path / "bars.png"
    plot_bars(path, cells, "psnr_seen", "Seen", "dB")
    assert read_image(path).std() > 10


def test_ages_have_a_line_for_each_course_that_shows_any(tmp_path: Path) -> None:
    told = [
        Outcome("memory", "S1", course, "map", 0, {}, Ages(shown=shown, chosen=[]))
        for course, shown in (("S1-yaw", [1.0, *[0.0] * 10]), ("S1-forward-16", [1 / 11] * 11))
    ]
    one, two, three = (tmp_path / f"{name}.png" for name in ("one", "two", "three"))
    plot_ages(one, gather(told[:1]))
    plot_ages(two, gather(told))
    plot_ages(three, gather([*told, told[0]._replace(course="S1-never", ages=NEVER)]))
    assert (read_image(one) != read_image(two)).any()
    assert (read_image(two) == read_image(three)).all()


def test_scale_has_lines_for_maps_and_for_what_keeps_all(tmp_path: Path) -> None:
    rows = [
        ScaleRow(
            system=system,
            budget_mb=budget,
            frames=frames,
            points=5,
            bytes=7,
            peak_mb=9.5,
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

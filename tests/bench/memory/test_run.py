"""The benchmark of memory from the plan to the files: jobs, report, plots and contact sheets."""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import cv2
import msgspec
import pytest
from rich.console import Console

from tests.bench.memory.rooms import there_and_back, truth_of
from worldrt.bench.memory import run
from worldrt.bench.memory.plan import Plan, make_plan
from worldrt.bench.memory.report import MemoryReport, Million, Times
from worldrt.bench.memory.run import bench_folder, bench_memory, play
from worldrt.bench.memory.table import folder_table, tables
from worldrt.errors import ConfigError, InputError, OutputError
from worldrt.video import read_image

pytest.importorskip("vizdoom")

MILLION = Million(
    points=5,
    keyframes=1,
    bytes_a_point=60,
    retrieve_ms=Times(p50=1, p99=1),
    view_ms=Times(p50=1, p99=1),
    insert_ms=Times(p50=1, p99=1),
    save_s=0.1,
    load_s=0.1,
)


def one_by_one(
    work: Callable[[str], object], names: list[str], left: str, nouns: tuple[str, str]
) -> Iterator[tuple[str, object]]:
    """What `crew.spread` does, in this process, so that what is patched here holds."""
    assert left == "no report was written" and nouns == ("walk", "walks")
    return ((name, work(name)) for name in names)


@pytest.fixture(scope="module")
def found(
    world_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[MemoryReport, Path]:
    """Both tracks on the shortest courses of one maze, and scale in small."""
    out = tmp_path_factory.mktemp("memory") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "spread", one_by_one)
        patch.setattr(run, "SYSTEMS", ("none", "static", "frames:nearest", "map:coverage", "map"))
        patch.setattr(run, "BUDGET", 8_000_000)
        patch.setattr(run, "QUICK_MARKS", (16, 32))
        patch.setattr(run, "QUICK_BUDGETS", (4,))
        patch.setattr(run, "MAZES", 2)
        patch.setattr(run, "METHODS", ("nearest",))
        patch.setattr(run, "measure_million", lambda folder: MILLION)
        plan = make_plan(str(world_folder), True, "both", "S1,S8", 1)
        return bench_memory(plan, out), out


def test_report_is_written_whole(found: tuple[MemoryReport, Path]) -> None:
    report, out = found
    written = msgspec.json.decode((out / "report.json").read_bytes(), type=MemoryReport)
    assert written == report
    assert (report.world, report.quick, report.seeds) == ("tiny", True, [0])
    cells = {(cell.track, cell.course, cell.system) for cell in report.cells}
    for course in ("S1-forward-32", "S1-yaw"):
        for system in ("none", "static", "frames:nearest", "map:coverage", "map"):
            assert ("memory", course, system) in cells
    for system in ("none", "frames:nearest", "frames:montecarlo", "map"):
        assert ("generative", "S1-forward-32", system) in cells
    assert [(row.system, row.frames) for row in report.scale] == [
        ("map", 16),
        ("frames:nearest", 16),
        ("map", 32),
        ("frames:nearest", 32),
    ]
    assert set(report.exponents) == {"map 4 MB", "frames:nearest"}
    assert {"coverage@8 of the oracle's, S1", "ghosts, S1", "bytes a point"} < {
        goal.name for goal in report.goals
    }


def test_memory_is_better_than_none(found: tuple[MemoryReport, Path]) -> None:
    figures = {
        (cell.course, cell.system): cell.figures
        for cell in found[0].cells
        if cell.track == "memory"
    }
    for course in ("S1-forward-32", "S1-yaw"):
        ours, floor = figures[course, "map"], figures[course, "none"]
        assert ours["psnr_seen"].mean > floor["psnr_seen"].mean + 3
        assert 0 < ours["coverage"].mean <= 1.02 and floor["coverage"].mean == 0
        assert figures[course, "map:coverage"]["coverage"].mean > 0.8


def test_pictures_are_drawn(found: tuple[MemoryReport, Path]) -> None:
    names = {path.name for path in found[1].iterdir()}
    assert names == {
        "report.json",
        "memory-S1-forward-32.png",
        "memory-S1-yaw.png",
        "generative-S1-forward-32.png",
        "memory-psnr_seen.png",
        "memory-coverage.png",
        "memory-ages.png",
        "generative-psnr_seen.png",
        "scale.png",
    }
    assert all(read_image(found[1] / name).std() > 10 for name in names if name.endswith(".png"))


def test_tables_tell_it(found: tuple[MemoryReport, Path]) -> None:
    console = Console(width=170, record=True, file=StringIO())
    for table in tables(found[0]):
        console.print(table)
    text = console.export_text()
    assert "S1-forward-32" in text and "map:coverage" in text and "nan" not in text


def test_noise_and_movers_reach_the_memory(world_folder: Path, tmp_path: Path) -> None:
    """S6 has figures of the things that move, and S7 is worse than S2, which it is with noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "SYSTEMS", ("map",))
        patch.setattr(
            "worldrt.bench.memory.plan.QUICK_COURSES",
            {"memory": {"S2": ("S2-square",), "S6": ("S6-exit-moving-32",), "S7": ("S7-square",)}},
        )
        plan = make_plan(str(world_folder), True, "memory", "S2,S6,S7", 1)
        told = {job.protocol: play(plan, tmp_path, str(job))[0].figures for job in plan.jobs}
    assert told["S7"]["psnr_seen"] < told["S2"]["psnr_seen"]
    assert told["S7"]["absrel"] > 2 * told["S2"]["absrel"]
    assert {"liveness", "iou", "liveness_rotor"} < set(told["S6"])


def test_nothing_is_written_before_a_mistake_is_found(world_folder: Path, tmp_path: Path) -> None:
    plan = Plan(world="nowhere", quick=True, tracks=(), protocols=("S1",), seeds=(0,))
    with pytest.raises(ConfigError, match="Unknown world 'nowhere'"):
        bench_memory(plan, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    plan = make_plan(str(world_folder), True, "memory", "S4", 1)
    with pytest.raises(OutputError, match="can't be made"):
        bench_memory(plan, tmp_path / "file")


def test_videos_of_others_are_scored(tmp_path: Path) -> None:
    course = there_and_back(16)
    truth = truth_of(course)
    (tmp_path / "video" / "frames").mkdir(parents=True)
    for index, image in enumerate(truth.rgb):
        cv2.imwrite(str(tmp_path / f"video/frames/{index:05}.png"), image[..., ::-1])
    poses = [pose.reshape(-1).tolist() for pose in course.poses]
    (tmp_path / "video" / "poses.json").write_text(json.dumps({"world_from_camera": poses}))
    report = bench_folder(tmp_path / "video", tmp_path / "out")
    assert report.frames == 31 and report.revisits > 0 and report.figures["psnr_mg"] > 5
    assert json.loads((tmp_path / "out/report.json").read_text())["frames"] == 31
    console = Console(width=100, record=True, file=StringIO())
    console.print(folder_table(report))
    assert "psnr_mg" in console.export_text()
    with pytest.raises(InputError):
        bench_folder(tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "other").exists()

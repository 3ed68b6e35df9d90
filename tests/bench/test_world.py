"""The benchmark of memory: walks beside the truth, double turns, and what is written of them."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from tests.tiny import write_world
from worldrt.bench.world import FRAMES, Walk, WorldReport, bench_world, turn_twice, walk
from worldrt.errors import ConfigError, OutputError
from worldrt.video import read_image
from worldrt.world import World

pytest.importorskip("vizdoom")

Found = tuple[WorldReport, Table, Path]


@pytest.fixture(scope="module")
def found(world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The benchmark on one maze."""
    out = tmp_path_factory.mktemp("bench") / "new" / "folder"
    return (*bench_world(str(world_folder), out, 1, None), out)


@pytest.fixture(scope="module")
def walked(world: World) -> Walk:
    """The benchmark's walk from a single real frame."""
    return walk(world, 0, 0, None)


def test_report_is_written_whole(found: Found) -> None:
    report, _, out = found
    written = json.loads((out / "report.json").read_text())
    assert (report.world, report.policy, report.seeds) == ("tiny", "window", [0])
    assert written["walks"] == report.walks
    assert written["turn_psnr"] == report.turn_psnr
    assert written["fps"] == report.fps > 0
    names = {path.name for path in out.iterdir()}
    assert names == {"report.json", "psnr.png", "walk-0.png", "walk-48.png"}
    assert all(read_image(out / name).std() > 10 for name in names if name.endswith(".png"))


def test_figures_are_means_over_the_walk(found: Found, walked: Walk) -> None:
    means = found[0].walks["0"]
    assert len(walked.figures) == FRAMES
    for name in set().union(*walked.figures):
        values = [figures[name] for figures in walked.figures if name in figures]
        assert means[name] == pytest.approx(np.mean(values)), name
        assert means.get(f"last_{name}") == walked.figures[-1].get(name), name


def test_look_around_shows_more_of_what_comes(found: Found) -> None:
    walks = found[0].walks
    assert set(walks) == {"0", "48"}
    assert walks["48"]["seen"] > walks["0"]["seen"] > 0.05
    for figures in walks.values():
        assert figures["psnr_seen_splat"] > figures["psnr_seen_repeat"]


def test_walk_is_of_the_frames_that_it_says(walked: Walk) -> None:
    shape = (FRAMES, 48, 64, 3)
    assert walked.generated.shape == walked.truth.shape == walked.filling.shape == shape
    assert walked.milliseconds > 0
    # The way back has the positions of the way out, so its views are others.
    assert len({frame.tobytes() for frame in walked.truth}) > FRAMES // 2


def test_memory_alone_turns_the_same_way_twice(tmp_path: Path, world: World) -> None:
    """A world that adds nothing to its memory shows the second time what it showed the first."""
    still = World.load(str(write_world(tmp_path / "still", trained=False)))
    assert turn_twice(still, 0, None) > turn_twice(world, 0, None) + 5


def test_table_names_every_part(found: Found) -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(found[1])
    text = console.export_text()
    assert "tiny, 1 held-out mazes, 96 frames" in text
    assert all(word in text for word in ("seen", "novel", "splat, filled", "last real frame"))
    assert f"{found[0].turn_psnr['0']:.1f} dB" in text and "nan" not in text


@pytest.mark.parametrize("seeds", [0, -2])
def test_no_mazes_measure_nothing(world_folder: Path, tmp_path: Path, seeds: int) -> None:
    with pytest.raises(ConfigError, match=f"{seeds} mazes measures nothing"):
        bench_world(str(world_folder), tmp_path / "out", seeds, None)
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_are_refused(world_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown world 'nowhere'"):
        bench_world("nowhere", tmp_path, 1, None)
    with pytest.raises(ConfigError, match="Unknown policy 'windw'"):
        bench_world(str(world_folder), tmp_path, 1, "windw")


def test_folder_that_cannot_be_made_is_refused(world_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        bench_world(str(world_folder), tmp_path / "file", 1, None)

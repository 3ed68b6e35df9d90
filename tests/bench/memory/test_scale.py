"""Cost over the length of a history: rows, slopes and the map of many points."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.bench.memory.rooms import ROOM_CAMERA
from tests.tiny import look, standing
from worldrt.bench.memory.report import ScaleRow, Times
from worldrt.bench.memory.scale import exponents, measure_million, measure_scale
from worldrt.bench.memory.stream import Sight
from worldrt.errors import ConfigError


def turning(frames: int) -> Iterator[Sight]:
    """Round and round in the room."""
    for index in range(frames):
        pose = standing(0.3, -1.0, 11.0 * index)
        yield Sight(index, *look(pose), pose)


def test_rows_are_of_each_mark_and_each_system() -> None:
    rows = measure_scale(turning(99), ROOM_CAMERA, [20, 40], [2, 3], ["nearest", "last"])
    told = [(row.system, row.budget_mb, row.frames) for row in rows]
    systems = [("map", 2), ("map", 3), ("frames:nearest", 0), ("frames:last", 0)]
    assert told == [(*system, frames) for frames in (20, 40) for system in systems]
    assert sorted(row.peak_mb for row in rows) == [row.peak_mb for row in rows]
    for row in rows:
        assert row.peak_mb > row.bytes / 1e6
        assert 0 < row.retrieve_ms.p50 <= row.retrieve_ms.p99
        if row.budget_mb:
            assert row.insert_ms is not None and 0 < row.insert_ms.p50 <= row.insert_ms.p99
            assert row.bytes <= row.budget_mb * 1e6 and row.psnr is not None and row.psnr > 18
        else:
            assert row.insert_ms is None and row.psnr is None
            assert row.points == row.frames * 48 * 64 and row.bytes > 7 * row.points


def test_bytes_of_a_map_do_not_grow_and_those_of_all_frames_do() -> None:
    rows = measure_scale(turning(50), ROOM_CAMERA, [10, 30], [2], ["last"])
    maps, frames = (
        [row.bytes for row in rows if bool(row.budget_mb) is kind] for kind in (True, False)
    )
    assert maps[0] == maps[1] and frames[1] > 2 * frames[0]


def test_exponents_are_slopes_of_each_line() -> None:
    def row(system: str, budget: int, frames: int, milliseconds: float) -> ScaleRow:
        return ScaleRow(
            system=system,
            budget_mb=budget,
            frames=frames,
            points=0,
            bytes=0,
            peak_mb=0,
            insert_ms=None,
            retrieve_ms=Times(p50=milliseconds, p99=9),
            psnr=None,
        )

    rows = [
        row(system, budget, frames, factor * frames**power)
        for system, budget, factor, power in (("map", 8, 2, 0.1), ("frames:last", 0, 0.1, 1.0))
        for frames in (1000, 4000, 16000)
    ]
    found = exponents([*rows, row("lone", 8, 1000, 1)])
    assert found == {"map 8 MB": pytest.approx(0.1), "frames:last": pytest.approx(1.0)}


def test_many_points_are_asked_saved_and_loaded(tmp_path: Path) -> None:
    found = measure_million(tmp_path / "map", 50_000)
    # The last frame may have made the oldest points give way.
    assert 45_000 < found.points < 100_000 and found.keyframes >= 1
    assert 16 < found.bytes_a_point <= 64
    assert min(found.save_s, found.load_s, found.insert_ms.p50, found.view_ms.p50) > 0
    assert found.retrieve_ms.p50 <= found.retrieve_ms.p99
    assert (tmp_path / "map" / "manifest.json").exists()


def test_budget_and_method_are_checked() -> None:
    with pytest.raises(ConfigError, match="Unknown retrieval method 'laast'"):
        measure_scale(turning(2), ROOM_CAMERA, [1], [2], ["laast"])
    assert np.isfinite(list(exponents([]).values())).all()

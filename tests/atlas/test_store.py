"""A memory on disk: bit for bit the one that was saved, whatever happens while it is written."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.atlases import BUDGET, fresh, told, walk, write_atlas
from tests.tiny import CAMERA, standing
from tests.toyroom import CAMERA as SHARP
from tests.toyroom import EYE, look, room, toy
from worldrt.atlas.manifest import FORMAT, MANIFEST, VERSION, read_manifest
from worldrt.atlas.store import POINTS, append, check_target, load, save
from worldrt.config import MemoryConfig
from worldrt.errors import ConfigError, OutputError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.frame import Inserted
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.memory import Footage
from worldrt.memory.spatial.places import Places
from worldrt.simulators.movers import Movers


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole and two files of changes, not to be written to."""
    return write_atlas(tmp_path_factory.mktemp("atlas") / "room")


# What is saved is loaded.


@pytest.mark.parametrize("frames", [0, 1, 23])
def test_what_is_saved_is_loaded(tmp_path: Path, frames: int) -> None:
    memory = fresh()
    walk(memory, 0, frames)
    save(memory, tmp_path / "a")
    found = load(tmp_path / "a", memory.camera)
    assert told(found) == told(memory)
    assert (len(found), found.nbytes) == (len(memory), memory.nbytes)
    pose = standing(0.1, 0.2, 33.0)[None]
    for one, other in zip(found.view(pose), memory.view(pose), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("keep", [save, append])
def test_saved_loaded_and_continued_is_never_saved(
    tmp_path: Path, keep: Callable[[SpatialMap, Path], None]
) -> None:
    """The budget is so small that points are evicted on the way."""
    whole, memory = fresh(600_000), fresh(600_000)
    written = walk(whole, 0, 40)
    found: list[Inserted] = []
    for first in range(0, 40, 8):
        found += walk(memory, first, first + 8)
        keep(memory, tmp_path / "a")
        memory = load(tmp_path / "a")
    assert found == written
    assert told(memory) == told(whole)


def stroll(places: Places, first: int, last: int) -> None:
    """Look at an empty room for 6 frames, and then at things that move in it."""
    far_apart = np.array([-1.0, 0, 3.6]), np.array([1.2, 0, 3.6])
    movers = Movers([toy("ping-pong", 1, place=far_apart[0]), toy("rotor", 2, place=far_apart[1])])
    for frame in range(first, last):
        rgb, depth = room(EYE) if frame < 6 else look(movers, frame)[:2]
        places.remember(Footage(rgb[None], depth[None], EYE[None], frame))


@pytest.mark.parametrize("keep", [save, append])
def test_what_moves_is_saved_loaded_and_gone_on_with(
    tmp_path: Path, keep: Callable[[SpatialMap, Path, Entities | None], None]
) -> None:
    """All that is seen later is the same as if it had never been saved."""
    config = MemoryConfig(budget_mb=8.0, entities=3)
    whole, places = Places(SHARP, config), Places(SHARP, config)
    stroll(whole, 0, 42)
    for first, last in ((0, 4), (4, 13), (13, 14), (14, 35), (35, 42)):
        stroll(places, first, last)
        assert places.walked == last
        keep(places.map, tmp_path / "a", places.entities)
        entities = Entities(SHARP, config.entities)
        places = Places(SHARP, config, None, load(tmp_path / "a", SHARP, entities), entities)
    assert whole.entities is not None and len(whole.entities) == 2
    assert places.entities is not None
    for name, array in whole.entities.state().items():
        np.testing.assert_array_equal(places.entities.state()[name], array, err_msg=name)
    poses = np.stack([EYE, from_yaw_pitch(np.array([0.7, -1.28, 0.4]), -0.1, 0.0)])
    for first in (42, 55):
        for one, other in zip(places.view(poses, first), whole.view(poses, first), strict=True):
            np.testing.assert_array_equal(one, other)
    still = places.map.view(poses)
    assert np.abs(still.rgb - places.view(poses, 55).rgb).max() > 0.2


@pytest.mark.parametrize("keep", [save, append])
def test_what_moves_may_be_left_out_and_begun_anew(
    tmp_path: Path, keep: Callable[[SpatialMap, Path, Entities | None], None]
) -> None:
    """Saved with things and loaded without, and the other way round: the map is the same."""
    places = Places(SHARP, MemoryConfig(budget_mb=8.0, entities=3))
    stroll(places, 0, 12)
    assert places.walked == 12 and places.entities is not None
    keep(places.map, tmp_path / "a", places.entities)
    still = load(tmp_path / "a", SHARP)
    assert told(still) == told(places.map)
    keep(still, tmp_path / "a", None)
    entities = Entities(SHARP, 2)
    assert told(load(tmp_path / "a", SHARP, entities)) == told(still)
    assert len(entities) == 0
    keep(still, tmp_path / "a", places.entities)
    load(tmp_path / "a", SHARP, entities)
    assert len(entities) == len(places.entities) > 0


def test_manifest_says_what_there_is(saved: Path) -> None:
    memory, manifest = load(saved), json.loads((saved / MANIFEST).read_text())
    assert (manifest["format"], manifest["version"]) == (FORMAT, VERSION)
    assert manifest["points"] == len(memory) > 0
    assert manifest["keyframes"] == len(memory.keyframes) > 0
    assert manifest["camera"]["width"] == 64 and manifest["budget_bytes"] == BUDGET
    names = [file["name"] for file in (*manifest["state"], manifest["ply"])]
    assert sorted([*names, MANIFEST]) == sorted(path.name for path in saved.iterdir())
    assert all((saved / name).stat().st_size > 0 for name in names)


def test_changes_cost_less_than_the_whole_and_never_more_than_it(tmp_path: Path) -> None:
    folder, memory = tmp_path / "a", fresh()
    walk(memory, 0, 40)
    save(memory, folder)
    largest = 0
    for first in range(40, 60):
        walk(memory, first, first + 1)
        append(memory, folder)
        state = read_manifest(folder).state
        assert sum(file.bytes for file in state[1:]) <= state[0].bytes
        largest = max(largest, len(state))
    assert largest > 2, "each append has saved the whole"
    assert told(load(folder)) == told(memory)


def test_append_of_nothing_new_writes_nothing(tmp_path: Path) -> None:
    memory = fresh()
    walk(memory, 0, 3)
    save(memory, tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    append(memory, tmp_path / "a")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before


def test_save_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    folder, memory = tmp_path / "a", fresh()
    save(memory, folder)
    (folder / "mesh.ply").write_text("mine")
    walk(memory, 0, 2)
    save(memory, folder)
    assert (folder / "mesh.ply").read_text() == "mine"
    names = {path.name for path in folder.iterdir()}
    assert names == {MANIFEST, POINTS, "state-2.safetensors", "mesh.ply"}


def test_open3d_opens_the_points(saved: Path) -> None:
    o3d = pytest.importorskip("open3d")
    memory = fresh()
    walk(memory, 0, 60)
    points = memory.points
    ids = np.flatnonzero(points.weight)
    cloud = o3d.t.io.read_point_cloud(str(saved / POINTS)).point
    np.testing.assert_array_equal(cloud["positions"].numpy(), points.position[ids])
    np.testing.assert_array_equal(cloud["colors"].numpy(), points.colour[ids])
    np.testing.assert_array_equal(cloud["written"].numpy()[:, 0], points.written[ids])
    for place in range(4):
        found = cloud[f"source_{place}"].numpy()[:, 0]
        np.testing.assert_array_equal(found % 65536, points.sources[ids, place])
    imagined = points.page_block[ids // 64, 0]
    np.testing.assert_array_equal(cloud["imagined"].numpy()[:, 0], imagined)
    assert 0 < imagined.mean() < 1
    legacy = o3d.io.read_point_cloud(str(saved / POINTS))
    np.testing.assert_array_equal(np.asarray(legacy.points), points.position[ids])


# Kills.


class Killed(BaseException):
    """What no cleaning up catches."""


@pytest.mark.parametrize("keep", [save, append])
def test_a_kill_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: Callable[[SpatialMap, Path], None]
) -> None:
    """Before and after each write, rename and deletion in turn."""
    memory = fresh()
    walk(memory, 0, 6)
    save(memory, tmp_path / "origin")
    old = told(memory)
    walk(memory, 6, 8)
    new, outcomes = told(memory), []
    doors = [(os, "fsync"), (Path, "replace"), (Path, "unlink")]
    for late in (False, True):
        step = 0
        while True:
            folder = tmp_path / f"{late}{step}"
            shutil.copytree(tmp_path / "origin", folder)
            calls = 0

            def counted(
                real: Callable[..., object], late: bool, step: int
            ) -> Callable[..., object]:
                def door(*arguments: object, **named: object) -> object:
                    nonlocal calls
                    calls += 1
                    if calls - 1 == step and not late:
                        raise Killed
                    result = real(*arguments, **named)
                    if calls - 1 == step:
                        raise Killed
                    return result

                return door

            with monkeypatch.context() as patch, suppress(Killed):
                for where, name in doors:
                    patch.setattr(where, name, counted(getattr(where, name), late, step))
                keep(memory, folder)
            found = told(load(folder))
            assert found in (old, new)
            outcomes.append(found == new)
            save(memory, folder)
            assert told(load(folder)) == new
            if calls <= step:
                break
            step += 1
    assert len(outcomes) > 12 and 0 < sum(outcomes) < len(outcomes)


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a"
    shutil.copytree(saved, folder)
    before = told(load(folder))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    memory = load(folder)
    walk(memory, 62, 63)
    for keep in (save, append):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left on device"):
                keep(memory, folder)
        assert told(load(folder)) == before
        assert {path.name for path in folder.iterdir()} == {p.name for p in saved.iterdir()}


# Refusals.


def test_a_place_that_cannot_be_written_to_is_refused_before_it_is_too_late(
    tmp_path: Path, saved: Path
) -> None:
    (tmp_path / "file").touch()
    for act in (check_target, lambda place: save(fresh(), place)):
        with pytest.raises(OutputError) as found:
            act(tmp_path / "no" / "folder")
        assert str(found.value) == f"The folder {tmp_path}/no does not exist; make it first."
        with pytest.raises(OutputError) as found:
            act(tmp_path / "file")
        assert str(found.value) == (
            f"{tmp_path}/file is a file; name a folder to save the memory to."
        )
    for good in (tmp_path, tmp_path / "new", saved):
        check_target(good)
    assert not (tmp_path / "new").exists()


def test_another_camera_is_refused(tmp_path: Path, saved: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "room"))
    other = Camera.centred(msgspec.structs.replace(CAMERA, fx=30.0))
    with pytest.raises(ConfigError, match=r"fx=32.0.*, this world has .*fx=30.0.*; load it in the"):
        load(folder, other)
    memory = fresh(BUDGET + 7)
    with pytest.raises(ConfigError, match=f"{BUDGET}, .*{BUDGET + 7}.*; save it to another folder"):
        append(memory, folder)

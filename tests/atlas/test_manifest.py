"""A folder that does not hold what its manifest says, or no manifest of ours, is refused."""

import json
import shutil
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest

from tests.atlases import fresh, told, walk, write_atlas
from worldrt.atlas.manifest import MANIFEST, VERSION, read_manifest
from worldrt.atlas.store import POINTS, append, check_target, load, save
from worldrt.errors import CorruptFile, InputError
from worldrt.memory.spatial.entities import Entities


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole and two files of changes, not to be written to."""
    return write_atlas(tmp_path_factory.mktemp("atlas") / "room")


@pytest.fixture
def folder(tmp_path: Path, saved: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "room"))


@pytest.mark.parametrize("name", ["state-1.safetensors", "state-2.safetensors", MANIFEST])
def test_a_damaged_file_is_refused_wherever_the_damage_is(folder: Path, name: str) -> None:
    content, random = (folder / name).read_bytes(), Random(3)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        (folder / name).write_bytes(damaged)
        # A changed letter of the manifest may make it another format's, or a newer one.
        with pytest.raises((CorruptFile, InputError)):
            load(folder)
    for length in np.linspace(0, len(content) - 1, 9, dtype=int):
        (folder / name).write_bytes(content[:length])
        with pytest.raises(CorruptFile):
            load(folder)


def test_sentences_of_damage(folder: Path) -> None:
    path = folder / "state-2.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    cut = f"it has {len(content) - 5} of {len(content)} bytes"
    with pytest.raises(CorruptFile) as found:
        load(folder)
    assert str(found.value) == f"{path} can't be read ({cut}); copy or download it again."
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(CorruptFile, match="state-2.safetensors can't be read .its checksum is wr"):
        load(folder)
    path.unlink()
    with pytest.raises(CorruptFile, match="state-2.safetensors can't be read .No such file"):
        load(folder)


def test_the_picture_for_others_may_be_lost(folder: Path) -> None:
    wanted = told(load(folder))
    (folder / POINTS).unlink()
    assert told(load(folder)) == wanted


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {"version": 3},
            "{} was saved by format 3, this build reads 1 to 2; update worldrt to load it.",
        ),
        (
            {"version": 0},
            "{} was saved by format 0, this build reads 1 to 2; update worldrt to load it.",
        ),
        (
            {"format": "other"},
            "{} holds 'other', expected 'worldrt spatial memory'; name the folder of a saved "
            "memory.",
        ),
    ],
)
def test_other_formats_and_versions_are_refused(
    folder: Path, change: dict[str, object], sentence: str
) -> None:
    fields = json.loads((folder / MANIFEST).read_text()) | change | {"unheard": "of"}
    (folder / MANIFEST).write_text(json.dumps(fields))
    for act in (load, read_manifest, lambda place: save(fresh(), place)):
        with pytest.raises(InputError) as found:
            act(folder)
        assert str(found.value) == sentence.format(folder)


def test_what_an_older_build_has_saved_is_read(folder: Path) -> None:
    """Format 1 knew nothing that moves; what is added to it is of the newest format."""
    memory, manifest = load(folder), read_manifest(folder)
    old = msgspec.structs.replace(manifest, version=1).sealed()
    (folder / MANIFEST).write_bytes(msgspec.json.encode(old))
    assert read_manifest(folder).version == 1
    assert told(load(folder)) == told(memory)
    entities = Entities(memory.camera, 2)
    load(folder, memory.camera, entities)
    assert len(entities) == 0
    walk(memory, 62, 63)
    append(memory, folder)
    assert read_manifest(folder).version == VERSION
    assert told(load(folder)) == told(memory)


def test_a_manifest_without_arrays_is_refused(folder: Path) -> None:
    empty = msgspec.structs.replace(read_manifest(folder), state=())
    (folder / MANIFEST).write_bytes(msgspec.json.encode(empty))
    for act in (load, check_target, lambda place: save(fresh(), place)):
        with pytest.raises(CorruptFile) as found:
            act(folder)
        assert str(found.value) == (
            f"{folder / MANIFEST} can't be read (Expected `array` of length >= 1 - at `$.state`); "
            "copy or download it again."
        )


def test_a_folder_without_a_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        load(tmp_path)
    assert str(found.value) == (
        f"{tmp_path} holds no saved memory (manifest.json: No such file or directory); name the "
        "folder that one was saved to."
    )
    (tmp_path / MANIFEST).write_text('{"name": "an app"}')
    for act in (load, check_target, lambda place: save(fresh(), place)):
        with pytest.raises(CorruptFile, match="missing required field"):
            act(tmp_path)
    assert (tmp_path / MANIFEST).read_text() == '{"name": "an app"}'

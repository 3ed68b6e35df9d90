"""`worldrt world`, as a user calls it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny import CAMERA, look, standing
from worldrt import cli
from worldrt.atlas.store import save
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved memory, not to be written to."""
    memory = SpatialMap(Camera.centred(CAMERA), 4_000_000)
    for index in range(12):
        pose = standing(0.3, -1.0, 30.0 * index)
        memory.insert(Frame(*look(pose), pose, index))
    path = tmp_path_factory.mktemp("saved") / "room"
    save(memory, path)
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main(list(arguments))
    assert isinstance(exit.value.code, int)
    return exit.value.code


def test_info_is_a_table_and_a_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("world", "info", str(folder), "--png", str(tmp_path / "plan.png")) == 0
    table = capsys.readouterr().out
    words = ["points", "keyframes", "of frames 0 to 8", "8.0, 2.8, 10.0 m", "budget of 4 MB"]
    assert all(word in table for word in words), table
    assert max(Image.open(tmp_path / "plan.png").size) > 300


def test_info_is_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("world", "info", str(folder), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["points"] > 1000 and found["keyframes"] == 2 and found["damaged"] == []


def test_export_is_a_mesh(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    o3d = pytest.importorskip("open3d")
    path = tmp_path / "out.ply"
    assert run("world", "export", str(folder), "--mesh", str(path), "--voxel", "0.2") == 0
    mesh = o3d.io.read_triangle_mesh(str(path))
    count = f"{len(mesh.vertices):,} vertices, {len(mesh.triangles):,} triangles of 0.2 m"
    assert capsys.readouterr().out == f"{path}: {count}\n"
    assert len(mesh.triangles) > 1000


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["info", "no/where"], "no/where holds no saved memory (manifest.json: No such file or"),
        (["export", "{}", "--mesh", "a.obj"], "A mesh is written as .ply, not '.obj'; say --mesh"),
        (["export", "{}", "--mesh", "no/a.ply"], "The folder no does not exist; make it first."),
        (["info", "{}", "--png", "a.gif"], "Unknown picture suffix '.gif'"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("world", *(text.format(folder) for text in arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"worldrt: {sentence}") and err.count("\n") == 1

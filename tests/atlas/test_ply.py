"""PLY files: read back by a parser of their own header, and by Open3D."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.atlas.ply import TYPES, encode
from worldrt.errors import ShapeError

SIZES = {"uchar": "u1", "int": "i4", "float": "f4", "double": "f8"}


def parse(content: bytes) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.int32]]:
    """Columns and triangles, as the header tells them."""
    file = io.BytesIO(content)
    assert file.readline() == b"ply\n"
    assert file.readline() == b"format binary_little_endian 1.0\n"
    counts, fields = {"face": 0}, []
    while (line := file.readline()) != b"end_header\n":
        match line.decode().split():
            case ["element", name, count]:
                counts[name] = int(count)
            case ["property", "list", "uchar", "int", "vertex_indices"]:
                pass
            case ["property", kind, name]:
                fields.append((name, f"<{SIZES[kind]}"))
            case _:
                raise AssertionError(line)
    rows = np.frombuffer(file.read(counts["vertex"] * np.dtype(fields).itemsize), fields)
    faces = np.frombuffer(file.read(), [("corners", "u1"), ("vertices", "<i4", 3)])
    assert len(faces) == counts["face"] and (faces["corners"] == 3).all()
    return {name: rows[name] for name, _ in fields}, faces["vertices"]


def columns(count: int) -> dict[str, NDArray[np.generic]]:
    random = np.random.default_rng(count)
    x, y, z = random.standard_normal((3, count)).astype(np.float32)
    red, green, blue = random.integers(0, 256, (3, count), np.uint8)
    nx, ny, nz = random.standard_normal((3, count)).astype(np.float32)
    return {
        **{"x": x, "y": y, "z": z, "red": red, "green": green, "blue": blue},
        **{"nx": nx, "ny": ny, "nz": nz},
        "written": random.integers(0, 1000, count, np.int32),
        "source_0": random.integers(-1, 2**16, count, np.int32),
        "source_1": random.integers(-1, 2**16, count, np.int32),
        "exact": random.standard_normal(count),
    }


@pytest.mark.parametrize("count", [0, 1, 63])
def test_points_are_read_back(count: int) -> None:
    wanted = columns(count)
    found, triangles = parse(encode(wanted))
    assert list(found) == list(wanted) and len(triangles) == 0
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_mesh_is_read_back() -> None:
    wanted = np.random.default_rng(2).integers(0, 11, (17, 3), np.int32)
    found, triangles = parse(encode(columns(11), wanted))
    np.testing.assert_array_equal(triangles, wanted)
    np.testing.assert_array_equal(found["x"], columns(11)["x"])


def test_every_type_has_its_name() -> None:
    assert {kind: name for name, kind in SIZES.items()} == TYPES


def test_columns_of_several_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"red has shape \[6\], expected \[7\]"):
        encode({"x": np.zeros(7), "red": np.zeros(6, np.uint8)})
    with pytest.raises(ShapeError, match=r"triangles has shape \[5, 4\], expected \[N, 3\]"):
        encode({"x": np.zeros(7)}, np.zeros((5, 4), np.int32))


@pytest.mark.parametrize("count", [1, 63])
def test_open3d_opens_points(tmp_path: Path, count: int) -> None:
    o3d = pytest.importorskip("open3d")
    path, wanted = tmp_path / "points.ply", columns(count)
    path.write_bytes(encode(wanted))
    places = np.stack([wanted[axis] for axis in "xyz"], axis=1)
    normals = np.stack([wanted[axis] for axis in ("nx", "ny", "nz")], axis=1)
    colours = np.stack([wanted[name] for name in ("red", "green", "blue")], axis=1)

    old = o3d.io.read_point_cloud(str(path))
    np.testing.assert_array_equal(np.asarray(old.points), places)
    np.testing.assert_array_equal(np.asarray(old.normals), normals)
    np.testing.assert_array_equal(np.rint(255 * np.asarray(old.colors)), colours)

    new = o3d.t.io.read_point_cloud(str(path)).point
    np.testing.assert_array_equal(new["positions"].numpy(), places)
    np.testing.assert_array_equal(new["colors"].numpy(), colours)
    for name in ("written", "source_0", "source_1", "exact"):
        np.testing.assert_array_equal(new[name].numpy()[:, 0], wanted[name])


def test_open3d_opens_a_mesh(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d")
    wanted = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
    (tmp_path / "mesh.ply").write_bytes(encode(columns(4), wanted))
    mesh = o3d.io.read_triangle_mesh(str(tmp_path / "mesh.ply"))
    np.testing.assert_array_equal(np.asarray(mesh.triangles), wanted)
    assert len(mesh.vertices) == 4 and mesh.has_vertex_colors()

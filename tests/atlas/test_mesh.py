"""Meshes of a room whose walls are known (needs Open3D)."""

import builtins
import sys
from typing import Any

import numpy as np
import pytest

from tests.tiny import CAMERA, ROOM, look, standing
from worldrt.atlas.mesh import Mesh, fuse, open3d
from worldrt.errors import BackendUnavailable, ConfigError, InputError
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap

STANDING = np.array([0.3, 0.0, -1.0])


@pytest.fixture(scope="module")
def memory() -> SpatialMap:
    """Of a full turn in the room."""
    found = SpatialMap(Camera.centred(CAMERA), 8_000_000)
    for index in range(40):
        pose = standing(STANDING[0], STANDING[2], 9.0 * index)
        found.insert(Frame(*look(pose), pose, index))
    return found


@pytest.fixture(scope="module")
def mesh(memory: SpatialMap) -> Mesh:
    pytest.importorskip("open3d")
    return fuse(memory, 0.1)


def test_the_surface_lies_on_the_walls(mesh: Mesh) -> None:
    gaps = np.minimum(np.abs(mesh.vertices - ROOM[0]), np.abs(mesh.vertices - ROOM[1])).min(axis=1)
    assert gaps.mean() < 0.01 and np.quantile(gaps, 0.99) < 0.08
    # Not shifted by half a pixel: as much lies before the walls as behind them.
    signed = np.minimum(mesh.vertices - ROOM[0], ROOM[1] - mesh.vertices).min(axis=1)
    assert abs(signed.mean()) < 0.005


def test_it_is_all_that_can_be_seen_from_there(mesh: Mesh) -> None:
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1) / 2
    across, down, along = ROOM[1] - ROOM[0]
    walls = 2 * down * (across + along)
    assert walls + across * along < areas.sum() < walls + 2 * across * along
    inward = np.einsum("ij,ij->i", normals, corners.mean(axis=1) - STANDING) < 0
    assert areas[inward].sum() > 0.98 * areas.sum()


def test_colours_are_those_of_the_room(mesh: Mesh) -> None:
    waves = np.sin(2.5 * mesh.vertices + 2 * np.roll(mesh.vertices, 1, axis=-1))
    true = (150 + 80 * waves) * [1.0, 0.7, 0.5]
    assert np.abs(mesh.colours - true).mean() < 6


def test_its_file_is_a_mesh(mesh: Mesh) -> None:
    content = mesh.ply()
    header = content[: content.index(b"end_header")].decode().splitlines()
    assert f"element vertex {len(mesh.vertices)}" in header
    assert f"element face {len(mesh.triangles)}" in header


@pytest.mark.parametrize("voxel", [0, -1, float("nan"), float("inf")])
def test_a_voxel_without_size_is_refused(memory: SpatialMap, voxel: float) -> None:
    with pytest.raises(ConfigError, match=f"A voxel's edge is some metres, got {voxel:g}; say"):
        fuse(memory, voxel)


def test_a_memory_without_keyframes_is_refused() -> None:
    with pytest.raises(InputError) as found:
        fuse(SpatialMap(Camera.centred(CAMERA), 8_000_000), 0.1)
    assert str(found.value) == (
        "The memory has 0 points and 0 keyframes, a mesh needs at least 1 to be seen from; walk "
        "first."
    )


def test_cells_larger_than_the_room_are_refused(memory: SpatialMap) -> None:
    pytest.importorskip("open3d")
    with pytest.raises(InputError, match=r"points make 0 triangles in cells of 1e\+06 m; take"):
        fuse(memory, 1e6)


def test_without_open3d_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "open3d":
            raise ImportError("libusb-1.0.so.0: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendUnavailable, match="Open3D .libusb.* is not available here; install"):
        open3d()

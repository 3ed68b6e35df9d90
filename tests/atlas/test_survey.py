"""Figures and floor plan of a memory whose every point is known."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import CAMERA, look, standing
from worldrt.atlas.floor import FINEST, PAPER
from worldrt.atlas.manifest import VERSION
from worldrt.atlas.store import POINTS, append, load, save
from worldrt.atlas.survey import INK, SIDE, floor_plan, survey
from worldrt.errors import InputError
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import IMAGINED, REAL


def fresh() -> SpatialMap:
    return SpatialMap(Camera.centred(CAMERA), 4_000_000)


def lay(
    memory: SpatialMap,
    colour: tuple[int, int, int],
    x: tuple[float, float],
    z: tuple[float, float],
    y: tuple[float, float],
    layer: int = REAL,
) -> None:
    """Fill a box with points 5 cm apart."""
    axes = [np.arange(a, b + 1e-9, 0.05) for a, b in (x, y, z)]
    place = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3).astype(np.float32)
    count = len(place)
    colours = np.tile(np.array(colour, np.uint8), (count, 1))
    depth = np.full(count, 0.5, np.float32)
    assert memory.points.add(place, colours, depth, 0, layer)[1] == count


def walked() -> SpatialMap:
    memory = fresh()
    for index in range(20):
        pose = standing(0.3, -1.0, 18.0 * index)
        memory.insert(Frame(*look(pose), pose, index, index < 10))
    return memory


def test_figures(tmp_path: Path) -> None:
    folder, memory = tmp_path / "room", walked()
    save(memory, folder)
    lay(memory, (1, 2, 3), (0, 0.2), (0, 0.2), (0, 0))
    append(memory, folder)
    found = survey(folder, load(folder))
    assert (found.folder, found.version, found.budget_bytes) == (str(folder), VERSION, 4_000_000)
    assert found.points == len(memory) and found.deltas == 1 and found.damaged == ()
    layers = memory.points.page_block[np.flatnonzero(memory.points.weight) // 64, 0]
    assert found.imagined == np.count_nonzero(layers == IMAGINED) > 0
    assert found.keyframes == len(memory.keyframes) > 1 and found.frames is not None
    assert found.frames[0] == 0 and 8 <= found.frames[1] < 20
    np.testing.assert_allclose(found.low, (-4, -1.5, -5), atol=0.02)
    np.testing.assert_allclose(found.high, (4, 1.3, 5), atol=0.02)
    on_disk = sum(p.stat().st_size for p in folder.iterdir() if p.name != "manifest.json")
    assert found.disk_bytes == on_disk


def test_figures_of_nothing(tmp_path: Path) -> None:
    save(fresh(), tmp_path / "a")
    found = survey(tmp_path / "a", load(tmp_path / "a"))
    assert (found.points, found.keyframes, found.frames) == (0, 0, None)
    assert found.low == found.high == (0, 0, 0)


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_a_picture_for_others_that_is_damaged_is_named(tmp_path: Path, damage: str) -> None:
    save(walked(), tmp_path / "a")
    path = tmp_path / "a" / POINTS
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert survey(tmp_path / "a", load(tmp_path / "a")).damaged == (POINTS,)


def test_plan_shows_floors_and_walls_where_they_are_and_no_ceiling() -> None:
    memory = fresh()
    lay(memory, (200, 100, 0), (0, 4), (0, 2), (1.2, 1.2))  # a floor
    lay(memory, (0, 0, 200), (0, 4), (0, 2), (-2.0, -2.0))  # a ceiling
    lay(memory, (100, 0, 0), (0, 0.02), (0, 2), (-1, 1))  # a wall on the left
    lay(memory, (0, 200, 0), (6, 8), (1, 2), (1.2, 1.2), IMAGINED)
    plan = floor_plan(memory)
    assert plan.dtype == np.uint8 and SIDE / 2 < max(plan.shape) <= SIDE + 4 * SIDE * FINEST / 8
    scale = plan.shape[1] / (8.0 / FINEST + 2) / FINEST  # pixels a metre

    def at(x: float, z: float) -> list[int]:
        return plan[round((2.0 - z + FINEST) * scale), round((x + FINEST) * scale)].tolist()

    assert at(2, 1) == [200, 100, 0] and at(3.9, 0.1) == [200, 100, 0]
    assert at(0.02, 1) == [178, 128, 128]
    assert at(5, 1) == np.rint(PAPER).tolist() and at(7, 0.3) == np.rint(PAPER).tolist()
    assert at(7, 1.5) == [12, 112, 14]


def test_plan_shows_keyframes() -> None:
    memory = walked()
    plan = floor_plan(memory)
    red = np.argwhere((plan == INK).all(axis=-1))
    # All stand at x = 0.3, z = -1 in a room that reaches from -4 to 4 and from -5 to 5.
    expected = np.array([6 / 10, 4.3 / 8]) * plan.shape[:2]
    assert len(red) > 20 and np.abs(red.mean(axis=0) - expected).max() < 0.04 * max(plan.shape)


def test_plan_of_nothing_is_refused() -> None:
    with pytest.raises(InputError) as found:
        floor_plan(fresh())
    assert str(found.value) == (
        "The memory has 0 points, a floor plan needs at least 1; walk first."
    )

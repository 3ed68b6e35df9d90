"""The painter of floor plans against means written out cell by cell."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from tests.tiny import CAMERA, look, standing
from worldrt.atlas.floor import ABOVE, COARSER, FINEST, PAPER, WALL, Floor, paint
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.points import IMAGINED, REAL
from worldrt.memory.spatial.walls import BAND


def fresh(budget: int = 4_000_000) -> SpatialMap:
    return SpatialMap(Camera.centred(CAMERA), budget)


def scattered(points: int, width: float) -> tuple[SpatialMap, np.ndarray, np.ndarray, np.ndarray]:
    """A memory of points about the origin, and which were written: place, colour, imagined."""
    random, memory = np.random.default_rng(points), fresh()
    place = random.uniform(-1, 1, (points, 3)).astype(np.float32) * [width, 1.5, width / 2]
    colour = random.integers(0, 256, (points, 3)).astype(np.uint8)
    kept, place = [], place.astype(np.float32)
    for layer, part in ((REAL, slice(0, points // 2)), (IMAGINED, slice(points // 2, None))):
        depth = np.full(len(place[part]), 0.5, np.float32)
        ids, _ = memory.points.add(place[part], colour[part], depth, layer, layer)
        kept.append(ids >= 0)
    written = np.concatenate(kept)
    imagined = np.arange(points) >= points // 2
    return memory, place[written], colour[written], imagined[written]


def slowly(
    floor: Floor, place: np.ndarray, colour: np.ndarray, imagined: np.ndarray, eye: float
) -> np.ndarray:
    """The picture, square by square."""
    rows, columns = floor.image.shape[:2]
    image = np.tile(PAPER, (rows, columns, 1))
    at = np.floor(floor.at(place.astype(np.float64))).astype(int)
    up = place[:, 1].astype(np.float64) - eye
    inside = (at >= 0).all(axis=1) & (at < [columns, rows]).all(axis=1) & (up > -ABOVE)
    for chosen, share, ground, sizes in (
        (imagined, 0.5, PAPER, COARSER),
        (~imagined, 1.0, PAPER, COARSER),
        (np.abs(up) <= BAND, 0.5, WALL, (1,)),
    ):
        for size in sizes:
            squares = at[inside & chosen] // size
            for square in {tuple(one) for one in squares.tolist()}:
                mean = colour[inside & chosen][(squares == square).all(axis=1)].mean(axis=0)
                column, row = (size * index for index in square)
                image[row : row + size, column : column + size] = (
                    share * mean + (1 - share) * ground
                )
    return np.rint(image)


@pytest.mark.parametrize("points, width, side", [(300, 2.0, 64), (700, 9.0, 33), (1, 1.0, 16)])
def test_every_cell_is_the_mean_of_its_points(points: int, width: float, side: int) -> None:
    memory, place, colour, imagined = scattered(points, width)
    floor = paint(memory, side)
    assert floor is not None and max(floor.image.shape) <= side
    eye = float(np.median(place[:, 1]))
    wanted = slowly(floor, place, colour, imagined, eye)
    # A point on a cell's border may be rounded to the other side of it.
    assert np.mean(np.abs(floor.image - wanted).max(axis=-1) > 1) < 0.01
    assert (floor.image != np.rint(PAPER)).any()


@pytest.mark.parametrize("side", [16, 63, 256])
def test_a_plan_is_no_larger_than_asked_and_no_finer_than_it_may_be(side: int) -> None:
    memory = scattered(500, 20.0)[0]
    floor = paint(memory, side)
    assert floor is not None
    assert side - 3 <= max(floor.image.shape[:2]) <= side
    assert floor.cell == pytest.approx(40 / (side - 2), rel=0.05)
    small = paint(scattered(500, 0.7)[0], side)
    assert small is not None and small.cell >= FINEST


def test_places_are_pixels() -> None:
    floor = Floor(np.zeros((7, 9, 3), np.uint8), left=-2.0, far=5.0, cell=0.5)
    corner, inner = floor.at(np.array([[-2.0, 9.0, 5.0], [0.0, 0.0, 4.5]]))
    assert corner.tolist() == [0, 0] and inner.tolist() == [4, 1]


def test_nothing_has_no_plan() -> None:
    assert paint(fresh(), 64) is None


def test_a_plan_beside_a_writer_neither_waits_nor_makes_it_wait() -> None:
    """The memory is so small that every frame needs slots that were given up."""
    memory, done = fresh(700_000), Event()

    def draw() -> int:
        count = 0
        while not done.is_set():
            count += paint(memory, 64) is not None
        return count

    with ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(draw)
        for index in range(60):
            pose = standing(0.05 * index, -1.0, 12.0 * index)
            memory.insert(Frame(*look(pose), pose, index, True))
        done.set()
        assert drawn.result(30) > 0

"""Mazes: rooms, corridors, a loop and pillars on a grid, from a seed.

A maze is 12x12 cells of 4 m, kept as 48x48 squares of one metre. Row is world z, column is world x;
the floor lies at y = 0 and the outermost cells are solid. Rooms never touch each other; pillars
stand where four cells of a room meet, so a straight way between two neighbouring centres is free.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.config import CameraConfig, check
from worldrt.errors import SimulatorError
from worldrt.geometry.camera import Camera
from worldrt.simulators.doom import collision, depth, textures

CELLS = 12
CELL = 4
"""Metres a cell."""
EYE = 41 / 32
"""Metres of the eye above the floor."""
RADIUS = 26 / 32
"""Metres that the body keeps from walls."""
SOLID, PILLAR = -1, -2

Cell = tuple[int, int]
"""Row (along z) and column (along x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What one room, or all corridors together, look like."""

    wall: str
    height: float
    """Ceiling above the floor, metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A rectangle of cells."""

    row: int
    column: int
    rows: int
    columns: int

    def cells(self, margin: int = 0) -> tuple[slice, slice]:
        """The room as an index into the grid of cells, grown by `margin` cells."""
        return (
            slice(self.row - margin, self.row + self.rows + margin),
            slice(self.column - margin, self.column + self.columns + margin),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maze:
    """One maze: what stands where, and what it looks like."""

    seed: int
    labels: NDArray[np.int8]
    """[48, 48] index into `regions` of each one-metre square, or SOLID or PILLAR."""
    regions: tuple[Region, ...]
    """The corridors first, then a region a room."""
    rooms: tuple[Room, ...]
    pillar: str
    floor: str
    ceiling: str
    light: int

    @property
    def open_cells(self) -> NDArray[np.bool_]:
        """[12, 12] cells that are not rock."""
        return self.labels[1::CELL, 1::CELL] >= 0

    @property
    def heights(self) -> NDArray[np.float64]:
        """[48, 48] metres of ceiling above the floor; 0 is solid."""
        table = np.array([region.height for region in self.regions] + [0.0])
        return table[np.maximum(self.labels, SOLID)]

    @property
    def cells(self) -> list[Cell]:
        """All open cells, row by row."""
        return [(int(row), int(column)) for row, column in np.argwhere(self.open_cells)]

    def start(self) -> NDArray[np.float64]:
        """The [4, 4] pose with the widest view, standing in a room."""
        eye = Camera.centred(CameraConfig(width=16, height=1, fx=8, fy=8))
        heights = self.heights
        best, chosen = -1.0, pose(0, 0, 0)
        for row, column in self.cells:
            if self.labels[CELL * row + 1, CELL * column + 1] == 0:
                continue
            x, z = centre((row, column))
            for yaw in np.arange(16) * (math.tau / 16):
                here = pose(x, z, yaw)
                far = depth.cast(heights, eye, here[:3, 3], yaw)
                view = float(np.minimum(far, 3 * CELL).mean())
                if view > best + 1e-6:
                    best, chosen = view, here
        return chosen

    def free(self, position: NDArray[np.float64]) -> bool:
        """Whether a body can stand at `position` [3], metres."""
        return collision.clear(self.labels, position[0], position[2], RADIUS - 1e-6)

    def slide(
        self, position_from: NDArray[np.float64], position_to: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], bool]:
        """Walk straight towards a place, gliding along what stands in the way.

        Args:
            position_from: [3] a free place, metres.
            position_to: [3] the place wanted, metres.

        Returns:
            position: [3] the free place reached, at the height of position_to.
            collided: whether that is not the place wanted.
        """
        (from_x, _, from_z), (to_x, y, to_z) = position_from, position_to
        x, z = collision.slide(self.labels, RADIUS, from_x, from_z, to_x, to_z)
        if math.hypot(x - to_x, z - to_z) < 1e-9:
            return position_to.copy(), False
        return np.array([x, y, z]), True

    def explore(self, start: Cell) -> dict[Cell, Cell]:
        """All cells, nearest on foot first, each with the cell before it on the way from `start`.

        Raises:
            SimulatorError: `start` is not an open cell.
        """
        free = set(self.cells)
        if start not in free:
            raise self._closed(start)
        before = {start: start}
        queue = deque([start])
        while queue:
            row, column = here = queue.popleft()
            for near in (
                (row + 1, column),
                (row, column + 1),
                (row - 1, column),
                (row, column - 1),
            ):
                if near in free and near not in before:
                    before[near] = here
                    queue.append(near)
        return before

    def route(self, start: Cell, goal: Cell) -> list[Cell]:
        """A shortest way through neighbouring open cells from `start` to `goal`, both included.

        Raises:
            SimulatorError: one of them is not an open cell.
        """
        before = self.explore(start)
        if goal not in before:
            raise self._closed(goal)
        way = [goal]
        while way[-1] != start:
            way.append(before[way[-1]])
        return way[::-1]

    def _closed(self, cell: Cell) -> SimulatorError:
        return SimulatorError(
            f"Cell {cell} of maze {self.seed} is not one of its {len(self.cells)} open cells; "
            "take one of Maze.cells."
        )


def pose(x: float, z: float, yaw: float) -> NDArray[np.float64]:
    """The level [4, 4] pose at eye height; metres, radians, yaw 0 along +z, growing rightwards."""
    sine, cosine = math.sin(yaw), math.cos(yaw)
    return np.array(
        [[cosine, 0, sine, x], [0, 1, 0, -EYE], [-sine, 0, cosine, z], [0, 0, 0, 1]],
        dtype=np.float64,
    )


def centre(cell: Cell) -> tuple[float, float]:
    """World x and z of a cell's centre, metres."""
    row, column = cell
    return (column + 0.5) * CELL, (row + 0.5) * CELL


def cell_at(position: NDArray[np.float64]) -> Cell:
    """The cell that `position` [3] lies in."""
    return int(position[2] // CELL), int(position[0] // CELL)


def generate(seed: int) -> Maze:
    """The maze of `seed`, always the same one.

    Args:
        seed: 0 to 2^63 - 1.

    Raises:
        ConfigError: seed is out of range.
    """
    check(0 <= seed < 2**63, f"A maze's seed lies between 0 and 2^63 - 1, got {seed}.")
    random = np.random.default_rng(seed)
    plan, rooms = _plan(random)
    while len(rooms) < 4 or not _has_loop(plan):
        plan, rooms = _plan(random)
    labels = np.kron(plan, np.ones((CELL, CELL), dtype=np.int8))
    for room in rooms:
        if random.random() < 0.6:
            _raise_pillars(labels, room, random)
    walls = random.permutation(textures.WALLS)
    heights = [3.5, *random.choice([3.5, 4.0], len(rooms))]  # 4 m is as high as a texture
    return Maze(
        seed=seed,
        labels=labels,
        regions=tuple(
            Region(wall=str(wall), height=float(height))
            for wall, height in zip(walls, heights, strict=False)
        ),
        rooms=tuple(rooms),
        pillar=str(random.choice(textures.PILLARS)),
        floor=str(random.choice(textures.FLOORS)),
        ceiling=str(random.choice(textures.CEILINGS)),
        light=int(random.integers(224, 256)),
    )


def _plan(random: np.random.Generator) -> tuple[NDArray[np.int8], list[Room]]:
    """Rooms that do not touch, joined in a ring by L-shaped corridors: [12, 12] labels."""
    plan = np.full((CELLS, CELLS), SOLID, dtype=np.int8)
    rooms: list[Room] = []
    for _ in range(40):
        rows, columns = (int(n) for n in random.integers(2, 5, 2))
        row, column = (int(random.integers(1, CELLS - n)) for n in (rows, columns))
        room = Room(row=row, column=column, rows=rows, columns=columns)
        if np.all(plan[room.cells(margin=1)] == SOLID):
            rooms.append(room)
            plan[room.cells()] = len(rooms)
    for a, b in pairwise([*rooms, rooms[0]]):
        turn_row = a.row + int(random.integers(a.rows))
        turn_column = b.column + int(random.integers(b.columns))
        from_column = a.column + int(random.integers(a.columns))
        to_row = b.row + int(random.integers(b.rows))
        for way in (
            plan[turn_row, min(from_column, turn_column) : max(from_column, turn_column) + 1],
            plan[min(turn_row, to_row) : max(turn_row, to_row) + 1, turn_column],
        ):
            way[way == SOLID] = 0
    return plan, rooms


def _has_loop(plan: NDArray[np.int8]) -> bool:
    """Whether some solid cells are surrounded by open ones."""
    islands, _ = cv2.connectedComponents((plan == SOLID).astype(np.uint8), connectivity=8)
    return islands > 2  # the open cells and the rim count as one each


def _raise_pillars(labels: NDArray[np.int8], room: Room, random: np.random.Generator) -> None:
    """Put one to four pillars of 2x2 m on points where four cells of `room` meet."""
    points = [
        (CELL * row, CELL * column)
        for row in range(room.row + 1, room.row + room.rows)
        for column in range(room.column + 1, room.column + room.columns)
    ]
    count = int(random.integers(1, min(4, len(points)) + 1))
    for z, x in random.permutation(points)[:count]:
        labels[z - 1 : z + 1, x - 1 : x + 1] = PILLAR

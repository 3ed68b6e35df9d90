"""What courses are put together from: turns, straight lines, routes and walks through a maze.

A way is [F, 3]: x and z in metres and yaw in radians, a row a frame; a way that goes on from a
place does not repeat it. Straight lines between centres of neighbouring cells are free of
collisions.
"""

import math
from collections import deque
from collections.abc import Collection, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from worldrt.config import MotionConfig
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.simulators.doom.maze import CELLS, EYE, Cell, Maze, cell_at, centre

Way = NDArray[np.float64]
"""[F, 3]"""
Place = NDArray[np.float64]
"""[3], a row of a way."""
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Steps from a cell (row, column) to its neighbours."""
REPEAT = 5
"""Frames that a random walk keeps to one action."""
FORWARD = 0.7
"""Share of a random walk's actions that go forward; the others turn."""
ROOM_M = 0.6
"""Metres that a random walk wants to have left ahead of it."""
MISSES = 20
"""Goals too far for the time left after which an excursion turns back."""


def poses(way: Way) -> NDArray[np.float64]:
    """The level [F, 4, 4] poses of a way, at eye height."""
    position = np.stack([way[:, 0], np.full(len(way), -EYE), way[:, 1]], axis=-1)
    return from_yaw_pitch(position, way[:, 2], 0.0)


def stand(cell: Cell, yaw: float) -> Place:
    """[3] the centre of a cell, looking along `yaw`."""
    return np.array([*centre(cell), yaw])


def heading(cell: Cell, towards: Cell) -> float:
    """Yaw from one cell's centre to another's."""
    return math.atan2(towards[1] - cell[1], towards[0] - cell[0])


def turn(at: Place, yaw: float, motion: MotionConfig) -> Way:
    """Turn on the spot by equal steps, the shorter way round, to the very `yaw`.

    Args:
        at: [3] where one stands.
        yaw: radians; the way ends with it up to whole turns.
        motion: the largest steps of a frame.
    """
    by = math.remainder(yaw - at[2], math.tau)
    frames = math.ceil(abs(math.degrees(by)) / motion.turn_step - 1e-9)
    return spin(at, by, frames)


def spin(at: Place, by: float, frames: int) -> Way:
    """Turn on the spot by `by` radians in so many equal steps."""
    way = np.tile(at, (frames, 1))
    way[:, 2] += by * np.arange(1, frames + 1) / max(frames, 1)
    return way


def line(at: Place, to: NDArray[np.float64], motion: MotionConfig) -> Way:
    """Go straight to x and z [2] by equal steps, the yaw as it is."""
    goal = np.array([*to, at[2]])
    frames = math.ceil(math.dist(at[:2], to) / motion.move_step - 1e-9)
    share = np.arange(1, frames + 1)[:, None] / max(frames, 1)
    way = at + share * (goal - at)
    way[-1:] = goal  # to the last bit
    return way


def walk(at: Place, cells: Sequence[Cell], motion: MotionConfig) -> Way:
    """Go from centre to centre, turning on the spot where the way bends."""
    parts = [np.empty((0, 3))]
    for cell in cells:
        x, z = centre(cell)
        if math.hypot(x - at[0], z - at[1]) < 1e-9:
            continue
        parts.append(turn(at, math.atan2(x - at[0], z - at[1]), motion))
        at = np.concatenate([at[None], parts[-1]])[-1]
        parts.append(line(at, np.array([x, z]), motion))
        at = parts[-1][-1]
    return np.concatenate(parts)


def cell_of(at: Place) -> Cell:
    """The cell that a place [3] lies in."""
    return cell_at(np.array([at[0], 0, at[1]]))


def runs(maze: Maze) -> list[list[Cell]]:
    """Straight rows of open cells, as long as they go, in all four directions, longest first."""
    free = set(maze.cells)
    found = []
    for row, column in maze.cells:
        for down, right in DIRECTIONS:
            if (row - down, column - right) in free:
                continue
            run = [(row, column)]
            while (ahead := (run[-1][0] + down, run[-1][1] + right)) in free:
                run.append(ahead)
            found.append(run)
    return sorted(found, key=len, reverse=True)


def longest_run(maze: Maze, random: np.random.Generator) -> list[Cell]:
    """One of the longest straight rows of open cells."""
    found = runs(maze)
    longest = [run for run in found if len(run) == len(found[0])]
    return longest[int(random.integers(len(longest)))]


def square(maze: Maze, random: np.random.Generator) -> list[Cell]:
    """Corners of a closed round in a room, clockwise: 8 m a side, or as large as the rooms are."""
    sides = {room: (min(room.rows, 3), min(room.columns, 3)) for room in maze.rooms}
    largest = max(sides.values(), key=math.prod)
    rooms = [room for room, size in sides.items() if math.prod(size) == math.prod(largest)]
    room = rooms[int(random.integers(len(rooms)))]
    rows, columns = sides[room]
    top, left = (
        int(first + random.integers(whole - side + 1))
        for first, whole, side in (
            (room.row, room.rows, rows),
            (room.column, room.columns, columns),
        )
    )
    bottom, right = top + rows - 1, left + columns - 1
    # z grows along the rows, so the clockwise round of someone who looks along +z.
    return [(top, left), (bottom, left), (bottom, right), (top, right)]


def loop(maze: Maze) -> list[Cell]:
    """The shortest closed round through neighbouring cells that surrounds rock, its start once."""
    free = set(maze.cells)
    _, islands = cv2.connectedComponents((~maze.open_cells).astype(np.uint8), connectivity=8)
    rock = {int(number): cell for cell, number in np.ndenumerate(islands) if number > 0}
    del rock[int(islands[0, 0])]  # the rim
    rounds = [
        found
        for row, column in rock.values()
        for beside in range(column + 1, CELLS)
        if (found := _round(free, (row, column), (row, beside)))
    ]
    return min(rounds, key=len)


def closed(cells: Sequence[Cell], motion: MotionConfig) -> Way:
    """Once round: starts at the first cell, looking at the second; one frame more is the start."""
    begin = stand(cells[0], heading(cells[0], cells[1]))
    way = np.concatenate([begin[None], walk(begin, [*cells[1:], cells[0]], motion)])
    return np.concatenate([way, turn(way[-1], begin[2], motion)])[:-1]


def hidden_cells(maze: Maze, cell: Cell) -> list[Cell]:
    """Open cells none of whose middle 3 m can be seen from the centre of `cell`."""
    x, z = centre(cell)
    spots = [(a, b) for a in (-1.5, 0.0, 1.5) for b in (-1.5, 0.0, 1.5)]

    def in_sight(other: Cell) -> bool:
        to_x, to_z = centre(other)
        return any(_clear_sight(maze, x, z, to_x + a, to_z + b) for a, b in spots)

    return [other for other in maze.cells if not in_sight(other)]


def excursion(
    maze: Maze,
    at: Place,
    frames: int,
    goals: Collection[Cell],
    motion: MotionConfig,
    random: np.random.Generator,
) -> Way:
    """Walk to one goal after the other and be back on the frame after the last.

    Args:
        maze: where.
        at: [3] a cell's centre, where the walk begins and the frame after it stands again.
        frames: how long it is, enough to go somewhere.
        goals: cells to choose from.
        motion: the largest steps of a frame.
        random: chooses.
    """

    def home(place: Place) -> Way:
        way = walk(place, maze.route(cell_of(place), cell_of(at)), motion)
        end = way[-1] if len(way) else place
        # The frame after the last is the one that arrives.
        return np.concatenate([way, turn(end, at[2], motion)])[:-1]

    parts, spent, place, misses = [np.empty((0, 3))], 0, at, 0
    choices = sorted(goals)
    while misses < MISSES:
        goal = choices[int(random.integers(len(choices)))]
        leg = walk(place, maze.route(cell_of(place), goal), motion)
        if len(leg) and spent + len(leg) + len(home(leg[-1])) <= frames:
            parts.append(leg)
            spent, place = spent + len(leg), leg[-1]
        else:
            misses += 1
    back = home(place)
    spare = frames - spent - len(back)
    # What is left is spent looking about: to the right, and back again.
    aside = spin(place, math.radians(motion.turn_step) * (spare // 2), spare // 2)
    aside = np.concatenate([place[None], aside])
    rest = np.repeat(aside[-1:], spare % 2, axis=0)
    return np.concatenate([*parts, aside[1:], rest, aside[-2::-1], back])


def random_walk(
    maze: Maze, frames: int, motion: MotionConfig, random: np.random.Generator
) -> NDArray[np.float64]:
    """Hold a random action for five frames, again and again: forward with 0.7, else turn.

    Who has no room ahead turns, and goes on turning to that side until there is: else most of the
    walk in a maze would be spent before its walls.

    Args:
        maze: where.
        frames: poses wanted.
        motion: the steps of a frame.
        random: chooses.

    Returns:
        [F, 4, 4] poses, free of collisions.

    Source: the random walks of WorldMem's and Memory Forcing's data, with collisions.
    """
    start = maze.cells[int(random.integers(len(maze.cells)))]
    at = stand(start, random.uniform(-math.pi, math.pi))
    parts, side, blocked = [at[None]], 1.0, False
    ahead = motion.move_step * np.arange(1, REPEAT + 1 + math.ceil(ROOM_M / motion.move_step))
    for _ in range(math.ceil((frames - 1) / REPEAT)):
        way = at + ahead[:, None] * (math.sin(at[2]), math.cos(at[2]), 0)
        side = side if blocked else float(random.choice([-1.0, 1.0]))
        blocked = not all(maze.free(pose[:3, 3]) for pose in poses(way))
        if blocked or random.random() >= FORWARD:
            way = spin(at, side * REPEAT * math.radians(motion.turn_step), REPEAT)
        parts.append(way[:REPEAT])
        at = parts[-1][-1]
    return poses(np.concatenate(parts)[:frames])


def _round(free: set[Cell], rock: Cell, start: Cell) -> list[Cell]:
    """The shortest way from `start` back to it that surrounds `rock`, or none.

    A closed way surrounds a point if it crosses a ray from there an odd number of times; the ray
    goes along the row of `rock`, just beyond its cells' centres.
    """
    before = {(start, False): (start, False)} if start in free else {}
    queue = deque(before)
    while queue:
        here, odd = queue.popleft()
        for down, right in DIRECTIONS:
            near = here[0] + down, here[1] + right
            crosses = down != 0 and min(here[0], near[0]) == rock[0] and here[1] > rock[1]
            if near in free and (near, odd ^ crosses) not in before:
                before[near, odd ^ crosses] = here, odd
                queue.append((near, odd ^ crosses))
    state = start, True
    way: list[Cell] = []
    while state in before and state != (start, False):
        state = before[state]
        way.append(state[0])
    return way[::-1]


def _clear_sight(maze: Maze, x: float, z: float, to_x: float, to_z: float) -> bool:
    share = np.linspace(0, 1, 2 + int(8 * math.hypot(to_x - x, to_z - z)))
    rows, columns = (z + share * (to_z - z)).astype(int), (x + share * (to_x - x)).astype(int)
    return bool((maze.labels[rows, columns] >= 0).all())

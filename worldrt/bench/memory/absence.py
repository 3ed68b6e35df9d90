"""S6: look at things that move, look away, and look back: are they where they must be by now?"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory import ways
from worldrt.config import MotionConfig
from worldrt.errors import SimulatorError
from worldrt.simulators.doom.maze import CELL, Maze
from worldrt.simulators.movers import Mover, Movers, in_maze, seen

VISIBLE = 32
"""Frames of looking before and after."""
AWAY = math.radians(120)
"""Turn to the right after which nothing is left in a view of 90 degrees."""
SWAY = math.radians(25)
"""Turn to and fro while looking away."""
KINDS = {
    "moving": ("ping-pong", "rotor", "grower", "recolour"),
    "replaced": ("removed", "added"),
}
"""What can be foreseen, and what can only be noticed."""
ATTEMPTS = 100
"""Seeds of toys tried at a place before the next place is."""
LOW = 0.6
"""Slope below which a floor is in sight at the bottom of a view."""
SPREAD = math.radians(10)
"""Least angle between two toys, so that neither hides the other for long."""
BACK_M = 2.0
"""Metres that `back` walks away."""


class Absence(NamedTuple):
    """One way of looking away and back."""

    name: str
    """`exit` turns aside and back; `back` walks away, turns and looks back from there."""
    way: ways.Way
    """[T, 3]; the last VISIBLE frames are the return."""
    hidden: slice
    """Frames in which nothing is seen of what the first ones showed."""
    movers: Movers


def absences(
    maze: Maze, motion: MotionConfig, random: np.random.Generator, lengths: tuple[int, ...]
) -> list[Absence]:
    """Both ways of looking away, for each number of hidden frames and each set of toys.

    Args:
        maze: where.
        motion: the largest steps of a frame.
        random: chooses.
        lengths: hidden frames, at least 1 each.

    Raises:
        SimulatorError: the maze has no place where the toys are seen from near and far.
    """
    found = []
    for kinds, names in KINDS.items():
        near, far, movers = _set_up(maze, names, random)
        for frames in lengths:
            for name, make in (("exit", _exit), ("back", _back)):
                way, hidden = make(near, far, frames, motion)
                middle = (hidden.start + hidden.stop) // 2
                moved = Movers([replace(mover, change=middle) for mover in movers.movers])
                found.append(Absence(f"{name}-{kinds}-{frames}", way, hidden, moved))
    return found


def _exit(
    near: ways.Place, far: ways.Place, frames: int, motion: MotionConfig
) -> tuple[ways.Way, slice]:
    """Turn aside, look about there, turn back."""
    steps = math.ceil(math.degrees(AWAY) / motion.turn_step - 1e-9)
    look = np.tile(near, (VISIBLE, 1))
    aside = ways.spin(near, AWAY, steps)
    about = np.tile(aside[-1], (frames, 1))
    speed = math.radians(motion.turn_step) / 2
    about[:, 2] += SWAY * np.sin(speed / SWAY * np.arange(frames))
    back = ways.spin(about[-1], near[2] - about[-1, 2], steps + math.ceil(SWAY / speed))
    way = np.concatenate([look, aside[:-1], about, back[:-1], look])
    first = VISIBLE + steps - 1
    return way, slice(first, first + frames)


def _back(
    near: ways.Place, far: ways.Place, frames: int, motion: MotionConfig
) -> tuple[ways.Way, slice]:
    """Turn round, walk off for as long as that takes, stand there, and turn again."""
    look = np.tile(near, (VISIBLE, 1))
    turned = ways.turn(near, near[2] + math.pi, motion)
    off = ways.line(turned[-1], far[:2], motion)
    off = np.concatenate([off, np.tile(off[-1], (max(frames - len(off), 0), 1))])
    again = ways.turn(off[-1], near[2], motion)
    way = np.concatenate([look, turned, off, again, np.tile(again[-1], (VISIBLE, 1))])
    first = len(look) + len(turned)
    return way, slice(first, first + len(off))


def _set_up(
    maze: Maze, kinds: tuple[str, ...], random: np.random.Generator
) -> tuple[ways.Place, ways.Place, Movers]:
    """A place, one a cell behind it, and toys that are seen from both."""
    for near in _places(maze, random):
        far = near - BACK_M * np.array([math.sin(near[2]), math.cos(near[2]), 0])
        views = ways.poses(np.array([near, far]))
        for _ in range(ATTEMPTS):
            try:
                movers = in_maze(maze, int(random.integers(1 << 31)), kinds, views[:1])
            except SimulatorError:  # too narrow here
                break
            places = np.array([mover.place for mover in movers.movers])
            away = places - views[0, :3, 3]
            bearings = np.sort(np.arctan2(away @ views[0, :3, 0], away @ views[0, :3, 2]))
            if (
                np.diff(bearings).min() >= SPREAD
                and all(seen(maze, place, view) for place in places for view in views)
                and all(_whole(mover, views[0]) for mover in movers.movers)
            ):
                return near, far, movers
    raise SimulatorError(
        f"Maze {maze.seed} has no place where {len(kinds)} toys are seen from both ends of a "
        f"walk of {BACK_M} m; take another seed."
    )


def _whole(mover: Mover, view: NDArray[np.float64]) -> bool:
    """Whether a view of 90 degrees across cuts nothing off a thing, wherever it goes."""
    x, y, z = (mover.place - view[:3, 3]) @ view[:3, :3]
    reach = math.hypot(mover.size[0], mover.size[2]) / 2 + math.hypot(mover.way[0], mover.way[2])
    return abs(x) + math.sqrt(2) * reach < z and y < LOW * (z - reach)


def _places(maze: Maze, random: np.random.Generator) -> Iterator[ways.Place]:
    """Cells of rooms with an open one behind and two before them, looking ahead."""
    runs = ways.runs(maze)
    for index in random.permutation(len(runs)):
        run = runs[int(index)]
        for cell in run[1:-2]:
            if maze.labels[CELL * cell[0] + 1, CELL * cell[1] + 1] > 0:
                yield ways.stand(cell, ways.heading(run[0], run[1]))

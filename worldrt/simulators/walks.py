"""Camera paths through a maze, from a seed: how people wander, look around and come back.

Every pose is level, at eye height and free of collisions; every path is the same for the same seed.
"""

import math

import numpy as np
from numpy.typing import NDArray

from worldrt.config import MotionConfig, check
from worldrt.simulators.doom.maze import Cell, Maze, cell_at, centre, pose

BRISK = MotionConfig(move_step=0.30, turn_step=8.0)
"""The fastest a camera moves in the training walks."""


def wander(maze: Maze, frames: int, motion: MotionConfig, seed: int) -> NDArray[np.float64]:
    """A walk from a random place: to and fro on foot, spinning, pausing, holding random keys.

    Args:
        maze: where.
        frames: poses wanted, at least 1.
        motion: the largest steps of one frame.
        seed: of the walk.

    Returns:
        [F, 4, 4] poses.

    Raises:
        ConfigError: frames is not positive.
    """
    random = _begin(frames, seed)
    cells = maze.cells
    x, z = centre(cells[int(random.integers(len(cells)))])
    walk = _Walk(maze, pose(x, z, random.uniform(-math.pi, math.pi)), frames, motion, random)
    while not walk.done:
        draw = random.random()
        if draw < 0.30:
            walk.go(cells[int(random.integers(len(cells)))])
        elif draw < 0.45:
            walk.go(walk.seen())
        elif draw < 0.60:
            walk.spin(int(random.integers(12, 61)))
        elif draw < 0.72:
            walk.rest(int(random.integers(4, 13)))
        else:
            walk.hold(int(random.integers(8, 25)))
    return walk.path()


def look_around(
    maze: Maze, start: NDArray[np.float64], frames: int, motion: MotionConfig, seed: int
) -> NDArray[np.float64]:
    """One calm turn on a small circle, full if `frames` allow it: the frames a world starts from.

    Args:
        maze: where.
        start: [4, 4] free level pose, the first of the path.
        frames: poses wanted, at least 1.
        motion: the largest steps of one frame.
        seed: of the side to turn to.

    Returns:
        [F, 4, 4] poses.

    Raises:
        ConfigError: frames is not positive.
    """
    random = _begin(frames, seed)
    walk = _Walk(maze, start, frames, motion, random)
    turn = min(1.0, 360 / motion.turn_step / frames) * random.choice([-1.0, 1.0])
    while not walk.done:
        walk.step(0.2, 0.0, turn)
    return walk.path()


def explore_and_revisit(
    maze: Maze, start: NDArray[np.float64], frames: int, motion: MotionConfig, seed: int
) -> NDArray[np.float64]:
    """Walk far away, turn round, and come back through the same places.

    Args:
        maze: where.
        start: [4, 4] free level pose, the first of the path.
        frames: poses wanted, at least 1.
        motion: the largest steps of one frame.
        seed: of the way.

    Returns:
        [F, 4, 4] poses; the way back has the positions of the way out, looking the other way.

    Raises:
        ConfigError: frames is not positive.
    """
    random = _begin(frames, seed)
    half_turn = math.ceil(180 / motion.turn_step)
    out = max(1, (frames - half_turn + 2) // 2)
    walk = _Walk(maze, start, out, motion, random)
    while not walk.done:
        walk.go(walk.far())
    way = walk.path()
    turns = np.linspace(0, math.pi, half_turn + 1)[1:]
    turning = [_turned(way[-1], angle) for angle in turns]
    back = [_turned(place, math.pi) for place in way[-2::-1]]
    return np.array([*way, *turning, *back])[:frames]


def _begin(frames: int, seed: int) -> np.random.Generator:
    """The random numbers of a walk, which are not those that laid out the maze of the same seed."""
    check(frames > 0, f"A walk has at least 1 frame, got {frames}.")
    return np.random.default_rng([1, seed])


def _turned(place: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """`place` turned to the right by `angle` radians."""
    return pose(place[0, 3], place[2, 3], math.atan2(place[0, 2], place[2, 2]) + angle)


class _Walk:
    """A body that walks until it has as many poses as wanted."""

    def __init__(
        self,
        maze: Maze,
        start: NDArray[np.float64],
        frames: int,
        motion: MotionConfig,
        random: np.random.Generator,
    ) -> None:
        self._maze, self._frames, self._motion, self._random = maze, frames, motion, random
        self._place = start[:3, 3].copy()
        self._yaw = math.atan2(start[0, 2], start[2, 2])
        self._pace = np.zeros(3)
        self._poses = [start.copy()]

    @property
    def done(self) -> bool:
        return len(self._poses) >= self._frames

    def path(self) -> NDArray[np.float64]:
        """[F, 4, 4] the poses so far."""
        return np.array(self._poses)

    def seen(self) -> Cell:
        """A cell that the walk has been in."""
        return cell_at(self._poses[int(self._random.integers(len(self._poses)))][:3, 3])

    def far(self) -> Cell:
        """One of the cells farthest on foot."""
        cells = list(self._maze.explore(cell_at(self._place)))
        return cells[-1 - int(self._random.integers(max(1, len(cells) // 4)))]

    def step(self, forward: float, right: float, turn: float, *, quickness: float = 1.0) -> bool:
        """Make one frame.

        Args:
            forward, right: wanted speed, -1 to 1 of the largest step; together at most 1.
            turn: wanted turn to the right, -1 to 1 of the largest.
            quickness: share of the wanted change of pace that happens in this frame, above 0 to 1.

        Returns:
            Whether something stood in the way.
        """
        if self.done:
            return False
        self._pace += quickness * (np.array([forward, right, turn]) - self._pace)
        forward, right, turn = self._pace
        self._yaw = math.remainder(
            self._yaw + math.radians(self._motion.turn_step) * turn, math.tau
        )
        sine, cosine = math.sin(self._yaw), math.cos(self._yaw)
        move = np.array([sine * forward + cosine * right, 0, cosine * forward - sine * right])
        goal = self._place + self._motion.move_step * move
        self._place, collided = self._maze.slide(self._place, goal)
        self._poses.append(pose(self._place[0], self._place[2], self._yaw))
        return collided

    def go(self, goal: Cell) -> None:
        """Walk to a cell along the shortest way, cutting corners as people do."""
        random, motion = self._random, self._motion
        cruise, quickness = random.uniform(0.4, 1.0), random.uniform(0.2, 0.6)
        for cell in self._maze.route(cell_at(self._place), goal)[1:]:
            target = np.array(centre(cell)) + random.uniform(-0.7, 0.7, 2)
            for _ in range(math.ceil(40 / (cruise * motion.move_step))):  # five times what it takes
                to_x, to_z = target - self._place[[0, 2]]
                if self.done or math.hypot(to_x, to_z) < 1.0:
                    break
                error = math.remainder(math.atan2(to_x, to_z) - self._yaw, math.tau)
                turn = np.clip(math.degrees(error) / motion.turn_step, -1, 1) * 0.9
                self.step(cruise * max(0.0, math.cos(error)), 0, turn, quickness=quickness)

    def spin(self, frames: int) -> None:
        """Turn on the spot."""
        turn = self._random.uniform(0.4, 1.0) * self._random.choice([-1, 1])
        quickness = self._random.choice([0.3, 1.0])
        for _ in range(frames):
            self.step(0, 0, turn, quickness=quickness)

    def rest(self, frames: int) -> None:
        """Stand still."""
        for _ in range(frames):
            self.step(0, 0, 0, quickness=0.5)

    def hold(self, frames: int) -> None:
        """Hold random keys, with a key's sudden full pace or a softer one, until stuck for long."""
        random = self._random
        forward = random.choice([1.0, 0.0, -1.0], p=[0.6, 0.25, 0.15])
        right = random.choice([1.0, 0.0, -1.0], p=[0.2, 0.6, 0.2])
        turn = random.choice([1.0, 0.0, -1.0], p=[0.3, 0.4, 0.3])
        speed = random.uniform(0.5, 1.0) / max(1.0, math.hypot(forward, right))
        quickness = random.choice([0.3, 1.0])
        stuck = 0
        for _ in range(frames):
            stuck += self.step(speed * forward, speed * right, turn * speed, quickness=quickness)
            if stuck > 6:
                break

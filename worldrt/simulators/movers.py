"""Toys that move in a maze by a known law: what a memory of moving things is measured against.

`frame` is the unit of time (a maze has 15 a second); every state is a closed form of it.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.config import check
from worldrt.errors import SimulatorError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.simulators import toys
from worldrt.simulators.doom import collision, maze

KINDS = ("ping-pong", "rotor", "grower", "recolour", "removed", "added")
"""To and fro on a line; turning; swelling and shrinking; colours going round; and two that stand
still, but vanish or appear while nobody looks."""

SWELL = 0.35
"""Share of its size by which a grower is larger at its largest."""
APART = 0.35
"""Metres between two toys, and between a toy and a wall, at least."""
ASIDE = 0.55
"""Metres between a toy and the camera's path, at least."""
SIGHT = (1.8, 5.0)
"""Metres from the path at which a toy is placed."""
TRIES = 4000
"""Places tried for a toy before its maze counts as full."""


class State(NamedTuple):
    """A toy at one moment."""

    pose: NDArray[np.float64]
    """[4, 4] world_from_object; the origin is the middle of its base, y points down."""
    size: NDArray[np.float64]
    """[3] width, height and length, metres."""
    hue: float
    """Of its first face, turns in [0, 1)."""
    there: bool
    """It exists at this moment."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mover:
    """A toy and its law of motion."""

    kind: str
    """One of KINDS."""
    place: NDArray[np.float64]
    """[3] middle of its base, or of its way, metres."""
    body: str = "block"
    """One of toys.BODIES."""
    size: NDArray[np.float64]
    """[3] width, height and length at rest, metres."""
    yaw: float = 0.0
    """Radians, positive to the right."""
    hue: float = 0.0
    """Turns."""
    seed: int = 0
    """Of the patterns on its faces."""
    period: float = 24.0
    """Frames until its state repeats."""
    phase: float = 0.0
    """Turns of the period that have passed at frame 0."""
    way: NDArray[np.float64]
    """[3] metres from the middle of a ping-pong's way to its far end; others stay at 0."""
    change: int = 0
    """Frame from which on a removed toy is gone, or an added one is there."""

    def __post_init__(self) -> None:
        check(self.kind in KINDS, f"A mover is one of {', '.join(KINDS)}, got {self.kind!r}.")
        check(
            self.body in toys.BODIES,
            f"A toy is one of {', '.join(toys.BODIES)}, got {self.body!r}.",
        )
        check(self.period > 1, f"A period is longer than 1 frame, got {self.period:g}.")
        check(bool(np.all(self.size > 0)), f"A size is positive, got {self.size.tolist()} m.")

    @property
    def radius(self) -> float:
        """Metres from its axis that it ever reaches."""
        widest = math.hypot(self.size[0], self.size[2]) / 2
        return widest * (1 + SWELL) if self.kind == "grower" else widest

    def state(self, frame: float) -> State:
        """Where and what it is at `frame`, which need be neither whole nor positive."""
        turns = frame / self.period + self.phase
        place, size, yaw, hue, there = self.place, self.size, self.yaw, self.hue, True
        match self.kind:
            case "ping-pong":
                place = place + triangle(turns) * self.way
            case "rotor":
                yaw += math.tau * (turns % 1)
            case "grower":
                size = size * (1 + SWELL * math.sin(math.tau * turns))
            case "recolour":
                hue += turns
            case "removed":
                there = frame < self.change
            case _:
                there = frame >= self.change
        return State(from_yaw_pitch(place, yaw, 0.0), size, hue % 1, there)


class Movers:
    """Toys in one maze, drawn over its frames.

    Args:
        movers: in the order of their ids.
    """

    def __init__(self, movers: list[Mover]) -> None:
        self.movers = movers

    def __len__(self) -> int:
        return len(self.movers)

    def state(self, frame: float) -> list[State]:
        """The state of each, in the order of the ids."""
        return [mover.state(frame) for mover in self.movers]

    def draw(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        pose: NDArray[np.float64],
        camera: Camera,
        frame: float,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int16]]:
        """A frame with the toys in it.

        Args:
            rgb: [Y, X, 3] the frame without them.
            depth: [Y, X] its metres along z; 0 or not finite is infinitely far.
            pose: [4, 4] world_from_camera.
            camera: of the frame.
            frame: time.

        Returns:
            rgb: [Y, X, 3].
            depth: [Y, X].
            ids: [Y, X] whose toy is at the pixel's centre; -1 is none's.
        """
        rgb, depth = rgb.copy(), depth.copy()
        ids = np.full(depth.shape, -1, np.int16)
        states = self.state(frame)
        gaps = [np.linalg.norm(state.pose[:3, 3] - pose[:3, 3]) for state in states]
        for index in np.argsort(-np.array(gaps), kind="stable").tolist():
            mover, state = self.movers[index], states[index]
            if state.there:
                toys.paint(
                    rgb,
                    depth,
                    ids,
                    pose,
                    camera,
                    name=index,
                    body=mover.body,
                    world_from_toy=state.pose,
                    size=state.size,
                    hue=state.hue,
                    seed=mover.seed,
                )
        return rgb, depth, ids


def triangle(turns: float) -> float:
    """The triangle wave of period 1: 0 rising at 0, 1 at 1/4, -1 at 3/4."""
    return 4 * abs((turns - 0.25) % 1 - 0.5) - 1


def in_maze(
    world: maze.Maze, seed: int, kinds: tuple[str, ...], along: NDArray[np.float64]
) -> Movers:
    """Toys where a walk sees them, clear of its walls, of the walk and of each other.

    Args:
        world: where.
        seed: of everything about them.
        kinds: one of KINDS for each toy.
        along: [F, 4, 4] poses of the walk; frame 0 is the first. A toy that vanishes or appears
            does so in the middle of the longest time that the walk does not see it, and after the
            walk if there is none.

    Raises:
        ConfigError: an unknown kind.
        SimulatorError: a toy finds no place.
    """
    random = np.random.default_rng([3, seed])
    placed: list[Mover] = []
    for number, kind in enumerate(kinds):
        for _ in range(TRIES):
            mover = _invented(world, kind, along, random)
            if _fits(world, mover, placed, along):
                break
        else:
            raise SimulatorError(
                f"Toy {number + 1} of {len(kinds)} finds no place along this walk in maze "
                f"{world.seed}; ask for fewer or walk through larger rooms."
            )
        placed.append(mover)
    return Movers(placed)


def seen(world: maze.Maze, place: NDArray[np.float64], pose: NDArray[np.float64]) -> bool:
    """Whether a place is in front of a camera of 90 degrees, in the open, and not too far.

    Args:
        world: where.
        place: [3] metres.
        pose: [4, 4] level world_from_camera.
    """
    away = place - pose[:3, 3]
    aside, ahead = abs(away @ pose[:3, 0]), away @ pose[:3, 2]
    if ahead <= 0 or aside > 1.1 * ahead:
        return False
    steps = max(2, math.ceil(4 * ahead))
    between = pose[:3, 3] + np.linspace(0, 1, steps)[:, None] * away
    columns, rows = np.floor(between[:, [0, 2]]).astype(int).T
    return bool(np.all(world.labels[rows, columns] >= 0))


def _invented(
    world: maze.Maze, kind: str, along: NDArray[np.float64], random: np.random.Generator
) -> Mover:
    """A toy before some pose of the walk, not yet known to fit."""
    pose = along[int(random.integers(len(along)))]
    far, aside = random.uniform(*SIGHT), random.uniform(-0.7, 0.7)
    place = pose[:3, 3] + far * (pose[:3, 2] + aside * pose[:3, 0])
    place[1] = 0.0
    wide = random.uniform(0.6, 0.85)
    heading = random.uniform(-math.pi, math.pi)
    way = np.zeros(3)
    if kind == "ping-pong":
        way = random.uniform(0.6, 0.9) * np.array([math.cos(heading), 0, math.sin(heading)])
    unseen = _longest_unseen(world, place, along) if kind in ("removed", "added") else 0
    return Mover(
        kind=kind,
        place=place,
        body=str(random.choice(list(toys.BODIES))),
        size=np.array([wide, random.uniform(1.0, 1.5) * wide, wide]),
        yaw=random.uniform(-math.pi, math.pi),
        hue=random.uniform(),
        seed=int(random.integers(1 << 16)),
        period=random.uniform(18, 26)
        if kind in ("ping-pong", "grower")
        else random.uniform(20, 40),
        phase=random.uniform(),
        way=way,
        change=unseen,
    )


def _fits(world: maze.Maze, mover: Mover, placed: list[Mover], along: NDArray[np.float64]) -> bool:
    """Whether nothing comes near the whole way of a toy, and some pose of the walk sees it."""
    spots = mover.place + np.linspace(-1, 1, 9)[:, None] * mover.way
    free = min(mover.radius + APART, 0.99)  # the test for walls looks no farther
    if not all(collision.clear(world.labels, spot[0], spot[2], free) for spot in spots):
        return False
    if _gap(spots, along[:, :3, 3]) < mover.radius + ASIDE:
        return False
    for other in placed:
        others = other.place + np.linspace(-1, 1, 9)[:, None] * other.way
        if _gap(spots, others) < mover.radius + other.radius + APART:
            return False
    return any(seen(world, mover.place, pose) for pose in along)


def _gap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Least distance on the floor between two sets of places, metres."""
    away = a[:, None, [0, 2]] - b[None, :, [0, 2]]
    return float(np.linalg.norm(away, axis=-1).min())


def _longest_unseen(
    world: maze.Maze, place: NDArray[np.float64], along: NDArray[np.float64]
) -> int:
    """The middle of the longest run of frames between two sights of a place, or the walk's end."""
    sights = [frame for frame, pose in enumerate(along) if seen(world, place, pose)]
    runs = [(b - a, (a + b) // 2) for a, b in zip(sights, sights[1:], strict=False) if b - a > 1]
    return max(runs)[1] if runs else len(along)

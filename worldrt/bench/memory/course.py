"""Courses: where the camera goes, which frames are scored, and what they are compared to.

| protocol | course | scored |
|---|---|---|
| S1 | forward or sideways for N frames, or a quarter turn, and exactly back | the return |
| S2 | a round through a room, or about a block of rock, twice | round 2 |
| S3 | four looks, an excursion of N frames out of sight, the looks again | the looks again |
| S4 | two full turns on the spot; in a town also nodding | turn 2 |
| S5 | a random walk; WorldMem's and Memory Forcing's cuts of one | revisits; the cuts' ends |
| S6 | look at things that move, look away for N frames, look back | the last 32 frames |
| S7 | courses of S2 and S3 with noise, see `noise.py` | as these |

S3's `detour` looks again from the very same poses, where whole stored frames fit to the bit; its
`aside` from a step aside and turned a little, as one comes back who is no machine. S8 is a stream,
see `stream.py`. The mazes' camera stays level, so who nods stands in the town of `town.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worldrt.bench.memory import ways
from worldrt.bench.memory.absence import VISIBLE, absences
from worldrt.bench.memory.pairs import revisits
from worldrt.bench.memory.town import nodding
from worldrt.config import MotionConfig, check
from worldrt.errors import ConfigError
from worldrt.simulators.doom.maze import Maze, cell_at, generate
from worldrt.simulators.movers import Movers

LOOK = 60
"""Frames of one of the four looks around of S3, its quarter turn included."""
ASIDE = 0.6, math.radians(12)
"""Metres and angle by which S3's `aside` looks again from elsewhere."""
SKIPPED, GIVEN, PREDICTED = 100, 600, 100
"""WorldMem's protocol: frames left out, true frames given and frames predicted."""
FEWEST, ATTEMPTS = 20, 50
"""Scored frames of a random walk, at least, and walks tried until one has them."""
FORCING = 800
"""Frames of Memory Forcing's protocol, of which those from GIVEN on are predicted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """One way through one maze."""

    name: str
    """The protocol and its variant, `S1-forward-32`; the same for all seeds."""
    protocol: str
    """S1 to S7."""
    seed: int
    """Of the maze."""
    poses: NDArray[np.float64]
    """[T, 4, 4] world_from_camera, free of collisions."""
    context: int
    """True frames given before a generator begins; a memory alone may be given all frames before
    a scored one."""
    scored: NDArray[np.bool_]
    """[T]"""
    visit: NDArray[np.int64]
    """[T] index of the earlier frame with a scored frame's very pose, to the last bit; -1: none."""
    movers: Movers | None = None
    """Things that move; frame 0 is the course's first."""
    hidden: slice | None = None
    """Frames in which no pixel shows what the first ones did."""
    in_town: bool = False
    """It is a course through the town of the maze's seed, which no world was made for."""


def courses(
    protocol: str, seed: int, motion: MotionConfig, length: int | None = None
) -> list[Course]:
    """All courses of a protocol in one maze, always the same for the same arguments.

    Args:
        protocol: S1 to S7.
        seed: of the maze, 0 to 2^63 - 1.
        motion: the steps of a frame; the turn of one divides a quarter turn's 60 frames.
        length: the only N, in frames; None: those of the design, S1 16, 32, 64; S3 and S7 500 (S3
            also 1000, 2000, 4000); S5 1500, 4000; S6 32, 128, 512.

    Raises:
        ConfigError: unknown protocol, a length where there is none, or one that does not fit.
        SimulatorError: no place in the maze for S6.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError.unknown("protocol", protocol, PROTOCOLS)
    make, lengths = PROTOCOLS[protocol]
    if length is not None:
        check(len(lengths) > 0, f"Protocol {protocol} has no length, got {length}; leave it out.")
        check(length >= 1, f"A length is at least 1 frame, got {length}.")
        lengths = (length,)
    maze = generate(seed)
    return make(_Ground(maze, motion), lengths)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every course is laid out in."""

    maze: Maze
    motion: MotionConfig

    def random(self, length: int = 0) -> np.random.Generator:
        """Draws of one length's courses, whichever others there are."""
        return np.random.default_rng([2, self.maze.seed, length])

    def start(self) -> ways.Place:
        """[3] the place with the widest view."""
        pose = self.maze.start()
        return ways.stand(cell_at(pose[:3, 3]), math.atan2(pose[0, 2], pose[2, 2]))

    def course(
        self, name: str, poses: NDArray[np.float64], first: int, visit: NDArray[np.int64]
    ) -> Course:
        """The course of poses [T, 4, 4] whose frames from `first` on are scored."""
        at = np.arange(len(poses))
        return Course(
            name=name,
            protocol=name[:2],
            seed=self.maze.seed,
            poses=poses,
            context=first,
            scored=at >= first,
            visit=np.where(at >= first, visit, -1),
        )

    def there_and_back(self, name: str, out: ways.Way) -> Course:
        """The way out [N + 1, 3], then back through the very same places."""
        back = 2 * (len(out) - 1) - np.arange(2 * len(out) - 1)
        poses = ways.poses(np.concatenate([out, out[-2::-1]]))
        return self.course(name, poses, len(out), back)

    def twice(self, name: str, once: NDArray[np.float64]) -> Course:
        """The same round [N, 4, 4] two times."""
        again = np.arange(2 * len(once)) - len(once)
        return self.course(name, np.tile(once, (2, 1, 1)), len(once), again)


def _returns(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    run = ways.longest_run(ground.maze, ground.random())
    ahead = ways.heading(run[0], run[1])
    start, sideways = ways.stand(run[0], ahead), ways.stand(run[0], ahead + math.pi / 2)
    farthest = list(ground.maze.explore(run[0]))[-1]
    straight = ways.walk(start, run, ground.motion)
    bent = ways.walk(start, ground.maze.route(run[0], farthest), ground.motion)
    across = ways.line(sideways, straight[-1, :2], ground.motion)
    found = []
    for frames in lengths:
        out = straight if len(straight) >= frames else bent
        check(
            frames <= len(out) and frames <= len(across),
            f"S1 goes {frames} frames out, but maze {ground.maze.seed} has a straight way of "
            f"{len(across)}; ask for a shorter one.",
        )
        for name, begin, way in (("forward", start, out), ("strafe", sideways, across)):
            out = np.concatenate([begin[None], way[:frames]])
            found.append(ground.there_and_back(f"S1-{name}-{frames}", out))
    quarter = ways.turn(start, ahead + math.pi / 2, ground.motion)
    return [*found, ground.there_and_back("S1-yaw", np.concatenate([start[None], quarter]))]


def _rounds(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    rounds = {
        "S2-square": ways.square(ground.maze, ground.random()),
        "S2-loop": ways.loop(ground.maze),
    }
    return [
        ground.twice(name, ways.poses(ways.closed(cells, ground.motion)))
        for name, cells in rounds.items()
    ]


def _detours(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    start, maze = ground.start(), ground.maze
    here = ways.cell_of(start)
    quarter = math.ceil(90 / ground.motion.turn_step - 1e-9)
    check(
        quarter <= LOOK,
        f"A look of S3 is {LOOK} frames, a quarter turn of {ground.motion.turn_step:g} degrees a "
        f"frame is {quarter}; turn by at least {90 / LOOK} degrees a frame.",
    )
    looks = []
    for look in range(4):
        at = start + (0, 0, look * math.pi / 2)
        still = np.tile(at, (LOOK - quarter, 1))
        looks += [still, ways.spin(at, math.pi / 2, quarter)]
    looks = np.concatenate(looks)
    found = []
    for frames in lengths:
        away = ways.excursion(
            maze,
            looks[-1],
            frames,
            ways.hidden_cells(maze, here),
            ground.motion,
            ground.random(frames),
        )
        again = np.arange(2 * len(looks) + frames) - len(looks) - frames
        same = ground.course(
            f"S3-detour-{frames}",
            ways.poses(np.concatenate([looks, away, looks])),
            len(looks) + frames,
            again,
        )
        # A generator makes the excursion itself.
        found.append(replace(same, context=len(looks)))
        elsewhere = _aside(ground, start)
        step = ways.line(start, elsewhere[:2], ground.motion)
        turn = ways.turn(step[-1], elsewhere[2], ground.motion)
        way = np.concatenate([looks, away, start[None], step, turn, looks - start + elsewhere])
        first = len(way) - len(looks)
        never = np.full(len(way), -1)
        other = ground.course(f"S3-aside-{frames}", ways.poses(way), first, never)
        found.append(replace(other, context=len(looks)))
    return found


def _aside(ground: _Ground, start: ways.Place) -> ways.Place:
    """[3] a place ASIDE of another; the first of eight ways about that is free."""
    metres, angle = ASIDE
    here = np.array([start[0], 0.0, start[1]])
    for way in range(8):
        bearing = start[2] + (way + 0.5) * math.pi / 4
        there = here + metres * np.array([math.sin(bearing), 0, math.cos(bearing)])
        if not ground.maze.slide(here, there)[1]:
            return np.array([there[0], there[2], start[2] + angle])
    raise ConfigError(
        f"In maze {ground.maze.seed} nothing {metres} m about the widest view is free; take "
        "another seed."
    )


def _spins(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    start = ground.start()
    frames = math.ceil(360 / ground.motion.turn_step - 1e-9)
    once = np.concatenate([start[None], ways.spin(start, math.tau, frames)[:-1]])
    nods = ground.twice("S4-pitch", nodding(ground.motion.turn_step))
    return [ground.twice("S4-spin", ways.poses(once)), replace(nods, in_town=True)]


def _walks(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    found = []
    for frames in lengths:
        random = ground.random(frames)
        for _ in range(ATTEMPTS):
            poses = ways.random_walk(ground.maze, frames, ground.motion, random)
            scored = np.zeros(frames, np.bool_)
            scored[revisits(poses)[:, 1]] = True
            if scored.sum() >= FEWEST:
                break
        else:
            raise ConfigError(
                f"Of {ATTEMPTS} random walks of {frames} frames in maze {ground.maze.seed} none "
                f"comes back {FEWEST} times; ask for longer ones."
            )
        found.append(_cut(ground, f"S5-walk-{frames}", poses, min(SKIPPED, frames // 2), scored))
    whole = ways.random_walk(ground.maze, FORCING, ground.motion, ground.random(FORCING))
    for name, poses in (
        ("worldmem", whole[SKIPPED : SKIPPED + GIVEN + PREDICTED]),
        ("forcing", whole),
    ):
        scored = np.arange(len(poses)) >= GIVEN
        found.append(_cut(ground, f"S5-{name}", poses, GIVEN, scored))
    return found


def _cut(
    ground: _Ground,
    name: str,
    poses: NDArray[np.float64],
    context: int,
    scored: NDArray[np.bool_],
) -> Course:
    """A course of a random walk, whose revisits are by chance and so not exact."""
    return Course(
        name=name,
        protocol="S5",
        seed=ground.maze.seed,
        poses=poses,
        context=context,
        scored=scored,
        visit=np.full(len(poses), -1),
    )


def _absences(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    found = []
    for absence in absences(ground.maze, ground.motion, ground.random(), lengths):
        first = len(absence.way) - VISIBLE
        visit = np.arange(len(absence.way)) - first
        if not np.array_equal(absence.way[0], absence.way[-1]):
            visit[:] = -1  # looks back from elsewhere
        poses = ways.poses(absence.way)
        course = ground.course(f"S6-{absence.name}", poses, first, visit)
        found.append(replace(course, context=VISIBLE, movers=absence.movers, hidden=absence.hidden))
    return found


def _noisy(ground: _Ground, lengths: tuple[int, ...]) -> list[Course]:
    plain = [*_rounds(ground, ()), *_detours(ground, lengths)[::2]]  # not from aside
    return [
        replace(course, protocol="S7", name=course.name.replace(course.protocol, "S7"))
        for course in plain
    ]


_Layout = Callable[[_Ground, tuple[int, ...]], list[Course]]

PROTOCOLS: dict[str, tuple[_Layout, tuple[int, ...]]] = {
    "S1": (_returns, (16, 32, 64)),
    "S2": (_rounds, ()),
    "S3": (_detours, (500, 1000, 2000, 4000)),
    "S4": (_spins, ()),
    "S5": (_walks, (1500, 4000)),
    "S6": (_absences, (32, 128, 512)),
    "S7": (_noisy, (500,)),
}
"""How each is laid out, and its lengths in frames."""

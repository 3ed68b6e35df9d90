"""A body among walls that were seen: it glides, never passes, is never trapped."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from worldrt.config import CameraConfig, MotionConfig
from worldrt.geometry.camera import Camera
from worldrt.geometry.keys import Keys
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.geometry.trajectory import integrate
from worldrt.memory.spatial.points import Points
from worldrt.memory.spatial.walls import BAND, BODY, SLACK, Walls
from worldrt.simulators.doom import collision, depth, maze

FOCAL = 38.4
CAMERA = Camera.centred(CameraConfig(width=64, height=48, fx=32.0, fy=FOCAL))


def store(*clouds: NDArray[np.floating], seen_from: float = 0.5, pages: int = 2000) -> Points:
    """A map of these points [P, 3], as fine as if seen from so many metres."""
    points = Points(pages, FOCAL)
    for cloud in clouds:
        count = len(cloud)
        depths = np.full(count, seen_from, np.float32)
        colour = np.zeros((count, 3), np.uint8)
        assert points.add(cloud.astype(np.float32), colour, depths, 0)[1] == count
    return points


def fence(
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    low: float = -1.0,
    high: float = 1.0,
    spacing: float = 0.05,
) -> NDArray[np.float64]:
    """Points of an upright wall between two places (x, z)."""
    length = math.dist(start, end)
    share = np.linspace(0, 1, max(2, round(length / spacing) + 1))[:, None]
    along = np.array(start) * (1 - share) + np.array(end) * share
    heights = np.linspace(low, high, max(2, round((high - low) / spacing) + 1))
    x, y = np.meshgrid(along[:, 0], heights, indexing="ij")
    z = np.repeat(along[:, 1:], len(heights), axis=1)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def at(x: float, z: float, y: float = 0.0) -> NDArray[np.float64]:
    return np.array([x, y, z])


AHEAD = fence((-4.03, 3.02), (4.03, 3.02))
"""A wall across the way of one who looks along z."""


def test_where_nothing_was_seen_one_goes_where_one_wants() -> None:
    walls = Walls(Points(3, FOCAL))
    for there in (at(0.1, 0.2), at(-7, 90, 3), at(0, 0)):
        np.testing.assert_array_equal(walls(at(0, 0), there), there)


def test_away_from_walls_a_step_ends_exactly_where_it_was_meant_to() -> None:
    there = at(0.123456789, 1.87654321, 0.1)
    np.testing.assert_array_equal(Walls(store(AHEAD))(at(0, 0), there), there)


@pytest.mark.parametrize("radius", [0.3, BODY, 0.8125])
@pytest.mark.parametrize("goal", [2.9, 3.1, 5.0, 53.0, 2000.0])
def test_a_wall_stops_the_body_at_its_radius(radius: float, goal: float) -> None:
    walls, place = Walls(store(AHEAD), radius), at(0, 0)
    for _ in range(3):  # the last stride of a long step may be given up
        place = walls(place, at(0, goal))
    assert radius - SLACK - 1e-6 <= 3.02 - place[2] <= radius + 0.1
    assert abs(place[0]) < 0.05


@pytest.mark.parametrize("side", [-1, 1])
def test_it_stops_from_either_side(side: int) -> None:
    place = Walls(store(AHEAD))(at(1, 3.02 - 2 * side), at(1, 3.02 + 3 * side))
    assert (3.02 - place[2]) * side >= BODY - SLACK - 1e-6


@pytest.mark.parametrize("degrees", [20, 45, 70])
@pytest.mark.parametrize("spacing", [0.02, 0.11, 0.16])
def test_a_body_glides_along_a_slanting_wall(degrees: float, spacing: float) -> None:
    tangent = np.array([math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])
    normal = np.array([-tangent[1], tangent[0]])
    wall = fence(tuple(-9 * tangent), tuple(9 * tangent), spacing=spacing)
    walls = Walls(store(wall, pages=6000))
    x, z = 1.2 * normal - 4 * tangent
    place = at(x, z)
    for _ in range(40):
        place = walls(place, place + at(0, 0.2))
        assert normal @ place[[0, 2]] >= BODY - SLACK - 1e-6
    # What is left of a step is its part along the wall.
    gone = tangent @ place[[0, 2]] + 4
    assert gone >= 0.9 * (40 * 0.2) * math.cos(math.radians(degrees))


@pytest.mark.parametrize("eye", [0.0, -1.3, 0.7])
def test_floor_and_ceiling_are_no_walls(eye: float) -> None:
    grid = np.stack(np.meshgrid(np.arange(-1, 4, 0.05), np.arange(-1, 4, 0.05)), axis=-1)
    flat = grid.reshape(-1, 2)

    def level(y: float) -> NDArray[np.float64]:
        return np.stack([flat[:, 0], np.full(len(flat), y), flat[:, 1]], axis=-1)

    walls = Walls(store(level(eye + BAND + 0.05), level(eye - BAND - 0.05), pages=6000))
    np.testing.assert_array_equal(walls(at(0, 0, eye), at(1, 2, eye)), at(1, 2, eye))
    # Nor is a table's top at the very height of the eye: it has no height of its own.
    walls = Walls(store(level(eye), pages=6000))
    np.testing.assert_array_equal(walls(at(0, 0, eye), at(1, 2, eye)), at(1, 2, eye))


@pytest.mark.parametrize("low, high, solid", [(-3, -0.5, False), (0.5, 1.2, False), (-3, 0, True)])
def test_only_what_reaches_to_the_eye_is_a_wall(low: float, high: float, solid: bool) -> None:
    place = Walls(store(fence((-2, 1.5), (2, 1.5), low=low, high=high)))(at(0, 0), at(0, 3))
    assert (place[2] < 1.5) == solid


def test_stray_points_are_no_wall() -> None:
    strays = np.array([[0.02, -0.3, 1.0], [0.03, 0.3, 1.02], [0.06, 0, 1.04], [0.3, 0.1, 2.0]])
    np.testing.assert_array_equal(Walls(store(strays))(at(0, 0), at(0, 3)), at(0, 3))
    post = np.append(strays[:3], [[0.04, 0.1, 1.03]], axis=0)
    place = Walls(store(post))(at(0, 0), at(0, 3))
    assert np.hypot(place[0] - 0.04, place[2] - 1.02) > BODY - SLACK - 0.03


def test_what_was_deleted_is_no_wall() -> None:
    points = store(AHEAD)
    points.remove(np.flatnonzero(points.weight).astype(np.int32))
    np.testing.assert_array_equal(Walls(points)(at(0, 0), at(0, 5)), at(0, 5))


def test_a_gap_narrower_than_the_body_is_no_door() -> None:
    def row(gap: float) -> Points:
        return store(fence((-2, 2), (-gap / 2, 2)), fence((gap / 2, 2), (2, 2)))

    assert Walls(row(1.2), 0.75)(at(0, 0), at(0, 4))[2] < 2
    assert Walls(row(1.2), 0.5)(at(0, 0), at(0, 4))[2] == 4


def test_one_who_stands_in_a_wall_may_leave_it_and_go_along_but_not_deeper() -> None:
    walls = Walls(store(AHEAD))
    inside = at(0.5, 2.8)
    np.testing.assert_array_equal(walls(inside, at(0.5, 2.0)), at(0.5, 2.0))
    along = walls(inside, at(1.0, 2.8))
    assert along[0] > 0.8 and along[2] < 2.82
    place = inside
    for _ in range(20):
        place = walls(place, place + at(0, 0.2))
    assert place[2] <= 2.8 + 1e-6
    within = at(0.5, 3.02)
    assert walls(within, at(0.5, 2.0))[2] == 2.0 and walls(within, at(0.5, 4.0))[2] == 4.0


def test_a_corridor_that_has_become_too_narrow_can_be_left() -> None:
    walls = Walls(store(fence((-0.5, -1), (-0.5, 4)), fence((0.5, -1), (0.5, 4))))
    place = at(0, 0)
    for _ in range(30):
        place = walls(place, place + at(0.01, 0.2))
    assert place[2] > 5 and abs(place[0]) < 0.5


def test_a_corner_holds_and_lets_go() -> None:
    walls = Walls(store(AHEAD, fence((4.03, 3.02), (4.03, -4))))
    place = at(0, 0)
    for _ in range(40):
        place = walls(place, place + at(0.2, 0.2))
    assert np.all(np.abs([4.03, 3.02] - place[[0, 2]] - BODY) < 0.1)
    np.testing.assert_array_equal(walls(place, place - at(0.5, 0.5)), place - at(0.5, 0.5))


@pytest.mark.parametrize("seed", range(20))
def test_no_step_of_any_length_comes_nearer_than_the_body(seed: int) -> None:
    """Against the distance to every point, over random posts."""
    random = np.random.default_rng(seed)
    feet = random.uniform(-6, 6, (15, 2))
    posts = [fence((x, z), (x + 0.01, z), spacing=0.1) for x, z in feet]
    radius = random.uniform(0.3, 0.9)
    walls, places = Walls(store(*posts), radius), np.concatenate(posts)[:, [0, 2]]

    def distance(place: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(places - place[[0, 2]], axis=1).min())

    place = at(*random.uniform(-6, 6, 2))
    for _ in range(60):
        before = distance(place)
        was, place = place, walls(place, place + at(*random.normal(0, random.choice([0.1, 1]), 2)))
        assert distance(place) >= min(radius - SLACK, before) - 0.03
        share = np.linspace(0, 1, 60)[:, None]
        if np.linalg.norm(place - was) < 0.1:  # one stride, whose way is straight
            least = min(distance(p) for p in was * (1 - share) + place * share)
            assert least > min(radius, before) / 2 - 0.03


def test_it_is_a_step_of_a_walk_and_a_walk_may_be_cut() -> None:
    walls, motion = Walls(store(AHEAD)), MotionConfig(move_step=0.22, turn_step=7.0)
    keys = [Keys.W] * 17 + [Keys.W | Keys.L] * 5 + [Keys.W] * 9
    start = from_yaw_pitch(at(0, 0), 0.3, 0.0)
    whole = integrate(keys, start, motion, walls)
    first = integrate(keys[:13], start, motion, walls)
    rest = integrate(keys[13:], first[-1], motion, walls)
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)
    assert whole[:, 2, 3].max() < 3.02 - BODY + SLACK
    assert integrate(keys, start, motion)[:, 2, 3].max() > 3.02


# True mazes, seen in full.


def seen(place: maze.Maze) -> Points:
    """What a look around from every cell shows."""
    points = Points(24_000, FOCAL)
    for x, z in map(maze.centre, place.cells):
        for yaw in 0.3 + np.arange(4) * math.pi / 2:
            pose = maze.pose(x, z, yaw)
            far = depth.cast(place.heights, CAMERA, pose[:3, 3], yaw)
            cloud = CAMERA.unproject(far, pose).astype(np.float32).reshape(-1, 3)
            colour = np.zeros((len(cloud), 3), np.uint8)
            assert points.add(cloud, colour, far.reshape(-1), 0)[1] == len(cloud)
    return points


@pytest.mark.parametrize(
    "seed, radius, step", [(3, BODY, 0.22), (5, maze.RADIUS, 0.3), (8, 0.3, 2)]
)
def test_no_wall_of_a_maze_is_crossed_and_nothing_else_stops(
    seed: int, radius: float, step: float
) -> None:
    true, random = maze.generate(seed), np.random.default_rng(seed)
    walls = Walls(seen(true), radius)
    free = stopped = met = 0
    place, yaw = at(0, 0), 0.0
    for frame in range(1500):
        if frame % 300 == 0:
            cell = true.cells[int(random.integers(len(true.cells)))]
            place = maze.pose(*maze.centre(cell), 0)[:3, 3]
        if frame % 30 == 0:
            yaw = random.uniform(-math.pi, math.pi)
        goal = place + step * at(math.sin(yaw), math.cos(yaw))
        was, place = place, walls(place, goal)
        assert collision.nearest(true.labels, place[0], place[2])[2] > radius - 0.06
        assert np.linalg.norm(place - was) < 1.1 * step
        truth, hit = true.slide(was, goal) if true.free(was) else (was, True)
        met += hit
        if not hit:
            free += 1
            stopped += not np.allclose(place, truth)
    assert met > 300 and free > 50
    assert stopped < 0.01 * free

"""Overlap of fields of view: the published test of a point, and the greedy choice."""

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, around, stand, walk
from worldrt.errors import ConfigError
from worldrt.memory.retrieval.montecarlo import MonteCarlo, inside


def test_a_point_is_inside_by_azimuth_and_elevation() -> None:
    """As published: atan2 of the axes, relative to yaw and pitch, within half the field of view."""
    random = np.random.default_rng(0)
    points = random.normal(size=(2000, 3)) * 5
    pose = stand(1.0, 2.0, 0.7)
    x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).T
    azimuth, elevation = np.arctan2(x, z), np.arctan2(-y, np.hypot(x, z))
    half = np.radians([52.5, 37.5])
    expected = (np.abs(azimuth) <= half[0]) & (np.abs(elevation) <= half[1])
    got = inside(points, pose, (np.tan(half[0]), np.tan(half[1])))
    assert 100 < np.count_nonzero(got) < 1900
    assert got.tolist() == expected.tolist()


def test_the_ball_is_filled_evenly() -> None:
    ball = MonteCarlo(samples=20_000, radius=7.0)._ball(np.random.default_rng(1))
    share = (np.linalg.norm(ball, axis=1) / 7) ** 3  # uniform on [0, 1]
    assert share.max() <= 1
    assert np.sort(share) == pytest.approx(np.linspace(0, 1, 20_000), abs=0.02)
    assert ball.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.1)


def test_the_field_of_view_is_the_cameras_unless_said() -> None:
    half = SMALL.width / SMALL.fx / 2
    assert MonteCarlo()._slopes(SMALL) == (half, SMALL.height / SMALL.fy / 2)
    across, down = MonteCarlo(across=105.0, down=75.0)._slopes(SMALL)
    assert np.degrees(np.arctan([across, down])) == pytest.approx([52.5, 37.5])


def test_the_choice_covers_and_then_stops() -> None:
    """Two frames that look to either side cover the view together; a twin adds nothing."""
    left, right = stand(3.0, 4.0, EAST - 0.5), stand(3.0, 4.0, EAST + 0.5)
    seen = walk([left, right, left])
    rows = MonteCarlo(age=0.0).choose(seen.query(stand(3.0, 4.0, EAST)), seen.candidates, None)
    assert sorted(rows) == [1, 2]


def test_age_outweighs_what_is_about_equal() -> None:
    pose = stand(3.0, 4.0, EAST)
    seen = walk([pose, stand(3.0, 4.0, EAST + 0.1)])
    assert MonteCarlo(age=0.0).choose(seen.query(pose, 1), seen.candidates, None) == [0]
    assert MonteCarlo(age=0.9).choose(seen.query(pose, 1), seen.candidates, None) == [1]


def test_the_seed_decides_the_points() -> None:
    seen = around(3.0, 4.0, 31)
    pose = stand(3.0, 4.0, 0.05)
    few = MonteCarlo(samples=40)
    answers = {
        tuple(few.choose(seen.query(pose, 4, seed=seed), seen.candidates, None))
        for seed in range(20)
    }
    assert len(answers) > 1


@pytest.mark.parametrize(
    "options, got",
    [
        ({"samples": 0}, "0, 30 and 0"),
        ({"radius": 0.0}, "10000, 0 and 0"),
        ({"across": 180.0}, "10000, 30 and 180"),
        ({"across": 90.0, "down": 200.0}, "10000, 30 and 200"),
    ],
)
def test_options_out_of_range(options: dict[str, float], got: str) -> None:
    with pytest.raises(ConfigError) as error:
        MonteCarlo(**options)  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "Monte-Carlo retrieval needs at least 1 sample, a radius above 0 m and a field of view "
        f"below 180 degrees, got {got}."
    )

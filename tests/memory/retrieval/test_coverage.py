"""Coverage of what the map shows: how much, by which frames, and what if it shows nothing."""

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, Walk, around, both_rooms, look, stand, walk
from worldrt.errors import ConfigError
from worldrt.kernels.coverage import sees
from worldrt.memory.retrieval.coverage import AHEAD, Coverage
from worldrt.memory.retrieval.oracle import Oracle
from worldrt.memory.retrieval.query import Query
from worldrt.memory.spatial.keyframes import quartered


def covered(seen: Walk, query: Query, rows: list[int]) -> int:
    """Pixels of the query's true view that the chosen frames show."""
    pose = query.poses[0]
    places = SMALL.unproject(quartered(look(pose)), pose).reshape(-1, 3).astype(np.float32)
    bits = sees(places, seen.candidates.poses[rows], seen.candidates.depth[rows], SMALL)
    return int(np.bitwise_count(np.bitwise_or.reduce(bits, axis=0, initial=0)).sum())


def test_it_shows_nearly_what_the_oracle_shows() -> None:
    """Frames at random in the western room: at K = 4, at least 0.95 of the oracle's pixels."""
    ours, best = 0, 0
    for seed in range(6):
        random = np.random.default_rng(seed)
        places = random.uniform((1.5, 1.5, -3), (5.5, 6.5, 3), (36, 3))
        poses = [stand(*place) for place in places]
        seen = walk(poses[5:])
        for pose in poses[:5]:
            query = seen.query(pose, 4)
            ours += covered(seen, query, Coverage().choose(query, seen.candidates, seen.points))
            best += covered(seen, query, Oracle().choose(query, seen.candidates, None))
    assert best >= ours >= 0.95 * best


def test_what_the_recent_frames_show_needs_no_other() -> None:
    seen = walk([stand(3.0, 4.0, EAST), stand(2.0, 4.0, 0.0), stand(3.0, 4.0, EAST)])
    pose = stand(3.0, 4.0, EAST)
    chosen = Coverage().choose(seen.query(pose, 3, recent=1), seen.candidates, seen.points)
    assert chosen == []
    assert Coverage().choose(seen.query(pose, 1), seen.candidates, seen.points) == [2]


def test_of_equal_frames_the_newer_is_taken_and_age_counts() -> None:
    """Row 0 shows a little more than row 1, from far enough to be another view."""
    seen = walk([stand(2.0, 4.0, EAST), stand(2.8, 4.0, EAST)])
    query = seen.query(stand(2.2, 4.0, EAST), 1)
    assert Coverage(age=0.0).choose(query, seen.candidates, seen.points) == [0]
    assert Coverage(age=0.9).choose(query, seen.candidates, seen.points) == [1]
    twins = walk([stand(2.0, 4.0, EAST)] * 3)
    query = twins.query(stand(2.0, 4.0, EAST), 1)
    assert Coverage(age=0.0).choose(query, twins.candidates, twins.points) == [2]
    more = twins.query(stand(2.0, 4.0, EAST), 3)  # what adds nothing is not chosen
    assert Coverage(age=0.0).choose(more, twins.candidates, twins.points) == [2]


def test_only_frames_with_votes_are_asked() -> None:
    """With room for one frame, it is the one that the points in front name most."""
    seen = around(3.0, 4.0, 12)
    for k in (0, 5):
        query = seen.query(seen.candidates.poses[k], 4)
        assert len(Coverage(frames=1).choose(query, seen.candidates, seen.points)) == 1


def test_outside_the_map_the_nearest_poses_that_look_the_same_way() -> None:
    seen = both_rooms()
    away = stand(-500.0, 4.0, -EAST)
    assert Coverage().choose(seen.query(away, 3), seen.candidates, seen.points) == []
    along = stand(500.0, 4.0, EAST)
    query = seen.query(along, 3)
    rows = Coverage().choose(query, seen.candidates, seen.points)
    assert rows == AHEAD.choose(query, seen.candidates, None) and len(rows) == 3


def test_an_empty_map_falls_back_as_well() -> None:
    seen = both_rooms()
    seen.points.clear()
    query = seen.query(stand(3.0, 4.0, EAST), 2)
    rows = Coverage().choose(query, seen.candidates, seen.points)
    assert rows == AHEAD.choose(query, seen.candidates, None) and len(rows) == 2


@pytest.mark.parametrize("options", [{"frames": 0}, {"age": 1.0}, {"age": -0.1}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="^Coverage needs at least 1 frame and an age penalty"):
        Coverage(**options)  # pyright: ignore[reportArgumentType]

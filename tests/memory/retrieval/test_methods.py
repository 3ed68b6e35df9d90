"""What every retrieval method must hold, whatever it is; and where they differ."""

from dataclasses import replace

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, around, both_rooms, stand, walk
from worldrt.errors import ConfigError
from worldrt.memory.retrieval.find import find, names
from worldrt.memory.retrieval.query import Candidates

HERE = stand(3.0, 4.0, EAST)
METHODS = names()
BY_GEOMETRY = [name for name in METHODS if name not in ("last", "random")]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [1, 3, 50])
def test_rows_are_valid_and_none_comes_twice(name: str, count: int) -> None:
    seen = around(3.0, 4.0, 11)
    rows = find(name).choose(seen.query(HERE, count), seen.candidates, seen.points)
    assert 0 < len(rows) <= min(count, 11)
    assert len(set(rows)) == len(rows)
    assert all(type(row) is int and 0 <= row < 11 for row in rows)


@pytest.mark.parametrize("name", METHODS)
def test_without_candidates_nothing_is_chosen(name: str) -> None:
    seen = walk([])
    assert find(name).choose(seen.query(HERE), seen.candidates, seen.points) == []


@pytest.mark.parametrize("name", METHODS)
def test_recent_frames_are_never_chosen(name: str) -> None:
    seen = around(3.0, 4.0, 11)
    for recent in (4, 11, 99):
        query = seen.query(HERE, 11, recent)
        rows = find(name).choose(query, seen.candidates, seen.points)
        assert all(row < 11 - recent for row in rows)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_question_has_the_same_answer(name: str) -> None:
    seen = around(3.0, 4.0, 11)
    answers = [
        find(name).choose(seen.query(HERE, 4, seed=5), seen.candidates, seen.points)
        for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_other_slots_are_the_same_frames(name: str) -> None:
    """The frames in other slots of the memory: rows stay, whatever the ids are."""
    seen = around(3.0, 4.0, 11)
    rows = find(name).choose(seen.query(HERE), seen.candidates, seen.points)
    slots = np.random.default_rng(3).permutation(40)[:11]
    known = seen.points.sources < 11
    seen.points.sources[known] = slots[seen.points.sources[known]]
    moved = replace(seen.candidates, ids=slots)
    assert find(name).choose(seen.query(HERE), moved, seen.points) == rows


@pytest.mark.parametrize("name", ["coverage", "frustum", "montecarlo", "nearest", "oracle"])
def test_a_turn_finds_the_frame_that_looks_the_same_way(name: str) -> None:
    seen = around(3.0, 4.0, 12)
    for k in range(12):
        pose = seen.candidates.poses[k]
        rows = find(name).choose(seen.query(pose, 3), seen.candidates, seen.points)
        assert k in rows


WEST, EASTERN = {0, 1, 2, 3}, {4, 5, 6, 7}


@pytest.mark.parametrize("name", ["coverage", "oracle", "surfel"])
def test_no_frame_from_behind_a_wall(name: str) -> None:
    seen = both_rooms()
    for pose, room in ((HERE, WEST), (stand(9.0, 4.0, EAST), EASTERN)):
        rows = find(name).choose(seen.query(pose, 8), seen.candidates, seen.points)
        assert rows and set(rows) <= room


@pytest.mark.parametrize("name", ["montecarlo", "frustum", "nearest"])
def test_without_depth_one_looks_through_walls(name: str) -> None:
    """The published defect that the map mends: from the west, frames of the eastern room."""
    seen = both_rooms()
    rows = find(name).choose(seen.query(HERE, 8), seen.candidates, seen.points)
    assert set(rows) & EASTERN


@pytest.mark.parametrize("name", ["coverage", "surfel"])
def test_methods_of_the_map_say_that_they_need_it(name: str) -> None:
    seen = both_rooms()
    with pytest.raises(ConfigError, match="point map; insert the frames into one"):
        find(name).choose(seen.query(HERE), seen.candidates, None)


@pytest.mark.parametrize("name", ["frustum", "last", "montecarlo", "nearest", "oracle", "random"])
def test_the_others_do_not(name: str) -> None:
    seen = both_rooms()
    rows = find(name).choose(seen.query(HERE), seen.candidates, None)
    assert rows == find(name).choose(seen.query(HERE), seen.candidates, seen.points)


@pytest.mark.parametrize("name", BY_GEOMETRY)
def test_two_views_are_asked_at_once(name: str) -> None:
    """Back to back, each view has its own best frame."""
    seen = around(3.0, 4.0, 12)
    poses = seen.candidates.poses[[3, 9]]
    one, other = (seen.query(pose, 4) for pose in poses)
    assert one.truth is not None and other.truth is not None
    both = replace(one, poses=poses, truth=np.concatenate([one.truth, other.truth]))
    rows = find(name).choose(both, seen.candidates, seen.points)
    sides = {0 if row in (1, 2, 3, 4, 5) else 1 for row in rows if row not in (0, 6)}
    assert sides == {0, 1}


@pytest.mark.parametrize("name", METHODS)
def test_two_frames_at_one_pose_do_no_harm(name: str) -> None:
    seen = walk([HERE] * 5)
    rows = find(name).choose(seen.query(HERE, 3), seen.candidates, seen.points)
    assert 0 < len(rows) <= 3 and len(set(rows)) == len(rows)


@pytest.mark.parametrize("name", METHODS)
def test_frames_without_depth_do_no_harm(name: str) -> None:
    poses = np.tile(HERE, (3, 1, 1))
    blind = np.zeros((3, SMALL.height, SMALL.width), np.float32)
    nothing = Candidates(np.arange(3), np.arange(3), poses, blind, SMALL)
    seen = walk([])
    query = replace(seen.query(HERE), now=3)
    assert len(find(name).choose(query, nothing, seen.points)) <= 3

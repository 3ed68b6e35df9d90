"""The oracle: the best subset on small sets, by true depth."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, around, look, stand, walk
from worldrt.errors import ConfigError, ShapeError
from worldrt.kernels.coverage import sees
from worldrt.memory.retrieval.oracle import Oracle
from worldrt.memory.spatial.keyframes import quartered


@pytest.mark.parametrize("seed", range(4))
def test_it_is_within_the_bound_of_the_best_subset(seed: int) -> None:
    random = np.random.default_rng(seed)
    places = random.uniform((1.5, 1.5, -3), (5.5, 6.5, 3), (9, 3))
    seen = walk([stand(*place) for place in places])
    pose = stand(3.0, 4.0, EAST)
    rows = Oracle().choose(seen.query(pose, 2), seen.candidates, None)
    points = SMALL.unproject(quartered(look(pose)), pose).reshape(-1, 3).astype(np.float32)
    bits = sees(points, seen.candidates.poses, seen.candidates.depth, SMALL)

    def shown(subset: tuple[int, ...]) -> int:
        union = np.bitwise_or.reduce(bits[list(subset)], axis=0, initial=0)
        return int(np.bitwise_count(union).sum())

    best = max(shown(subset) for subset in combinations(range(9), 2))
    assert best >= shown(tuple(rows)) >= (1 - 1 / np.e) * best
    assert shown(tuple(rows[:1])) == max(shown((row,)) for row in range(9))


def test_it_stops_when_nothing_is_left() -> None:
    pose = stand(3.0, 4.0, EAST)
    seen = walk([pose, stand(3.0, 4.0, -EAST), pose])
    assert Oracle().choose(seen.query(pose, 3), seen.candidates, None) == [2]
    assert Oracle().choose(seen.query(pose, 3, recent=1), seen.candidates, None) == []


def test_unknown_truth_is_not_to_be_shown() -> None:
    pose = stand(3.0, 4.0, EAST)
    seen = around(3.0, 4.0, 5)
    query = seen.query(pose)
    for nothing in (0.0, np.nan, np.inf):
        truth = np.full_like(query.truth, nothing)
        assert Oracle().choose(replace(query, truth=truth), seen.candidates, None) == []


def test_it_needs_the_truth() -> None:
    seen = around(3.0, 4.0, 5)
    query = seen.query(stand(3.0, 4.0, EAST))
    with pytest.raises(ConfigError) as error:
        Oracle().choose(replace(query, truth=None), seen.candidates, None)
    assert str(error.value) == "The oracle needs the true depth of the views; pass Query.truth."
    with pytest.raises(ShapeError) as error:
        Oracle().choose(replace(query, truth=np.ones((1, 36, 52))), seen.candidates, None)
    assert str(error.value) == "truth has shape [1, 36, 52], expected [1, 9, 13]."

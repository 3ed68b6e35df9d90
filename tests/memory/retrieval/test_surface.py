"""What cameras see of the map: the truth, as finely as it is sampled."""

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, around, both_rooms, look, stand
from worldrt.memory.retrieval.surface import SLACK, surface, vote
from worldrt.memory.spatial.keyframes import quartered


def test_it_is_the_true_surface() -> None:
    """From where a frame was taken, no point is behind the truth by more than a pixel's slant."""
    seen = around(3.0, 4.0, 12)
    for pose in seen.candidates.poses[::5]:
        found = surface(seen.points, pose, SMALL)
        truth = quartered(look(pose))
        assert (found.front.id >= 0).all()
        assert (found.front.depth <= 1.1 * truth).all()
        assert np.median(found.front.depth / truth) == pytest.approx(1, abs=0.1)
        near = seen.points.position[found.front.id.ravel()]
        assert np.array_equal(found.places, near)


def test_nothing_is_seen_outside() -> None:
    seen = both_rooms()
    found = surface(seen.points, stand(-300.0, 4.0, -EAST), SMALL)
    assert (found.front.id == -1).all() and np.isnan(found.places).all()
    assert found.spans.shape == (0, 2)


def test_frames_behind_a_wall_have_no_votes() -> None:
    seen = both_rooms()
    for x, room in ((3.0, slice(0, 4)), (9.0, slice(4, 8))):
        pose = stand(x, 4.0, EAST)
        votes = vote(seen.points, surface(seen.points, pose, SMALL), pose, SMALL, 8)
        assert votes[room].min() > 0 and votes[room].sum() == votes.sum()
    assert SLACK < 0.5  # a wall is a metre thick

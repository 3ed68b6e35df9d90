"""Votes of surfels: what a pixel gives in closed form, and thinning by pose."""

import numpy as np
import pytest

from tests.memory.retrieval.rooms import EAST, SMALL, around, stand, walk
from worldrt.errors import ConfigError
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.kernels.front import Front
from worldrt.memory.retrieval.surface import Surface
from worldrt.memory.retrieval.surfel import Surfel, _thinned, _worth


def test_a_pixel_gives_the_cosine_over_one_and_the_depth() -> None:
    """A plane whose normal leans to the side: n . d = 2."""
    normal = np.array([0.6, 0.0, 0.8])
    directions = SMALL.directions()
    depth = (2 / (directions @ normal)).astype(np.float32)
    places = SMALL.unproject(depth, np.eye(4)).reshape(-1, 3).astype(np.float32)
    none = np.empty((0, 2), np.int32), np.empty((0, 2, 3), np.float32)
    seen = Surface(Front(depth, np.zeros(depth.shape, np.int32)), places, *none)
    worth = _worth(seen, np.eye(4), SMALL)
    cosine = directions @ normal / np.linalg.norm(directions, axis=-1)
    assert worth[:-1, :-1] == pytest.approx((cosine / (1 + depth))[:-1, :-1], abs=1e-4)
    assert worth[-1] == pytest.approx(1 / (1 + depth[-1]))  # no neighbour below


def test_few_frames_are_all_taken() -> None:
    rows = np.array([4, 2, 7])
    poses = np.tile(np.eye(4), (9, 1, 1))
    assert _thinned(rows, poses, 3).tolist() == [4, 2, 7]


def test_thinning_spreads_the_choice() -> None:
    """Four views within three degrees and two far off: all three directions are there."""
    degrees = [0, 1, 2, 3, 90, -90]
    poses = from_yaw_pitch(np.zeros((6, 3)), np.radians(degrees), np.zeros(6))
    rows = _thinned(np.arange(6), poses, 3)
    assert rows.tolist() == [0, 4, 5]


def test_thinning_ends_where_all_stand_at_one_place() -> None:
    poses = np.tile(np.eye(4), (9, 1, 1))
    assert _thinned(np.arange(9), poses, 4).tolist() == [0, 1, 2, 3]


def test_frames_that_nothing_votes_for_are_not_chosen() -> None:
    seen = around(3.0, 4.0, 4)
    seen.points.sources[seen.points.sources != 2] = 65535
    rows = Surfel().choose(seen.query(stand(3.0, 4.0, np.pi), 4), seen.candidates, seen.points)
    assert rows == [2]


def test_a_wider_drawing_sees_more_around() -> None:
    """A frame that looks 80 degrees away shares nothing with the view, but with the wide one."""
    seen = walk([stand(3.0, 4.0, EAST), stand(3.0, 4.0, EAST + 1.4)])
    first = seen.points.sources[:, 0]
    seen.points.sources[:, 1:] = 65535
    assert np.count_nonzero(first == 1) > 0
    query = seen.query(stand(3.0, 4.0, EAST - 0.05), 2)
    assert Surfel(zoom=1.0).choose(query, seen.candidates, seen.points) == [0]
    assert set(Surfel(zoom=0.4).choose(query, seen.candidates, seen.points)) == {0, 1}


@pytest.mark.parametrize("zoom", [0.0, -1.0, 4.5])
def test_zoom_out_of_range(zoom: float) -> None:
    with pytest.raises(ConfigError) as error:
        Surfel(zoom=zoom)
    assert str(error.value) == (f"A surfel vote needs a zoom above 0 and up to 4, got {zoom:g}.")

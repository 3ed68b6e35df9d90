"""A session's memory: what moves is told apart from what stands, and goes on while unseen."""

import numpy as np
import pytest

from tests.toyroom import CAMERA, EYE, look, room, toy
from worldrt.config import MemoryConfig
from worldrt.errors import ConfigError, InputError
from worldrt.memory.retrieval.query import Query
from worldrt.memory.spatial.memory import Footage
from worldrt.memory.spatial.places import Places
from worldrt.simulators.movers import Movers

SEEN = 48
"""Frames for which the toy is watched; before them the empty room is."""


def walked(entities: int) -> tuple[Places, Movers]:
    """A memory that has seen an empty room, and then a toy going to and fro in it."""
    places = Places(CAMERA, MemoryConfig(budget_mb=8.0, entities=entities))
    movers = Movers([toy("ping-pong", seed=1)])
    rgb, depth = room(EYE)
    for frame in range(10):
        places.remember(Footage(rgb[None], depth[None], EYE[None], frame))
    for frame in range(10, 10 + SEEN):
        rgb, depth, _ = look(movers, frame)
        places.remember(Footage(rgb[None], depth[None], EYE[None], frame))
    return places, movers


def error(places: Places, movers: Movers, frame: int) -> float:
    """Mean difference of colours where the toy is at a frame."""
    rgb, _, ids = look(movers, frame)
    shown = places.view(EYE[None], frame).rgb[0]
    return float(np.abs(255 * shown - rgb)[ids >= 0].mean())


def test_what_moves_goes_on_while_nobody_looks() -> None:
    followed, movers = walked(4)
    plain, _ = walked(0)
    later = range(10 + SEEN + 20, 10 + SEEN + 40, 4)
    alive = [error(followed, movers, frame) for frame in later]
    dead = [error(plain, movers, frame) for frame in later]
    assert np.mean(alive) < 0.5 * np.mean(dead)
    assert followed.nbytes > plain.nbytes


def test_what_moves_never_becomes_a_point() -> None:
    """Seen without its entities, the map shows the empty room."""
    followed, _ = walked(4)
    followed.view(EYE[None], 0)
    still = followed.map.view(EYE[None])
    rgb, _ = room(EYE)
    known = still.mask[0] > 0.9
    assert known.mean() > 0.9
    assert np.abs(255 * still.rgb[0] - rgb)[known].mean() < 3


def test_it_goes_on_above_all_frames_that_it_knows_of() -> None:
    places, _ = walked(0)
    assert places.walked == 10 + SEEN
    assert Places(CAMERA, MemoryConfig(budget_mb=8.0)).walked == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"retrieval": "oracle"}, "needs the true depth"),
        ({"retrieval": "nearset"}, "did you mean 'nearest'"),
        ({"budget_mb": 0.01}, "can't hold a keyframe"),
    ],
)
def test_nonsense_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Places(CAMERA, MemoryConfig(**change))  # type: ignore[arg-type]


def test_a_bad_pose_is_told_at_the_next_question() -> None:
    places = Places(CAMERA, MemoryConfig(budget_mb=8.0))
    rgb, depth = room(EYE)
    places.remember(Footage(rgb[None], depth[None], 2 * EYE[None], 0))
    with pytest.raises(InputError):
        places.view(EYE[None], 1)
    places.close()


def test_what_is_told_to_move_is_believed() -> None:
    """In the very first frame nothing but who tells it can know what moves."""
    rgb, depth, ids = look(Movers([toy("rotor", seed=1)]), 0)
    told, own = (Places(CAMERA, MemoryConfig(budget_mb=8.0, entities=4)) for _ in range(2))
    footage = Footage(rgb[None], depth[None], EYE[None], 0)
    told.remember(footage._replace(moving=ids[None] >= 0))
    own.remember(footage)
    assert 0 < len(told) < len(own)
    assert told.entities is not None and len(told.entities) == 1
    assert own.entities is not None and len(own.entities) == 0


def test_a_settled_memory_holds_all_that_it_was_told() -> None:
    """What is chosen and what is given back are the same keyframes, the best first and by time."""
    shape = (2, 3, 4)
    places = Places(CAMERA, MemoryConfig(budget_mb=8.0), shape)
    rgb, depth = room(EYE)
    latents = np.arange(24, dtype=np.float32).reshape(1, *shape)
    places.remember(Footage(rgb[None], depth[None], EYE[None], 5, latents))
    places.settle()
    assert len(places.map) > 0
    candidates, rows = places.choose(Query(poses=EYE[None], count=3, now=9))
    found = places.retrieve(EYE[None], 3, 9, 0)
    assert found is not None and found.frames == tuple(sorted(candidates.index[rows])) == (5,)
    np.testing.assert_array_equal(found.latents, latents)

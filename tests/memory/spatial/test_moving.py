"""What moves, told from a map of what stands: found where the map knew a free view."""

import numpy as np
import pytest

from tests.toyroom import EYE, bare, look, room, toy
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.moving import moving_mask
from worldrt.simulators.movers import Movers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_precision_and_recall_against_truth(seed: int, noise: float) -> None:
    _, depth, ids = look(Movers([toy("rotor", seed=seed)]), 3)
    random = np.random.default_rng(seed)
    depth = (depth * (1 + noise * random.standard_normal(depth.shape))).astype(np.float32)
    found, truth = moving_mask(depth, bare()), ids >= 0
    right = np.count_nonzero(found & truth)
    assert right > 0.97 * np.count_nonzero(found), "precision"
    # Where it stands on the floor it is no nearer than the floor.
    assert right > 0.85 * np.count_nonzero(truth), "recall"


def test_nothing_moves_in_an_empty_room_nor_before_unknown_ground() -> None:
    assert not moving_mask(room(EYE)[1], bare()).any()
    _, depth, _ = look(Movers([toy("rotor")]), 3)
    assert not moving_mask(depth, Splat.empty(1, 96, 128)).any()


def test_unknown_depth_and_specks_never_move() -> None:
    _, depth, ids = look(Movers([toy("rotor")]), 3)
    for unknown in (0, np.nan, np.inf):
        assert not moving_mask(np.where(ids >= 0, unknown, depth).astype(np.float32), bare()).any()
    speck = room(EYE)[1]
    speck[40:44, 50:54] = 1.0
    assert not moving_mask(speck, bare()).any()

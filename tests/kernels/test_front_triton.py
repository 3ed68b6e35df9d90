"""The Triton twin, run by Triton's interpreter: the same bits as numba, nothing less."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import exp
from worldrt.kernels import front as numba

pytest.importorskip("triton")
ODD = Camera(width=13, height=9, fx=6.5, fy=7.8, cx=6.1, cy=4.7)
TWIN = "worldrt.kernels.front_triton"


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Triton decides when a kernel is made whether it will be compiled."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    compiled = sys.modules.pop(TWIN, None)
    yield
    sys.modules.pop(TWIN, None)
    if compiled:
        sys.modules[TWIN] = compiled


def points(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points on the corners of pixels at few depths, twice, and others all round."""
    random = np.random.default_rng(seed)
    depth = random.integers(1, 4, 200).astype(np.float32)
    column, row = random.integers(-1, 15, 200), random.integers(-1, 11, 200)
    x, y = (column - ODD.cx) / ODD.fx * depth, (row - ODD.cy) / ODD.fy * depth
    corners = np.stack([x, y, depth], axis=1)
    edge = np.nextafter(np.float32(numba.NEAR), np.array([0, 1], np.float32))
    odd = [(0, 0, numba.NEAR), (0, 0, edge[0]), (0, 0, edge[1]), (np.nan, 0, 1), (0, 0, np.inf)]
    around = random.uniform(-3, 3, (500, 3))
    position = np.concatenate([corners, corners, odd, around]).astype(np.float32)
    weight = random.integers(0, 4, len(position)).astype(np.uint8)
    sources = random.integers(0, 70, (len(position), 4)).astype(np.uint16)
    sources[random.random(sources.shape) < 0.3] = numba.NONE
    starts = np.arange(0, len(position), 64)
    stops = np.minimum(starts + random.integers(0, 65, len(starts)), len(position))
    return position, weight, sources, np.stack([starts, stops], axis=1).astype(np.int32)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # its numpy says NaN is odd
@pytest.mark.parametrize("seed", range(3))
def test_triton_returns_the_same_bits(seed: int) -> None:
    position, weight, sources, spans = points(seed)
    pose = np.eye(4) if seed == 0 else exp(np.random.default_rng(seed).normal(size=6) * 0.4)
    seen = numba.front(position, weight, spans, pose, ODD)
    total = numba.votes(position, weight, sources, spans, seen.depth, pose, ODD, 0.1, 60)
    tensors = torch.from_numpy(position), torch.from_numpy(weight)
    depth, index = numba.front_on(*tensors, spans, pose, ODD, "triton")
    assert depth.numpy().tobytes() == seen.depth.tobytes()
    assert index.numpy().tobytes() == seen.id.tobytes()
    votes_of = torch.from_numpy(sources)
    counted = numba.votes_on(*tensors, votes_of, spans, depth, pose, ODD, 0.1, 60, "triton")
    assert counted.numpy().tobytes() == total.tobytes()
    assert np.count_nonzero(total) > 20


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("spans", [np.empty((0, 2), np.int32), np.array([[3, 3]], np.int32)])
def test_nothing_is_seen_of_nothing(spans: np.ndarray) -> None:
    position, weight, _, _ = map(torch.from_numpy, points(1))
    depth, index = numba.front_on(position, weight, spans, np.eye(4), ODD, "triton")
    assert (depth == 0).all() and (index == -1).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_long_run_is_shared_by_several_programs() -> None:
    position, weight, _, _ = points(2)
    spans = np.array([[0, 333], [400, len(position)]], np.int32)
    seen = numba.front(position, weight, spans, np.eye(4), ODD)
    tensors = torch.from_numpy(position), torch.from_numpy(weight)
    depth, index = numba.front_on(*tensors, spans, np.eye(4), ODD, "triton")
    assert depth.numpy().tobytes() == seen.depth.tobytes()
    assert index.numpy().tobytes() == seen.id.tobytes()


def test_constants_are_those_of_the_reference() -> None:
    from worldrt.kernels import front_triton as twin

    constants = twin._NEAR.value, twin._RANKS.value, twin._PIXEL_VOTE.value
    assert constants == (numba.NEAR, numba.RANKS, numba.PIXEL_VOTE)

"""Scenes that were left, found again."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldrt.memory.album import Album


def frame(number: float) -> Tensor:
    return torch.full((2, 1, 3, 2, 6), number)


def about(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


def album(capacity: int, *scenes: NDArray[np.float32] | None) -> Album:
    """Scenes left after 10, 20, ... frames, with keys 0, 1, ... and values negative."""
    found = Album(capacity, frame(0))
    for index, one in enumerate(scenes):
        found.add(frame(index), frame(-index), one, 10 * (index + 1))
    return found


@pytest.mark.parametrize(
    "capacity, scenes, wanted, left",
    [
        (4, [about(1, 0), about(0, 1)], about(1, 2), 20),
        (4, [about(1, 0), about(0, 1)], about(2, 1), 10),
        (4, [about(5, 0), about(0, 0.1)], about(0, 1), 20),  # lengths do not matter
        (4, [about(-1, 0), None], about(1, 0), 20),  # unknown is better than contrary
        (4, [None, about(-1, 0), about(0, 1)], about(1, 0), 10),  # ties go to the earlier
        (4, [about(1, 0), about(1, 0)], about(1, 0), 10),
        (4, [about(1, 0), about(0, 1)], None, 10),
        (4, [about(0, 0), about(0, 1)], about(0, 1), 20),
        (2, [about(1, 0), about(0, 1), about(-1, 0)], about(1, 0), 20),  # the first has gone
        (2, [about(1, 0), about(0, 1), about(1, 0)], about(1, 0), 30),
    ],
)
def test_the_nearest_scene(
    capacity: int,
    scenes: list[NDArray[np.float32] | None],
    wanted: NDArray[np.float32] | None,
    left: int,
) -> None:
    pages = album(capacity, *scenes)
    found = pages.find(wanted)
    assert found is not None and found.left == left
    keys, values = pages.frame(found)
    number = left / 10 - 1
    assert torch.equal(keys, frame(number)) and torch.equal(values, frame(-number))


def test_an_empty_album() -> None:
    assert album(3).find(about(1, 0)) is None


def test_bytes_are_those_of_a_full_album() -> None:
    size = 3 * 2 * frame(0).nbytes
    assert album(3).nbytes == album(3, *[None] * 5).nbytes == size

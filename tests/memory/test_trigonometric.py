"""The trigonometric score, by hand and against its definition; what it keeps."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.mid import Bounds, Look, Tail
from worldrt.memory.slots import CacheShape
from worldrt.memory.trigonometric import AHEAD, ChosenTokens, QueryMeans

ONE = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1)
"""A complex number each for time (one radian a frame), row and column."""
MANY = CacheShape(layers=2, heads=3, head_dim=14, rows=2, columns=3, block_frames=2, batch=2)


def look(layer: int, query: Tensor) -> Look:
    return Look(layer, True, True, query, query, query, query, query)


def means(shape: CacheShape, *blocks: Tensor) -> QueryMeans:
    """Of clean queries [N, B, L, H, D]; all blocks but the last are the scene's."""
    found = QueryMeans(shape, torch.device("cpu"))
    for block in blocks[:-1]:
        for layer, query in enumerate(block):
            found.note(look(layer, query))
        found.add(block.shape[2])
    for layer, query in enumerate(blocks[-1]):
        found.note(look(layer, query))
    return found


def tokens(*pairs: tuple[complex, complex, complex]) -> Tensor:
    """[1, S, 1, 6]"""
    return torch.view_as_real(torch.tensor([pairs], dtype=torch.complex64)).flatten(2)[:, :, None]


def scored(found: QueryMeans, key: tuple[complex, complex, complex], age: int) -> float:
    return float(found.score(0, tokens(key), torch.tensor([[age]])))


@pytest.mark.parametrize("age", [1, 5, 40])
def test_equal_queries_are_cosines_of_the_distance(age: int) -> None:
    """Keys in phase with them now are in phase again a full turn later; space does not turn."""
    query = tokens((2, 3j, 0), (2, 3j, 0))[None]
    found = means(ONE, query, query)
    phase = 0.4
    turns = np.mean([np.cos(age + ahead - phase) for ahead in AHEAD])
    expected = 2 * 5 * turns + 3 * 0.5
    key = (5 * np.exp(1j * phase), 0.5j, 7)
    assert scored(found, key, age) == pytest.approx(expected, abs=1e-5)


def test_queries_that_stray_score_by_length_alone() -> None:
    """Their mean is 0, their mean length 1; the drift is that of vectors at right angles."""
    query = tokens((1, 0, 0), (-1, 0, 0))[None]
    found = means(ONE, query, query)
    assert scored(found, (3j, 9, 9), 4) == pytest.approx(3 * np.exp(-3), abs=1e-6)


@pytest.mark.parametrize("last, faded", [((1, 0, 0), 0), ((0, 1, 0), 1), ((-1, 0, 0), 2)])
def test_what_strays_fades_with_drift(last: tuple[complex, complex, complex], faded: int) -> None:
    """The mean query is 1, the mean length 2; the key stands still and at right angles."""
    query = tokens((1, 2, 0), (1, -2, 0))[None]
    found = means(ONE, query, tokens(last, last)[None])
    score = scored(found, (0, 3j, 0), 4)
    assert score == pytest.approx(2 * 3 * np.exp(-3 * faded), rel=1e-5)


def test_means_of_blocks_of_different_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn(2, 2, size, 3, 14, generator=generator) for size in (12, 6, 12, 6)]
    found = means(MANY, *blocks)
    whole = torch.cat(blocks[:-1], dim=2)
    for layer in range(2):
        torch.testing.assert_close(found.mean(layer), whole[layer].mean(1))
    found.clear()
    found.add(6)  # the block that was noted last
    torch.testing.assert_close(found.mean(1), blocks[-1][1].mean(1))


def chosen(uses: int, blocks: int) -> list[list[int]]:
    """Frames seen by each block, one token a frame, two kept; the score rises with the key."""
    query = tokens((0, 1, 0))[None]
    tail = Tail(torch.zeros(1, 1, 2, 1, 6), torch.zeros(1, 1, 2, 1, 6), None)
    found = ChosenTokens(2, uses, ONE, Bounds(1, 0), tail, means(ONE, query, query))
    rope = Rope.of_grid(6, 1, 1)
    seen = list[list[int]]()
    for frame in range(blocks):
        key = tokens((0, 10 - frame, 0))[None]
        found.take(frame, key, torch.full_like(key, float(frame)))
        found.lay_out(0, 0, rope.times([4.0, 5.0][: found.frames]), frame + 1)
        seen.append([int(value) for value in tail.values[0, 0, : found.frames, 0, 0]])
        for place, one in enumerate(seen[-1]):
            expected = rotate(tokens((0, 10 - one, 0)), rope.table([4.0 + place]))
            torch.testing.assert_close(tail.keys[0, :, place : place + 1], expected)
        found.commit()
    return seen


@pytest.mark.parametrize(
    "uses, expected",
    [
        (9, [[0], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]),
        # Used twice, both are behind the newest: with it comes the earlier of the two.
        (2, [[0], [0, 1], [0, 1], [0, 1], [0, 4], [4, 5], [5, 6]]),
        # All are used up but the newest: with it comes the one that was used least.
        (1, [[0], [0, 1], [0, 1], [0, 3], [3, 4], [4, 5], [5, 6]]),
    ],
)
def test_tokens_are_used_up(uses: int, expected: list[list[int]]) -> None:
    assert chosen(uses, 7) == expected

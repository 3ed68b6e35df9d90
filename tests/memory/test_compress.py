"""The pooled packer against the mean of each cell, and where its tokens stand."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.memory.compress import Grid, PooledPacker

# frames, rows, columns, time, side: full cells, odd borders, cells larger than the block.
CASES = [(2, 4, 6, 2, 2), (3, 5, 7, 2, 2), (3, 5, 7, 2, 3), (1, 3, 5, 2, 2), (1, 1, 1, 3, 4)]


def tokens_of(frames: int, rows: int, columns: int, seed: int = 0) -> Tensor:
    size = (2, 3, frames * rows * columns, 2, 6)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def cells(length: int, cell: int) -> list[list[int]]:
    indices = list(range(length))
    return [indices[start : start + cell] for start in range(0, length, cell)]


@pytest.mark.parametrize("frames, rows, columns, time, side", CASES)
def test_a_packed_token_is_the_mean_of_its_cell(
    frames: int, rows: int, columns: int, time: int, side: int
) -> None:
    packer = PooledPacker(time=time, side=side)
    tokens = tokens_of(frames, rows, columns)
    maps = tokens.double().numpy().reshape(2, 3, frames, rows, columns, 2, 6)
    expected = [
        maps[:, :, t][:, :, :, r][:, :, :, :, c].mean((2, 3, 4))
        for t, r, c in itertools.product(
            cells(frames, time), cells(rows, side), cells(columns, side)
        )
    ]
    packed = packer.pack(tokens, frames, rows, columns)
    grid = packer.grid(frames, rows, columns)
    assert packed.shape == (2, 3, grid.tokens, 2, 6) and packed.is_contiguous()
    np.testing.assert_allclose(packed.numpy(), np.stack(expected, 2), atol=1e-6)


@pytest.mark.parametrize("frames, rows, columns, time, side", CASES)
def test_a_packed_token_stands_in_the_middle_of_its_cell(
    frames: int, rows: int, columns: int, time: int, side: int
) -> None:
    """Packing the coordinates themselves gives the grid, in the order of the tokens."""
    packer = PooledPacker(time=time, side=side)
    places = list(itertools.product(range(frames), range(rows), range(columns)))
    tokens = torch.tensor(places, dtype=torch.float32)[None, None, :, None]
    grid = packer.grid(frames, rows, columns)
    packed = packer.pack(tokens, frames, rows, columns)[0, 0, :, 0]
    expected = list(itertools.product(grid.frames, grid.rows, grid.columns))
    np.testing.assert_allclose(packed, expected, atol=1e-6)


def test_cells_of_one_token_change_nothing() -> None:
    packer, tokens = PooledPacker(time=1, side=1), tokens_of(3, 3, 5)
    assert torch.equal(packer.pack(tokens, 3, 3, 5), tokens)
    assert packer.grid(3, 3, 5) == Grid([0, 1, 2], [0, 1, 2], [0, 1, 2, 3, 4])


def test_packing_is_linear_and_exact_on_equal_tokens() -> None:
    packer, a, b = PooledPacker(), tokens_of(3, 5, 7), tokens_of(3, 5, 7, seed=1)
    torch.testing.assert_close(
        packer.pack(2 * a - b, 3, 5, 7), 2 * packer.pack(a, 3, 5, 7) - packer.pack(b, 3, 5, 7)
    )
    even = torch.full_like(a, 0.3)
    tokens = packer.grid(3, 5, 7).tokens
    torch.testing.assert_close(packer.pack(even, 3, 5, 7), even[:, :, :tokens])


def test_half_precision_is_summed_in_float32() -> None:
    tokens = tokens_of(3, 5, 7).bfloat16()
    packed = PooledPacker().pack(tokens, 3, 5, 7)
    assert torch.equal(packed, PooledPacker().pack(tokens.float(), 3, 5, 7).bfloat16())

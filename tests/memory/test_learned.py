"""The learned packer: its tokens, where they stand, and that untrained it adds nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.config import Cells, PackerConfig
from worldrt.errors import ShapeError
from worldrt.memory.learned import LearnedPacker

CHANNELS, DIM = 5, 14
ODD = Cells(time=2, rows=3, columns=5)


def packer(cells: Cells = ODD, trained: bool = True) -> LearnedPacker:
    """A packer with random weights, its last layer too if it is to be `trained`."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = LearnedPacker(PackerConfig(width=6, cells=cells), CHANNELS, DIM)
        if trained:
            torch.nn.init.normal_(made.out.weight)
    return made.eval().requires_grad_(False)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("frames", range(1, 9))
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (6, 10), (13, 17)])
@pytest.mark.parametrize("cells", [Cells(time=1, rows=1, columns=1), ODD])
def test_any_block_becomes_a_token_a_cell(frames: int, size: tuple[int, int], cells: Cells) -> None:
    one = packer(cells)
    latents, small = normal(2, frames, CHANNELS, *size), normal(2, one.tokens, DIM, seed=1)
    packed = one(latents, small)
    assert one.tokens == cells.time * cells.rows * cells.columns
    assert packed.shape == small.shape and torch.isfinite(packed).all()


def test_untrained_it_is_the_small_block_to_the_bit() -> None:
    latents, small = normal(2, 3, CHANNELS, 7, 9), normal(2, 30, DIM, seed=1)
    assert torch.equal(packer(trained=False)(latents, small), small)


def test_untrained_it_learns_from_the_first_step() -> None:
    one = packer(trained=False).requires_grad_(True)
    one(normal(1, 2, CHANNELS, 5, 7), normal(1, 30, DIM, seed=1)).square().sum().backward()
    gradient = one.out.weight.grad
    assert gradient is not None and gradient.abs().max() > 0


def test_a_block_is_packed_alike_alone_twice_and_among_others() -> None:
    one, latents, small = packer(), normal(3, 4, CHANNELS, 6, 8), normal(3, 30, DIM, seed=1)
    together = one(latents, small)
    assert torch.equal(one(latents, small), together)
    torch.testing.assert_close(one(latents[1:2], small[1:2]), together[1:2])


def test_what_happens_in_a_corner_is_told_in_the_corner() -> None:
    """Tokens are in the order of the grid: frame, then row, then column."""
    one = packer(Cells(time=2, rows=2, columns=3))
    latents, small = normal(1, 16, CHANNELS, 32, 48), torch.zeros(1, 12, DIM)
    before = one(latents, small)
    for time, row, column in np.ndindex(2, 2, 3):
        changed = latents.clone()
        changed[:, 15 * time, :, 31 * row, 47 * column // 2] += 100
        moved = (one(changed, small) - before).abs().sum(-1)[0]
        assert moved.argmax() == (time * 2 + row) * 3 + column


@pytest.mark.parametrize("size", [(4, 6, 8), (2, 3, 5), (5, 7, 11), (1, 1, 1)])
def test_a_token_stands_in_the_middle_of_its_cell(size: tuple[int, int, int]) -> None:
    """Cells are equal parts; a token at index i of the block spans i - 1/2 to i + 1/2."""
    grid = packer().grid(*size)
    for places, length, count in zip(grid, size, (2, 3, 5), strict=True):
        edges = np.linspace(-0.5, length - 0.5, count + 1)
        np.testing.assert_allclose(places, (edges[1:] + edges[:-1]) / 2, atol=1e-12)
    assert grid.tokens == packer().tokens


def test_cells_of_one_token_stand_where_the_tokens_stood() -> None:
    grid = packer(Cells(time=3, rows=5, columns=7)).grid(3, 5, 7)
    for places in grid:
        np.testing.assert_allclose(places, range(len(places)), atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 29, DIM), (1, 30, DIM)])
def test_another_number_of_small_tokens_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ShapeError, match=r"expected \[2, 30, E\], a token a cell"):
        packer()(normal(2, 4, CHANNELS, 6, 8), normal(*shape))

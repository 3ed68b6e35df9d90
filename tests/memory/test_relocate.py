"""Keys in another place, exactly, and in another context, nearly."""

import pytest
import torch
from torch import Tensor

from tests.list_cache import turned
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope
from worldrt.memory.relocate import Patch, fit_patch, relocate

ROPE = Rope.of_grid(14, 3, 5)


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("positions", [[0.0, 1.0], [-7.5, 40.25], [1e6, 1e6 + 1]])
def test_each_token_stands_at_its_own_place(positions: list[float]) -> None:
    """Against the rotation in float64, for tokens picked by layer and sequence."""
    raw = draw(2, 3, 8, 2, 14)
    tokens = torch.stack([torch.randperm(30)[:8] for _ in range(6)]).unflatten(0, (2, 3))
    found = relocate(raw, ROPE, positions, tokens).double()
    for layer in range(2):
        for batch in range(3):
            index = tokens[layer, batch]
            times = torch.tensor(positions, dtype=torch.float64)[index // 15]
            where = torch.stack([times, index % 15 // 5, index % 5], dim=1).numpy()
            expected = turned(raw[layer, batch].double().numpy(), where)
            got = torch.view_as_complex(found[layer, batch].unflatten(-1, (-1, 2)))
            torch.testing.assert_close(got, torch.from_numpy(expected), atol=2e-6, rtol=0)


def test_moving_twice_is_moving_once() -> None:
    """Each move is from raw keys: nothing adds up."""
    raw, tokens = draw(15, 2, 14), torch.arange(15)
    there = relocate(raw, ROPE, [9.0], tokens)
    relocate(raw, ROPE, [1234.0], tokens)
    assert torch.equal(relocate(raw, ROPE, [9.0], tokens), there)


def test_without_a_difference_the_patch_is_nothing() -> None:
    stale = draw(2, 40, 3, 6)
    patch = fit_patch(stale, stale, 4)
    torch.testing.assert_close(patch.mend(stale), stale)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_a_linear_difference_is_mended_exactly(rank: int) -> None:
    """One of some rank by a patch of that rank, each head and layer by its own."""
    stale = draw(2, 40, 3, 6)
    change = draw(2, 3, 6, rank, seed=1) @ draw(2, 3, rank, 6, seed=2)
    fresh = stale + torch.einsum("nlhd,nhde->nlhe", stale, change)
    patch = fit_patch(stale, fresh, rank)
    assert patch.down.shape == (2, 3, 6, rank) and patch.up.shape == (2, 3, rank, 6)
    torch.testing.assert_close(patch.mend(stale), fresh, atol=1e-4, rtol=0)


def test_more_rank_leaves_less_and_full_rank_what_least_squares_leaves() -> None:
    stale, fresh = draw(40, 3, 6), draw(40, 3, 6, seed=1)
    left = [(fit_patch(stale, fresh, rank).mend(stale) - fresh).norm() for rank in range(7)]
    assert all(more > less for more, less in zip(left, left[1:], strict=False))
    torch.testing.assert_close(left[0], (stale - fresh).norm())
    squares = torch.linalg.lstsq(stale.transpose(0, 1), fresh.transpose(0, 1)).solution
    best = torch.einsum("lhd,hde->lhe", stale, squares) - fresh
    torch.testing.assert_close(left[6], best.norm())


def test_no_map_of_its_rank_does_better() -> None:
    """Neither the steps of a descent from it, nor the full solution cut to the rank."""
    stale, fresh = draw(40, 1, 6), draw(40, 1, 6, seed=1)
    patch = fit_patch(stale, fresh, 2)
    best = (patch.mend(stale) - fresh).square().sum()
    for seed in range(50):
        down, up = (0.02 * draw(1, 6, 2, seed=each) for each in (seed, 99 - seed))
        near = Patch(patch.down + down, patch.up + up.mT)
        assert (near.mend(stale) - fresh).square().sum() > best
    full = fit_patch(stale, fresh, 6)
    left, values, right = torch.linalg.svd(full.down @ full.up)
    cut = Patch(left[..., :2] * values[..., None, :2], right[..., :2, :])
    assert (cut.mend(stale) - fresh).square().sum() > best


def test_a_patch_is_applied_before_the_rotation() -> None:
    raw, tokens = draw(15, 3, 14), torch.arange(15)
    patch = fit_patch(raw, draw(15, 3, 14, seed=1), 5)
    expected = relocate(patch.mend(raw), ROPE, [5.0], tokens)
    assert torch.equal(relocate(raw, ROPE, [5.0], tokens, patch), expected)


@pytest.mark.parametrize("rank", [-1, 7])
def test_ranks_that_make_no_sense(rank: int) -> None:
    with pytest.raises(ConfigError) as caught:
        fit_patch(draw(9, 1, 6), draw(9, 1, 6), rank)
    assert str(caught.value) == f"A patch of 6 channels has rank 0 to 6, got {rank}."

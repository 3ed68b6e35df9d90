"""Rotary positions: the published tables, and the algebra of rotations."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, frequencies, rotate, split_pairs

Golden = Callable[[str], dict[str, Tensor]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("head_dim", [6, 8, 10, 24, 32, 40, 64, 128])
def test_axes_share_all_pairs(head_dim: int) -> None:
    time, row, column = split_pairs(head_dim)
    assert time + row + column == head_dim // 2
    assert row == column <= time


def test_frequencies_fall_from_one_by_a_constant_factor() -> None:
    turns = frequencies(22)
    assert turns[0] == 1
    np.testing.assert_allclose(turns[1:] / turns[:-1], 10_000 ** (-1 / 22))


@pytest.mark.parametrize("head_dim", [24, 32, 40, 128])
def test_golden_rotation(golden: Golden, head_dim: int) -> None:
    tensors = golden("rope")
    cases = [key for key in tensors if key.startswith(f"d{head_dim}.g") and "start" in key]
    assert len(cases) >= 6
    for key in cases:
        _, grid, start = key.split(".")
        frames, rows, columns = (int(size) for size in grid[1:].split("x"))
        first = int(start.removeprefix("start"))
        table = Rope.of_grid(head_dim, rows, columns).table(range(first, first + frames))
        raw = tensors[f"d{head_dim}.{grid}.x"]
        # The reference multiplies in float64, we do in float32.
        torch.testing.assert_close(rotate(raw, table), tensors[key], atol=2e-6, rtol=0)


@pytest.mark.parametrize("head_dim", [24, 32, 40, 128])
def test_golden_table(golden: Golden, head_dim: int) -> None:
    tensors = golden("rope")
    cosines, sines = tensors[f"d{head_dim}.table_cos"], tensors[f"d{head_dim}.table_sin"]
    positions = np.arange(len(cosines))
    angles = np.concatenate(
        [np.outer(positions, frequencies(pairs)) for pairs in split_pairs(head_dim)], axis=1
    )
    np.testing.assert_allclose(np.cos(angles), cosines, atol=1e-14)
    np.testing.assert_allclose(np.sin(angles), sines, atol=1e-14)


def test_golden_window_positions(golden: Golden) -> None:
    """Infinity-RoPE asks the same table for window positions, or for a cut's 45, 46, 47."""
    tensors = golden("rope")
    rope = Rope.of_grid(24, 4, 6)
    for raw, frames, name in (
        ("raw_k", [0, 1, 2, 3, 4, 5], "k_used"),
        ("raw_k", [0, 1, 2, 45, 46, 47], "k_used_scene_cut"),
        ("q", [0, 1, 2], "q_used_block0"),
        ("q", [3, 4, 5], "q_used_steady"),
        ("q", [45, 46, 47], "q_used_scene_cut"),
    ):
        rotated = rotate(tensors[f"inf.{raw}"], rope.table(frames))
        torch.testing.assert_close(rotated, tensors[f"inf.{name}"], atol=2e-6, rtol=0)
    # What infinity-RoPE keeps is raw but for its first frame, which stands at position 0.
    kept = tensors["inf.cache_kept"]
    torch.testing.assert_close(kept[:, 24:], tensors["inf.raw_k"][:, 24:], atol=0, rtol=0)
    first = rotate(tensors["inf.raw_k"][:, :24], rope.table([0]))
    torch.testing.assert_close(first, kept[:, :24], atol=2e-6, rtol=0)


def test_token_order_is_frame_row_column() -> None:
    """One token of a table is the table of that token alone."""
    rope = Rope.of_grid(14, 3, 5)
    table = rope.table([7.0, 9.5])
    assert rope.tokens == 15 and table.shape == (30, 1, 7) and table.dtype == torch.complex64
    for frame, row, column in ((0, 0, 0), (0, 2, 1), (1, 1, 4)):
        alone = Rope(14, [row], [column]).table([[7.0, 9.5][frame]])
        torch.testing.assert_close(table[frame * 15 + row * 5 + column], alone[0], atol=0, rtol=0)


def test_rotations_add() -> None:
    """Turning by a, then by b, is turning by a + b, also for fractions and negative positions."""
    raw = normal(2, 6, 3, 14)
    a, b, both = (
        Rope(14, [row], [0.25, 1.5, -2]).table([time, time])
        for time, row in ((2.5, 1.0), (-7.25, 0.5), (-4.75, 1.5))
    )
    columns = Rope(14, [0], [-0.25, -1.5, 2]).table([0, 0])  # both a and b turned the columns
    turned = rotate(rotate(rotate(raw, a), b), columns)
    torch.testing.assert_close(turned, rotate(raw, both), atol=2e-6, rtol=0)


def test_rotation_keeps_lengths_and_position_zero_is_identity() -> None:
    raw = normal(1, 30, 2, 40)
    rope = Rope.of_grid(40, 3, 5)
    turned = rotate(raw, rope.table([123, 456_789]))
    torch.testing.assert_close(turned.norm(dim=-1), raw.norm(dim=-1))
    assert torch.equal(rotate(raw, torch.ones(30, 1, 20, dtype=torch.complex64)), raw)
    assert torch.equal(Rope(40, [0], [0]).table([0]), torch.ones(1, 1, 20, dtype=torch.complex64))


@pytest.mark.parametrize("shift", [1, 900, 30_000, 1_000_000])
def test_only_distances_matter(shift: int) -> None:
    """q . k is the same at any age of the rollout: no table runs out, and nothing drifts."""
    query, key = normal(1, 15, 2, 24), normal(1, 15, 2, 24, seed=1)
    rope = Rope.of_grid(24, 3, 5)

    def logits(first: int) -> Tensor:
        turned = rotate(query, rope.table([first + 4])), rotate(key, rope.table([first]))
        return torch.einsum("BLHD,BSHD->BHLS", *turned)

    torch.testing.assert_close(logits(shift), logits(0), atol=5e-6, rtol=0)


def test_half_precision_keeps_its_dtype_and_rounds_once() -> None:
    raw = normal(1, 15, 2, 24).bfloat16()
    table = Rope.of_grid(24, 3, 5).table([17])
    assert torch.equal(rotate(raw, table), rotate(raw.float(), table).bfloat16())

"""Attention of a training sample: the masked one, cut into what each block may see."""

import pytest
import torch

from worldrt.kernels.rope import Rope
from worldrt.model import DenseContext
from worldrt.training.context import BlockCausalContext


@pytest.mark.parametrize("recalled", [0, 1, 2, 3])
def test_block_causal_attention_is_the_masked_one(recalled: int) -> None:
    """Recalled frames see themselves alone, and every block sees them."""
    generator = torch.Generator().manual_seed(0)
    length = 5 * recalled + 3 * 10
    query, key, value = (torch.randn(2, length, 2, 12, generator=generator) for _ in range(3))
    table = Rope.of_grid(12, 1, 5).table(range(recalled + 6))
    block = torch.cat([torch.full((5 * recalled,), -1), torch.arange(30) // 10])
    dense = DenseContext(table, block[:, None] >= block[None])
    blocks = BlockCausalContext(table, 10, 5 * recalled)
    expected = dense.attend(0, query, key, value)
    torch.testing.assert_close(blocks.attend(0, query, key, value), expected, atol=1e-6, rtol=0)

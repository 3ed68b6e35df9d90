"""Attention against its definition in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worldrt.kernels.attention import attend


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def defined(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> np.ndarray:
    """softmax(q k^T / sqrt(D) + bias) v, float64."""
    q, k, v = (x.double().numpy() for x in (query, key, value))
    logits = np.einsum("blhd,bshd->bhls", q, k) / np.sqrt(q.shape[-1])
    if bias is not None:
        logits = logits + bias.double().numpy()
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhls,bshd->blhd", weights, v)


SIZES = [(1, 1, 1, 1, 2), (2, 7, 13, 3, 14), (1, 65, 129, 2, 24), (3, 5, 1, 1, 6)]


@pytest.mark.parametrize("batch, length, keys, heads, dim", SIZES)
@pytest.mark.parametrize("biased", [False, True])
def test_definition(batch: int, length: int, keys: int, heads: int, dim: int, biased: bool) -> None:
    query = 2 * normal(batch, length, heads, dim, seed=1)
    key, value = normal(batch, keys, heads, dim, seed=2), normal(batch, keys, heads, dim, seed=3)
    bias = normal(1, 1, length, keys, seed=4) if biased else None
    got = attend(query, key, value, bias)
    assert got.shape == query.shape
    np.testing.assert_allclose(got.numpy(), defined(query, key, value, bias), atol=2e-6)


def test_minus_infinity_removes_a_key_whatever_it_holds() -> None:
    query, key, value = (normal(2, n, 3, 14, seed=n) for n in (5, 11, 11))
    keep = torch.tensor([0, 1, 4, 5, 6, 9, 10])
    bias = torch.full((1, 1, 1, 11), -torch.inf)
    bias[..., keep] = 0
    rubbish = torch.ones(11, dtype=torch.bool)
    rubbish[keep] = False
    key[:, rubbish] = 1e4
    got = attend(query, key, value, bias)
    torch.testing.assert_close(got, attend(query, key[:, keep], value[:, keep]))


def test_a_bool_mask_says_where_a_query_sees_a_key() -> None:
    query, key, value = (normal(1, 6, 2, 8, seed=n) for n in range(3))
    mask = torch.tril(torch.ones(6, 6, dtype=torch.bool))
    bias = torch.zeros(6, 6).masked_fill(~mask, -torch.inf)
    got = attend(query, key, value, mask)
    np.testing.assert_allclose(got.numpy(), defined(query, key, value, bias), atol=2e-6)


def test_order_of_keys_does_not_matter() -> None:
    query, key, value = (normal(1, n, 2, 24, seed=n) for n in (9, 33, 33))
    order = torch.randperm(33, generator=torch.Generator().manual_seed(0))
    got = attend(query, key[:, order], value[:, order])
    torch.testing.assert_close(got, attend(query, key, value))


def test_views_into_a_wider_row_are_read_as_they_are() -> None:
    """The cache hands over a prefix of its row; strides differ, values do not."""
    row = normal(2, 40, 3, 14, seed=0)
    query = normal(2, 7, 3, 14, seed=1)
    got = attend(query, row[:, :23], row[:, :23])
    torch.testing.assert_close(got, attend(query, row[:, :23].clone(), row[:, :23].clone()))


def test_same_inputs_give_the_same_bits() -> None:
    query, key, value = (normal(2, n, 3, 24, seed=n) for n in (31, 77, 77))
    assert torch.equal(attend(query, key, value), attend(query, key, value))


def test_half_precision() -> None:
    query, key, value = (normal(1, n, 2, 24, seed=n).bfloat16() for n in (9, 33, 33))
    got = attend(query, key, value)
    assert got.dtype == torch.bfloat16
    np.testing.assert_allclose(got.float().numpy(), defined(query, key, value, None), atol=2e-2)

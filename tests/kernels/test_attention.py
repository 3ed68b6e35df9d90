"""Attention against its definition in float64, whole and in parts."""

import itertools
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.peak import peak
from worldrt.kernels import attention
from worldrt.kernels.attention import KEYS, Part, attend, attend_parts


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


@pytest.mark.parametrize("batch, length, keys, heads, dim", SIZES)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("logits", [1, 40, 2**21])
def test_definition_in_half_the_precision(
    batch: int,
    length: int,
    keys: int,
    heads: int,
    dim: int,
    biased: bool,
    logits: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In tiles of any size; three digits are what bfloat16 has."""
    monkeypatch.setattr(attention, "LOGITS", logits)
    query = normal(batch, length, heads, dim, seed=1).bfloat16()
    key, value = (normal(batch, keys, heads, dim, seed=n).bfloat16() for n in (2, 3))
    bias = normal(1, 1, length, keys, seed=4).bfloat16() if biased else None
    got = attend(query, key, value, bias)
    assert got.shape == query.shape and got.dtype is torch.bfloat16
    want = defined(query, key, value, bias)
    assert np.abs(got.double().numpy() - want).mean() < 0.01 * np.abs(want).mean()


def test_half_the_precision_knows_bool_masks_and_strides() -> None:
    query, key, value = (normal(2, 6, 3, 8, seed=n).bfloat16() for n in range(3))
    strided = torch.stack([key, value], dim=3)
    mask = torch.tril(torch.ones(6, 6, dtype=torch.bool))
    got = attend(query, strided[..., 0, :], strided[..., 1, :], mask)
    want = attend(query.float(), key.float(), value.float(), mask)
    torch.testing.assert_close(got.float(), want, atol=0.03, rtol=0.03)


def test_half_the_precision_is_trained_all_the_same() -> None:
    query, key, value = (normal(1, 5, 2, 8, seed=n).bfloat16() for n in range(3))
    query.requires_grad_()
    attend(query, key, value).sum().backward()
    assert query.grad is not None and bool(query.grad.isfinite().all())


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


# In parts.


def split(key: Tensor, value: Tensor, bias: Tensor | None, lengths: list[int]) -> Iterator[Part]:
    """The context cut into parts of `lengths` keys."""
    end = 0
    for length in lengths:
        here, end = slice(end, end + length), end + length
        yield Part(key[:, here], value[:, here], None if bias is None else bias[..., here])
    assert end == key.shape[1]


PARTS = [[13], [12, 1], [1, 1, 1, 1, 35], [35, 28], [63, 48], [5, 7, 35, 1, 63, 111], [7, 555]]


@pytest.mark.parametrize(
    "batch, length, heads, dim", [(1, 1, 1, 2), (2, 35, 3, 14), (1, 63, 2, 24)]
)
@pytest.mark.parametrize("lengths", PARTS, ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_parts_are_their_concatenation(
    batch: int, length: int, heads: int, dim: int, lengths: list[int], biased: bool
) -> None:
    keys = sum(lengths)
    query = 3 * normal(batch, length, heads, dim, seed=1)
    key, value = (normal(batch, keys, heads, dim, seed=n) for n in (2, 3))
    bias = 4 * normal(batch, heads, length, keys, seed=4) if biased else None
    got = attend_parts(query, split(key, value, bias, lengths))
    assert got.shape == query.shape
    np.testing.assert_allclose(got.numpy(), defined(query, key, value, bias), atol=1e-5)
    torch.testing.assert_close(got, attend(query, key, value, bias), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(11,), (7, 11), (1, 1, 1, 11), (2, 1, 1, 11), (1, 3, 7, 1)])
def test_a_bias_of_a_part_is_broadcast_as_that_of_the_whole(shape: tuple[int, ...]) -> None:
    query, key, value = (normal(2, n, 3, 14, seed=n) for n in (7, 11, 11))
    bias, nothing = normal(*shape, seed=0), torch.zeros(1, 1, 1, 11)
    parts = [Part(key, value, bias), Part(value, key), Part(key, key, nothing)]
    full = torch.cat([bias.expand(2, 3, 7, 11), torch.zeros(2, 3, 7, 22)], dim=-1)
    expected = attend(query, torch.cat([key, value, key], 1), torch.cat([value, key, key], 1), full)
    torch.testing.assert_close(attend_parts(query, parts), expected)


def test_a_single_part_is_attended_to_as_such() -> None:
    query, key, value = (normal(2, n, 3, 14, seed=n) for n in (7, 63, 63))
    bias = normal(1, 1, 1, 63, seed=0)
    assert torch.equal(attend_parts(query, [Part(key, value)]), attend(query, key, value))
    got = attend_parts(query, iter([Part(key, value, bias)]))
    assert torch.equal(got, attend(query, key, value, bias))


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_a_hidden_part_adds_nothing_wherever_it_stands(order: tuple[int, ...]) -> None:
    query = normal(1, 7, 2, 8, seed=0)
    hidden = torch.full((1, 1, 1, 5), -torch.inf)
    seen, other = (Part(*(normal(1, 9, 2, 8, seed=n + m) for m in (0, 1))) for n in (1, 3))
    rubbish = Part(torch.full((1, 5, 2, 8), 1e4), torch.full((1, 5, 2, 8), 1e30), hidden)
    parts = [(rubbish, seen, other)[index] for index in order]
    expected = attend(
        query, torch.cat([seen.key, other.key], 1), torch.cat([seen.value, other.value], 1)
    )
    torch.testing.assert_close(attend_parts(query, parts), expected)


def test_where_every_key_is_hidden_the_result_is_zero_and_only_there() -> None:
    query, key, value = (normal(1, n, 2, 8, seed=n) for n in (3, 5, 5))
    bias = torch.zeros(1, 1, 3, 5)
    bias[..., 1, :] = -torch.inf
    got = attend_parts(query, [Part(key, value, bias), Part(value, key, bias)])
    assert not got[:, 1].any()
    both = attend(query, torch.cat([key, value], 1), torch.cat([value, key], 1))
    torch.testing.assert_close(got[:, [0, 2]], both[:, [0, 2]])
    assert not attend_parts(query, [Part(key, value, bias[:, :, 1:2])] * 3).any()
    assert torch.equal(attend_parts(query, []), torch.zeros_like(query))


@pytest.mark.parametrize("size", [1e-3, 30.0, 3000.0])
def test_logits_of_any_size(size: float) -> None:
    """Weights are relative to the largest logit so far, rising and falling from part to part."""
    query, key, value = (normal(1, n, 2, 24, seed=n) for n in (9, 35, 35))
    steps = size * torch.tensor([0.0, 2, -1, 3, 1]).repeat_interleave(7)
    got = attend_parts(query, split(key, value, steps[None, None, None], [7] * 5))
    expected = defined(query, key, value, steps[None, None, None])
    a_rounding = 3 * size * 2**-23  # of the largest logits, in float32
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5 + a_rounding)


def test_log_n_makes_a_key_count_as_n_copies_of_it() -> None:
    query, key, value, one, its = (normal(2, n, 3, 14, seed=n) for n in (7, 11, 12, 1, 2))
    value, its = value[:, :11], its[:, :1]
    copies = [Part(key, value), Part(one.expand(-1, 1560, -1, -1), its.expand(-1, 1560, -1, -1))]
    weighed = [Part(key, value), Part(one, its, torch.full((1, 1, 1, 1), np.log(1560)))]
    got, expected = attend_parts(query, weighed), attend_parts(query, copies)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_parts_in_half_precision_are_summed_in_float32() -> None:
    """Each of 64 parts would cost a rounding; only the result is rounded."""
    query, key, value = (normal(1, n, 2, 24, seed=n).bfloat16() for n in (9, 448, 448))
    got = attend_parts(query, split(key, value, None, [7] * 64))
    assert got.dtype == torch.bfloat16
    exact = attend_parts(query.float(), split(key.float(), value.float(), None, [7] * 64))
    assert torch.equal(got, exact.bfloat16())


def test_at_most_two_parts_live_at_once() -> None:
    made: list[weakref.ref[Tensor]] = []
    living: list[int] = []

    def tiles() -> Iterator[Part]:
        for seed in range(6):
            part = Part(*(normal(1, 5, 2, 8, seed=seed + n) for n in (0, 1)))
            made.append(weakref.ref(part.key))
            living.append(sum(key() is not None for key in made))
            yield part
            del part

    attend_parts(normal(1, 3, 2, 8, seed=0), tiles())
    assert living == [1, 2, 1, 1, 1, 1]


def test_workspace_of_parts() -> None:
    """Logits of one part, the sums and the result, and never the concatenation."""
    length, heads, dim, keys = 63, 4, 32, 35
    query = normal(1, length, heads, dim, seed=0)
    part = Part(normal(1, keys, heads, dim, seed=1), normal(1, keys, heads, dim, seed=2))
    with peak() as found:
        attend_parts(query, [part] * 50)
    assert found.bytes <= 4 * heads * length * (keys + 2 * dim + 8)


def test_a_large_part_is_used_up_piece_by_piece() -> None:
    length, heads, dim = 63, 4, 32
    query = normal(1, length, heads, dim, seed=0)
    large = Part(normal(1, 9 * KEYS, heads, dim, seed=1), normal(1, 9 * KEYS, heads, dim, seed=2))
    with peak() as found:
        attend_parts(query, [large, large])
    assert found.bytes <= 4 * heads * length * (KEYS + 2 * dim + 8)

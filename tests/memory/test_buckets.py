"""Buckets: who shares one, that nobody is left blind, and how many near keys are found."""

import math

import pytest
import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.attention import attend
from worldrt.memory.buckets import bucket_bias, prompt_bias, sign_planes


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_planes_are_the_same_each_time() -> None:
    one, two = (sign_planes(3, 14, 5, 2, seed=7) for _ in range(2))
    assert one.shape == (2, 3, 14, 5) and torch.equal(one, two)
    assert not torch.equal(one, sign_planes(3, 14, 5, 2))


@pytest.mark.parametrize("bits, tables", [(0, 1), (17, 1), (4, 0)])
def test_planes_that_make_no_sense(bits: int, tables: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 16 bits .* got {bits} and {tables}"):
        sign_planes(1, 6, bits, tables)


def test_sides_by_hand() -> None:
    """Two planes, the axes: quadrants of a plane are the buckets."""
    planes = torch.eye(2)[None, None]  # [1, 1, 2, 2]
    query = torch.tensor([[1.0, 2], [-1, 1], [-1, -1]])[None, :, None]
    key = torch.tensor([[3.0, 0.1], [2, -1], [-5, 4]])[None, :, None]
    no = -math.inf
    # The last query's quadrant holds no key: it sees all.
    assert bucket_bias(query, key, planes).tolist() == [[[[0, no, no], [no, no, 0], [0, 0, 0]]]]
    # The second key's quadrant holds no query.
    assert prompt_bias(query, key, planes).tolist() == [[[[0, no, 0]]]]
    assert prompt_bias(query[:, 2:], key, planes).tolist() == [[[[0, 0, 0]]]]


@pytest.mark.parametrize("bits, tables", [(1, 1), (6, 1), (16, 1), (6, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_against_pairs_compared_one_by_one(bits: int, tables: int, dtype: torch.dtype) -> None:
    query, key = draw(2, 11, 3, 14).to(dtype), draw(2, 7, 3, 14, seed=1).to(dtype)
    planes = sign_planes(3, 14, bits, tables)
    pairs, words = bucket_bias(query, key, planes), prompt_bias(query, key, planes)
    assert pairs.shape == (2, 3, 11, 7) and words.shape == (2, 3, 1, 7)
    assert pairs.dtype == words.dtype == dtype
    for batch in range(2):
        for head in range(3):
            sides = [
                [
                    [tuple((vector.float() @ table[head] >= 0).tolist()) for table in planes]
                    for vector in vectors[batch, :, head]
                ]
                for vectors in (query, key)
            ]
            shared = torch.tensor(
                [[any(map(tuple.__eq__, a, b)) for b in sides[1]] for a in sides[0]]
            )
            seen = torch.where(shared.any(1, keepdim=True), shared, True)
            assert torch.equal(pairs[batch, head] == 0, seen)
            any_query = shared.any(0)
            assert torch.equal(words[batch, head, 0] == 0, any_query | ~any_query.any())


@pytest.mark.parametrize("bits", [1, 4, 12, 16])
def test_nobody_is_left_blind(bits: int) -> None:
    """Every query sees a key and every head a word, so that no output is NaN."""
    query, key = draw(2, 50, 3, 14), draw(2, 5, 3, 14, seed=1)
    planes = sign_planes(3, 14, bits)
    for bias in (bucket_bias(query, key, planes), prompt_bias(query, key, planes)):
        assert torch.all(bias.amax(-1) == 0)
        assert torch.isfinite(attend(query, key, key, bias)).all()


def test_a_key_that_is_hidden_anyway_is_no_company() -> None:
    """The bucket of a query may hold nothing but slots that are not in use."""
    planes = torch.eye(2)[None, None]
    query = torch.tensor([[1.0, 2], [-1, 1]])[None, :, None]
    key = torch.tensor([[3.0, 0.1], [-5, 4], [-1, 9]])[None, :, None]
    no, bias = -math.inf, torch.tensor([-math.inf, 0.5, 0])[None, None, None]
    # The first query's one neighbour is hidden: it sees the other two.
    expected = [[[[no, 0.5, 0], [no, 0.5, 0]]]]
    assert bucket_bias(query, key, planes, bias).tolist() == expected
    free = bucket_bias(query, key, planes, torch.zeros(1, 1, 1, 3))
    assert torch.equal(free, bucket_bias(query, key, planes))
    draws, hidden = draw(2, 30, 3, 14), torch.zeros(2, 1, 1, 30)
    hidden[..., 4:] = no
    both = bucket_bias(draws, draws, sign_planes(3, 14, 12), hidden)
    assert torch.all(both.amax(-1) == 0) and torch.all(both[..., 4:] == no)


@pytest.mark.parametrize("tables", [1, 3])
def test_what_is_equal_shares_every_bucket(tables: int) -> None:
    """Whatever its length: a bucket is of directions."""
    both = draw(1, 40, 2, 14)
    planes = sign_planes(2, 14, 16, tables)
    for scale in (1, 1e-3, 1e3):
        own = bucket_bias(both, scale * both, planes).diagonal(dim1=-2, dim2=-1)
        assert torch.all(own == 0)
        assert torch.all(prompt_bias(both, scale * both, planes) == 0)


def test_the_chance_of_a_bucket_is_that_of_the_angle() -> None:
    """(1 - a / pi)^bits a table."""
    bits, tables = 4, 2_000
    planes = sign_planes(1, 14, bits, tables)
    one, other = draw(2, 14)
    for share in (0.0, 0.3, 0.7):
        two = torch.lerp(one, other, share)
        angle = math.acos(min(1, float(torch.cosine_similarity(one, two, dim=0))))
        keys = torch.stack([two, one])[None, :, None]  # the query too, so that it is not blind
        found = [
            float(bucket_bias(one[None, None, None], keys, table[None])[0, 0, 0, 0] == 0)
            for table in planes
        ]
        expected = (1 - angle / math.pi) ** bits
        assert abs(sum(found) / tables - expected) < 4 * math.sqrt(0.25 / tables)


@pytest.mark.parametrize("bits, tables, recall, density", [(4, 1, 0.5, 0.12), (8, 8, 0.9, 0.12)])
def test_recall_on_clusters(bits: int, tables: int, recall: float, density: float) -> None:
    """At one share of all keys, eight tables find most of a query's cluster, and one half."""
    centres = draw(16, 1, 1, 64, seed=2)
    query = (centres + 0.3 * draw(16, 20, 1, 64, seed=3)).flatten(0, 1)[None]
    key = (centres + 0.3 * draw(16, 10, 1, 64, seed=4)).flatten(0, 1)[None]
    same = torch.arange(320)[:, None] // 20 == torch.arange(160) // 10
    found = {}
    for seed in range(8):
        seen = bucket_bias(query, key, sign_planes(1, 64, bits, tables, seed=seed))[0, 0] == 0
        found[seed] = (float(seen[same].float().mean()), float(seen.float().mean()))
    means = torch.tensor(list(found.values())).mean(0)
    assert means[0] > recall and means[1] < density

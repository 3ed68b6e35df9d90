"""Attention mass against the softmax written out."""

import math

import pytest
import torch

from worldrt.errors import ConfigError
from worldrt.memory import mass
from worldrt.memory.mass import check_sample, key_mass, thinned


@pytest.mark.parametrize("count, most", [(7, 3), (111, 16), (16, 15), (5, 1), (4680, 64)])
def test_one_of_each_stretch(count: int, most: int) -> None:
    found = thinned(count, most)
    stretches = [[*range(rank * count // most, (rank + 1) * count // most)] for rank in range(most)]
    assert len(found) == most
    assert all(index in stretch for index, stretch in zip(found, stretches, strict=True))


@pytest.mark.parametrize("count, most", [(7, 0), (7, 7), (7, 9), (1, 1), (0, 3)])
def test_all_where_there_are_no_more(count: int, most: int) -> None:
    assert thinned(count, most) == list(range(count))


def test_no_column_is_preferred() -> None:
    """Where a stride of 16 would meet one column of 16 only."""
    columns = [index % 16 for index in thinned(9 * 16 * 3, 9 * 3)]
    assert len(set(columns)) > 12


def draw(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, size, 3, 10, generator=generator) for size in sizes]


@pytest.mark.parametrize("at_once", [mass.LOGITS, 500, 1])
def test_columns_of_the_softmax(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number of queries is looked at together."""
    monkeypatch.setattr(mass, "LOGITS", at_once)
    query, first, second = draw(7, 5, 11)
    bias = torch.randn(2, 1, 1, 16, generator=torch.Generator().manual_seed(1))
    bias[0, ..., 3] = -torch.inf
    keys = torch.cat([first, second], dim=1)
    logits = torch.einsum("BLHD,BSHD->BHLS", query.double(), keys.double()) / math.sqrt(10)
    expected = (logits + bias).softmax(-1).mean(2)
    torch.testing.assert_close(key_mass(query, [first, second], bias).double(), expected)
    assert (key_mass(query, [first, second], bias)[0, :, 3] == 0).all()
    alone = key_mass(query, [keys])
    torch.testing.assert_close(alone.double(), logits.softmax(-1).mean(2))
    torch.testing.assert_close(alone.sum(-1), torch.ones(2, 3))


def test_half_precision_is_summed_in_single() -> None:
    query, key = (each.bfloat16() for each in draw(300, 9))
    found = key_mass(query, [key])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, key_mass(query.float(), [key.float()]), atol=2e-3, rtol=0)


def test_a_number_of_queries() -> None:
    check_sample(0)
    with pytest.raises(ConfigError) as caught:
        check_sample(-1)
    assert str(caught.value) == "Queries are looked at from 1 up, or 0 for all, got -1."

"""Attention mass against the softmax written out."""

import math

import pytest
import torch

from worldrt.errors import ConfigError
from worldrt.memory import mass
from worldrt.memory.mass import check_thinning, key_mass, thinned


@pytest.mark.parametrize("count, one_in", [(1, 1), (7, 1), (1, 5), (7, 3), (111, 16), (16, 16)])
def test_one_of_each_neighbourhood(count: int, one_in: int) -> None:
    found = thinned(count, one_in)
    assert [index // one_in for index in found] == list(range(math.ceil(count / one_in)))
    assert max(found) < count


def test_no_column_is_preferred() -> None:
    """Where a stride of 16 would meet one column of 16 only."""
    columns = [index % 16 for index in thinned(9 * 16 * 3, 16)]
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


def test_no_query_in_none() -> None:
    with pytest.raises(ConfigError) as caught:
        check_thinning(0)
    assert str(caught.value) == "One query in 1 or more is looked at, got one in 0."

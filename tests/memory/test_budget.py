"""Shares of a budget: closed forms, and the ranking that heads share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldrt.errors import ConfigError
from worldrt.memory.budget import Budget


def test_layers_have_the_mean_on_the_whole() -> None:
    budget = Budget(slope=0.3)
    shares = [budget.of_layer(100, layer, 5) for layer in range(5)]
    assert shares == [70, 85, 100, 115, 130]
    assert budget.of_layer(100, 0, 1) == 100 and Budget().of_layer(7, 3, 5) == 7
    assert Budget(slope=-0.9).of_layer(4, 4, 5) == 1


def test_heads_share_one_ranking() -> None:
    """Head 0 has the four best tokens of all, but may keep no more than twice the mean."""
    scores = torch.tensor([[[9.0, 8.0, 7.0, 6.0, 0.0], [5.0, 1.0, 4.0, 2.0, 3.0]]])
    tokens, counts = Budget(spread=0.5).keep(scores, 2)
    assert tokens[0, 0].tolist() == [0, 1, 2] and counts[0, 0].all()
    assert tokens[0, 1, counts[0, 1]].tolist() == [0]
    even, all_count = Budget().keep(scores, 2)
    assert even[0].tolist() == [[0, 1], [0, 2]] and all_count.all()


def test_ties_go_to_the_earlier_token_then_the_earlier_head() -> None:
    tokens, counts = Budget(spread=1.0).keep(torch.zeros(1, 2, 4), 1)
    assert [tokens[0, head, counts[0, head]].tolist() for head in (0, 1)] == [[0], [0]]


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_what_can_not_be_kept_does_not_count(spread: float) -> None:
    scores = torch.full((1, 2, 4), -torch.inf)
    scores[0, 0, 3] = 1
    tokens, counts = Budget(spread=spread).keep(scores, 2)
    assert counts.sum() == 1 and tokens[0, 0, counts[0, 0]].tolist() == [3]


@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 12), st.floats(0, 2), st.integers(0, 99)
)
def test_no_head_exceeds_its_bound_and_no_layer_its_total(
    batch: int, heads: int, length: int, spread: float, seed: int
) -> None:
    scores = torch.randn(batch, heads, length, generator=torch.Generator().manual_seed(seed))
    count = max(1, length // 2)
    tokens, counts = Budget(spread=spread).keep(scores, count)
    assert counts.sum(-1).max() <= min(length, int(count * (1 + spread)))
    assert (counts.sum((1, 2)) == heads * count).all()
    for b in range(batch):
        for head in range(heads):
            kept = tokens[b, head, counts[b, head]].tolist()
            assert kept == sorted(set(kept))
            left = sorted(set(range(length)) - set(kept))
            if kept and left:
                assert scores[b, head, kept].min() >= scores[b, head, left].max()


@pytest.mark.parametrize("slope, spread", [(1.0, 0.0), (-1.0, 0.0), (0.0, -0.1), (2.0, 0.0)])
def test_budgets_that_make_no_sense(slope: float, spread: float) -> None:
    with pytest.raises(ConfigError, match="A budget slopes by more than -1"):
        Budget(slope=slope, spread=spread)

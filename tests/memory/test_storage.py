"""Which rows a policy gets."""

import pytest
import torch

from tests.list_cache import ODD
from worldrt.errors import CacheError
from worldrt.memory.cache import KVCache
from worldrt.memory.coded import CodedRows
from worldrt.memory.dense import DenseRows
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape
from worldrt.memory.storage import open_rows


@pytest.mark.parametrize(
    "spec, kind, rows",
    [("window", DenseRows, 2), ("infinity", DenseRows, 3), ("window:codec=int8", CodedRows, None)],
)
def test_raw_keys_are_kept_only_where_keys_move(spec: str, kind: type, rows: int | None) -> None:
    policy = find(spec, 3)
    found = open_rows(policy, ODD, 5, policy.moves, torch.float32, None)
    assert isinstance(found, kind)
    row = 4 * 5 * ODD.tokens * ODD.layers * ODD.batch * ODD.heads * ODD.head_dim
    assert rows is None or found.nbytes == rows * row


def test_the_tail_is_what_the_mid_asks_for() -> None:
    flow = open_rows(find("flow:spread=1", 3), ODD, 3, True, torch.float32, None)
    assert flow.tail.bias is not None and flow.tail.bias.shape[2] == ODD.heads
    assert open_rows(find("window", 3), ODD, 9, False, torch.float32, None).tail.keys.shape[2] == 0


def test_a_cache_that_does_not_fit_is_refused_before_anything_is_taken() -> None:
    huge = CacheShape(layers=30, heads=12, head_dim=128, rows=30, columns=52, block_frames=3)
    with pytest.raises(CacheError) as caught:
        KVCache(find("window:sink=0,recent=999997", 3), huge, torch.bfloat16)
    # 1,000,000 frames of 1,560 tokens of 184,320 bytes.
    assert "Policy 'window' needs 287539.2 GB for its cache, this device has" in str(caught.value)

"""No policy ever waits for the device: on one that has no numbers, all run as on any other."""

import pytest
import torch
from torch import Tensor

from tests.list_cache import ODD
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find, names
from worldrt.memory.slots import CacheShape, Note

NOWHERE = torch.device("meta")
"""A tensor there has a shape only: asking for a number of it raises."""


def run(cache: KVCache, frames: int, passes: int, shape: CacheShape = ODD) -> None:
    """Passes over so many frames, opened before; the last is the clean one."""
    nothing = torch.zeros(
        shape.batch, frames * shape.tokens, shape.heads, shape.head_dim, device=NOWHERE
    )
    for index in range(passes):
        cache.begin_pass(first=index == 0, clean=index == passes - 1)
        for layer in range(shape.layers):
            found: Tensor = cache.attend(layer, nothing, nothing, nothing)
            assert found.is_meta
    cache.commit()


@pytest.mark.parametrize("spec", [*names(), "window:codec=int4", "infinity:codec=bf16"])
def test_nothing_is_asked_of_a_tensor(spec: str) -> None:
    policy = find(spec, 3)
    cache = KVCache(policy, ODD, device=NOWHERE)
    for frames in [3] * 16:
        if policy.lookahead:
            run(cache, cache.open_sink(), 1)
        cache.open_block(frames, [Note()] * frames)
        run(cache, policy.state + frames, 2)
    assert cache.frames == 48

"""Two thousand tiny blocks under every policy: bytes stay, and so does what a block reads."""

import pytest
import torch

from tests.list_cache import DOT
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import find, names
from worldrt.memory.slots import Note, Region

BLOCKS = 2_000
WARM_UP = 100


@pytest.mark.parametrize("name", [name for name in names() if name != "full"])
def test_a_long_rollout_costs_what_a_short_one_does(name: str) -> None:
    policy = find(name, DOT.block_frames)
    cache = KVCache(policy, DOT)
    frames = policy.state + DOT.block_frames
    size = (2, 3, 1, frames * DOT.tokens, DOT.heads, DOT.head_dim)
    generator = torch.Generator().manual_seed(0)
    empty, steady = cache.nbytes, None
    for block in range(BLOCKS):
        notes = [Note() for _ in range(DOT.block_frames)]
        if policy.lookahead:
            tokens = cache.open_sink() * DOT.tokens
            cache.begin_pass(first=True, clean=True)
            cache.attend(0, *torch.randn(3, 1, tokens, DOT.heads, DOT.head_dim))
            cache.commit()
        cache.open_block(DOT.block_frames, notes)
        step, clean = torch.randn(size, generator=generator)
        cache.begin_pass(first=True)
        assert torch.isfinite(cache.attend(0, *step)).all()
        cache.begin_pass(clean=True)
        assert torch.isfinite(cache.attend(0, *clean)).all()
        cache.commit()
        if block >= WARM_UP:
            occupancy = cache.occupancy()
            held = {region: part.tokens for region, part in occupancy.items()}
            steady = steady or cache.nbytes
            assert cache.nbytes == steady
            assert sum(held.values()) <= 100 * frames * DOT.tokens
    assert cache.frames == BLOCKS * DOT.block_frames
    positions = cache.positions()[Region.RECENT]
    assert positions == sorted(positions)
    # What was not taken at the start are buffers of a mid that fill up, never more than it says.
    assert steady is not None and empty <= steady <= 2 * empty


def test_the_policy_that_keeps_everything_doubles_its_rows_and_nothing_else() -> None:
    cache, seen = KVCache(find("full", DOT.block_frames), DOT), set[int]()
    generator = torch.Generator().manual_seed(0)
    for _ in range(BLOCKS):
        block = torch.randn(3, 1, 3 * DOT.tokens, 1, DOT.head_dim, generator=generator)
        cache.open_block(DOT.block_frames)
        cache.begin_pass(first=True, clean=True)
        assert torch.isfinite(cache.attend(0, *block)).all()
        cache.commit()
        seen.add(cache.nbytes)
    smallest = min(seen)
    assert cache.frames == BLOCKS * DOT.block_frames
    assert seen == {smallest * 2**power for power in range(len(seen))}
    kept = cache.frames * DOT.tokens * 2 * 4 * DOT.head_dim
    assert kept <= cache.nbytes <= 2.1 * kept

"""The cache against a list of all frames, and what a block may cost."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, ListCache, passes, play
from worldrt.errors import CacheError
from worldrt.memory.cache import KVCache
from worldrt.memory.compress import PooledPacker
from worldrt.memory.occupancy import Occupancy
from worldrt.memory.packed import Packed
from worldrt.memory.policy import Partition, Policy, find
from worldrt.memory.positions import Contiguous
from worldrt.memory.slots import CacheShape, Region

STEADY = [3] * 40
MIXED = np.random.default_rng(0).integers(1, 4, 40).tolist()

MOVED = Policy(name="moved", partition=Partition(sink=4, recent=5), positions=Contiguous())
"""A window whose sink follows it."""

EXACT = Policy(
    name="exact",
    partition=Partition(sink=3, recent=3),
    positions=Contiguous(),
    mid=Packed(blocks=100, top=0, packer=PooledPacker(time=1, side=1)),
)
"""A mid partition that changes nothing: every frame is still attended to."""


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got.double(), expected.double(), atol=1e-5, rtol=0)


# What a block sees.


@pytest.mark.parametrize(
    "spec, sizes",
    [
        ("window:sink=3,recent=5", STEADY),
        ("window:sink=0,recent=4", STEADY),
        ("window:sink=3,recent=5", MIXED),
        ("window:sink=7,recent=1", MIXED),
        ("window:sink=4,recent=0", MIXED),
        ("window:sink=0,recent=0", MIXED),
        ("pack:sink=3,recent=3,mid=4,top=2", STEADY),
        ("pack:sink=6,recent=6,mid=3,top=0", STEADY),
        ("pack:sink=0,recent=3,mid=5,top=1", STEADY),
        ("pack:sink=3,recent=3,mid=0", STEADY),
        ("pack:sink=3,recent=0,mid=4,top=2", STEADY),
        ("pack:sink=3,recent=6,mid=4,top=2", MIXED),
    ],
)
def test_ring_equals_list(spec: str, sizes: list[int]) -> None:
    policy = find(spec, 3)
    cache = KVCache(policy, ODD)
    close(play(cache, sizes), play(ListCache(policy, ODD), sizes))
    assert cache.frames == sum(sizes) and cache.evicted > 0


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
def test_a_moving_sink_equals_list(sizes: list[int]) -> None:
    """Re-rotation without packing."""
    close(play(KVCache(MOVED, ODD), sizes), play(ListCache(MOVED, ODD), sizes))


@pytest.mark.parametrize("sizes", [[3] * 15, MIXED[:20]], ids=["steady", "mixed"])
def test_everything_kept_equals_list(sizes: list[int]) -> None:
    policy = find("full", 3)
    cache = KVCache(policy, ODD)
    empty = cache.nbytes
    close(play(cache, sizes), play(ListCache(policy, ODD), sizes))
    assert cache.evicted == 0 and cache.nbytes > 2 * empty


@pytest.mark.parametrize("spec", ["window:sink=0,recent=45", "window:sink=3,recent=42"])
def test_a_window_longer_than_history_is_the_unbounded_cache(spec: str) -> None:
    sizes = [3] * 15
    full = play(KVCache(find("full", 3), ODD), sizes)
    assert torch.equal(play(KVCache(find(spec, 3), ODD), sizes), full)


def test_packing_that_changes_nothing_is_full_attention() -> None:
    """Sink, mid and recent together hold every token at its own place: the parts fit seamlessly."""
    sizes = [3] * 20
    full = play(KVCache(find("full", 3), ODD), sizes)
    cache = KVCache(EXACT, ODD)
    torch.testing.assert_close(play(cache, sizes), full, atol=2e-6, rtol=0)
    assert cache.occupancy()[Region.MID].frames == 20 * 3 - 3 - 6


def test_attending_to_all_packed_blocks_is_top_of_all() -> None:
    one, two = (find(f"pack:mid=5,top={top}", 3) for top in (0, 5))
    assert torch.equal(play(KVCache(one, ODD), STEADY), play(KVCache(two, ODD), STEADY))


@pytest.mark.parametrize("policy", [find("window", 3), find("pack:mid=4,top=2", 3), MOVED])
def test_a_batch_is_its_sequences_side_by_side(policy: Policy) -> None:
    both = play(KVCache(policy, ODD), STEADY)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy, lone), STEADY, rows=rows))


@pytest.mark.parametrize("policy", [find("window", 3), find("pack:mid=4,top=2", 3), MOVED])
def test_same_inputs_give_the_same_bits(policy: Policy) -> None:
    assert torch.equal(play(KVCache(policy, ODD), MIXED), play(KVCache(policy, ODD), MIXED))


@pytest.mark.parametrize("policy", [find("window:recent=4", 3), find("pack:top=0", 3), MOVED])
def test_half_precision(policy: Policy) -> None:
    """Mixed sizes leave holes, so that the bias is read too."""
    cache = KVCache(policy, ODD, torch.bfloat16)
    got = play(cache, MIXED, dtype=torch.bfloat16)
    exact = play(ListCache(policy, ODD), MIXED)
    assert got.dtype == torch.bfloat16 and (got.double() - exact).abs().mean() < 0.01
    assert cache.nbytes < 0.6 * KVCache(policy, ODD).nbytes


# A clean pass that runs with the next block's first step.


def play_fused(cache: KVCache, sizes: Sequence[int], shape: CacheShape = ODD) -> Tensor:
    """As `play`, each block's clean pass in one forward with the next block's step."""
    out: list[Tensor] = []
    nothing = torch.zeros(shape.batch, 0, shape.heads, shape.head_dim)
    late = [(nothing, nothing, nothing)] * shape.layers
    blocks = [*sizes, 1]  # one more, whose step carries the last clean pass
    for frames, (step, clean) in zip(blocks, passes(blocks, shape), strict=True):
        cache.open_block(frames)
        cache.begin_pass(first=True)
        noisy: list[Tensor] = []
        for layer, pair in enumerate(zip(late, step, strict=True)):
            query, key, value = (torch.cat(parts, dim=1) for parts in zip(*pair, strict=True))
            both = cache.attend(layer, query, key, value)
            out.append(both[:, : -frames * shape.tokens])
            noisy.append(both[:, -frames * shape.tokens :])
        out += noisy
        late = clean
        cache.commit(late=True)
    return torch.cat(out[: -shape.layers], dim=1)


@pytest.mark.parametrize(
    "spec, sizes",
    [
        ("window:sink=3,recent=3", STEADY),
        ("window:sink=0,recent=4", STEADY),
        ("window:sink=3,recent=5", MIXED),
        ("window:sink=7,recent=3", MIXED),
        ("full", MIXED[:20]),
    ],
)
def test_a_late_clean_pass_is_exact(spec: str, sizes: list[int]) -> None:
    """It reads what it would have read before the next block was opened, and so does that block."""
    cache, oracle = KVCache(find(spec, 3), ODD), ListCache(find(spec, 3), ODD)
    assert cache.fuses
    close(play_fused(cache, sizes), play(oracle, sizes))


@pytest.mark.parametrize(
    "policy, fuses",
    [
        (find("full", 3), True),
        (find("window:recent=3", 3), True),
        (find("window:recent=2", 3), False),  # the next block would push it out
        (find("pack", 3), False),
        (MOVED, False),
    ],
)
def test_where_a_clean_pass_may_be_late(policy: Policy, fuses: bool) -> None:
    cache = KVCache(policy, ODD)
    assert cache.fuses == fuses
    cache.open_block(3)
    cache.begin_pass(first=True)
    if fuses:
        cache.commit(late=True)
        assert cache.frames == 3
    else:
        with pytest.raises(CacheError, match="clean pass"):
            cache.commit(late=True)


# What a block does not cost.


def test_packed_blocks_are_chosen_once_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean pass brings other queries and reads the packed keys that the step chose."""
    seen: list[Tensor] = []
    policy = find("pack:sink=3,recent=3,mid=6,top=2", 3)
    behind = 2 * PooledPacker().grid(3, 3, 3).tokens

    def spy(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        del value, bias
        seen.append(key[:, -behind:].clone())
        return query

    monkeypatch.setattr("worldrt.memory.dense.attend", spy)
    play(KVCache(policy, ODD), STEADY)
    by_block = [seen[start : start + 4] for start in range(0, len(seen), 4)][10:]
    for step_0, step_1, clean_0, clean_1 in by_block:  # by layer
        assert torch.equal(clean_0, step_0) and torch.equal(clean_1, step_1)
    changes = [not torch.equal(a[0], b[0]) for a, b in zip(by_block, by_block[1:], strict=False)]
    assert sum(changes) > len(changes) / 2


@pytest.mark.parametrize("policy", [find("window", 3), find("pack:mid=4,top=2", 3), MOVED])
def test_keys_are_read_where_they_lie(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row a layer, the same memory from the first block to the last: no copy, no new tensor."""
    places: set[tuple[int, int]] = set()

    def spy(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        del bias
        places.add((key.data_ptr(), value.data_ptr()))
        return query

    monkeypatch.setattr("worldrt.memory.dense.attend", spy)
    play(KVCache(policy, ODD), MIXED)
    assert len(places) == ODD.layers


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("spec", ["window:sink=3,recent=3", "pack:sink=3,recent=3,mid=3,top=2"])
@pytest.mark.parametrize("blocks", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_long_rollouts(spec: str, blocks: int) -> None:
    """Bytes stay; at frame 30,000 the context is that of raw keys encoded at their places anew."""
    policy = find(spec, 3)
    draws = torch.randn(blocks, 3, 1, 6, 1, 6, generator=torch.Generator().manual_seed(0))

    def attend(cache: KVCache | ListCache, block: Tensor) -> Tensor:
        cache.open_block(3)
        cache.begin_pass(first=True, clean=True)
        found = cache.attend(0, *block)
        cache.commit()
        return found

    cache, resident, last = KVCache(policy, DOT), list[int](), list[Tensor]()
    for index, block in enumerate(draws):
        if index in (50, blocks // 2):
            resident.append(resident_bytes())
            assert cache.nbytes == KVCache(policy, DOT).nbytes
        last = [*last[-4:], attend(cache, block)]
    assert resident[1] - resident[0] < 2e6
    assert cache.frames == 3 * blocks and cache.positions()[Region.RECENT][-1] == 3 * blocks - 1
    oracle = ListCache(policy, DOT)
    for _, key, value in draws[:-5]:
        oracle.remember(key, value)
    for block, found in zip(draws[-5:], last, strict=True):
        close(found, attend(oracle, block))


# What is asked about it.


def test_positions_and_occupancy_of_a_window() -> None:
    cache = KVCache(find("window:sink=2,recent=3", 3), ODD)
    play(cache, [3] * 5)
    assert cache.positions()[Region.SINK] == [0, 1]
    # The last block is in; who leaves is decided when the next one opens.
    assert cache.positions()[Region.RECENT] == [9, 10, 11, 12, 13, 14]
    cache.open_block(2)
    assert cache.positions() == {
        Region.SINK: [0, 1],
        Region.SPATIAL: [],
        Region.RECENT: [12, 13, 14],
        Region.BLOCK: [15, 16],
    }
    token = 2 * 4 * ODD.batch * ODD.layers * ODD.heads * ODD.head_dim
    assert cache.occupancy() == {
        Region.SINK: Occupancy(2, 18, 18 * token),
        Region.SPATIAL: Occupancy(0, 0, 0),
        Region.RECENT: Occupancy(3, 27, 27 * token),
        Region.BLOCK: Occupancy(2, 18, 18 * token),
        Region.MID: Occupancy(0, 0, 0),
    }
    assert cache.nbytes == 8 * 9 * token  # 2 + 3 + 3 slots
    assert cache.evicted == 15 - 2 - 3


def test_positions_and_occupancy_of_three_partitions() -> None:
    """The context is an unbroken run of positions that ends at the block."""
    cache = KVCache(find("pack:sink=3,recent=3,mid=2,top=1", 3), ODD)
    play(cache, [3] * 8)
    cache.open_block(3)
    # Packed: frames 15..17 and 18..20; before them 3..14 are forgotten.
    assert cache.positions() == {
        Region.SINK: [12, 13, 14],
        Region.SPATIAL: [],
        Region.RECENT: [21, 22, 23],
        Region.BLOCK: [24, 25, 26],
    }
    row = 4 * ODD.batch * ODD.layers * ODD.heads * ODD.head_dim
    occupancy = cache.occupancy()
    # Of two packed blocks of 8 tokens one is attended to: both, their means, and the copy it reads.
    assert occupancy[Region.MID] == Occupancy(6, 8, (16 * 2 + 2 + 8 * 2) * row)
    assert occupancy[Region.RECENT] == Occupancy(3, 27, 27 * 3 * row)
    assert cache.evicted == 18

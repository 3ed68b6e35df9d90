"""Packed blocks: what is kept, what is chosen, and where it stands."""

import pytest
import torch
from torch import Tensor

from worldrt.config import Cells, PackerConfig
from worldrt.errors import CacheError, ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import Grid, PooledPacker
from worldrt.memory.learned import LearnedPacker
from worldrt.memory.mid import Bounds, Look, Tail
from worldrt.memory.packed import Packed, PackedRing
from worldrt.memory.slots import CacheShape, Span

DOT = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1, batch=2)
"""One token a block, so that an affinity can be computed by hand."""

ODD = CacheShape(layers=2, heads=3, head_dim=14, rows=3, columns=5, block_frames=3)


def ring(shape: CacheShape, mid: int, top: int) -> tuple[PackedRing, Tail]:
    """A ring, and its tail filled with what must not be read."""
    part = Packed(blocks=mid, top=top, packer=PooledPacker())
    bounds = Bounds(shape.block_frames, 0)
    size = (shape.layers, shape.batch, part.room(shape, bounds), shape.heads, shape.head_dim)
    tail = Tail(torch.full(size, torch.nan), torch.full(size, torch.nan), None)
    return part.open(shape, bounds, tail), tail


def push(kept: PackedRing, frame: int, raw: Tensor, value: Tensor) -> None:
    kept.admit([Span(frame, 0, 0.0)], raw, value)


def look(layer: int, query: Tensor, *, first: bool = True) -> Look:
    """A pass of which only raw queries are read."""
    return Look(layer, first, False, query, *[torch.full_like(query, torch.nan)] * 4)


def fill(kept: PackedRing, keys: list[float]) -> None:
    """Push blocks whose one token has a raw key of `keys[i]` along one axis and the value i."""
    for frame, along in enumerate(keys):
        raw, value = torch.zeros(1, 2, 1, 1, 6), torch.full((1, 2, 1, 1, 6), float(frame))
        raw[..., 2] = along
        push(kept, frame, raw, value)


def choose(kept: PackedRing, tail: Tail, queries: tuple[float, float]) -> list[list[float]]:
    """Values laid out for queries of this length along the same axis, a list for each sample."""
    kept.lay_out(0.0, [])
    query = torch.zeros(2, 4, 1, 6)
    query[..., 2] = torch.tensor(queries)[:, None, None] / 4  # four queries, summed
    kept.read(look(0, query))
    return tail.values[0, :, : kept.tokens, 0, 0].tolist()


@pytest.mark.parametrize(
    "keys, mid, top, chosen",
    [
        ([5, 1, 5, 3], 4, 2, [0, 2]),  # the two largest, in time order
        ([1, 2, 3, 4], 4, 2, [2, 3]),
        ([4, 3, 2, 1], 4, 2, [0, 1]),
        ([1, 1, 1, 1], 4, 2, [0, 1]),  # ties go to the earlier block
        ([1, 3, 2, 3, 3], 5, 2, [1, 3]),
        ([9, 9, 1, 5, 2, 4], 4, 2, [3, 5]),  # the first two have left the ring
        ([9, 9, 2, 2, 2, 2], 4, 3, [2, 3, 4]),  # ties by time, not by place in the ring
        ([-3, -1, -2], 4, 1, [1]),
        ([7, 8], 4, 3, [0, 1]),  # fewer than asked for: all
        ([3, 1, 2], 4, 0, [0, 1, 2]),  # 0: all
        ([3, 1, 2], 2, 9, [1, 2]),
    ],
)
def test_choice_by_hand(keys: list[float], mid: int, top: int, chosen: list[int]) -> None:
    kept, tail = ring(DOT, mid, top)
    fill(kept, keys)
    assert choose(kept, tail, (1.0, 2.5)) == [chosen, chosen]


def test_samples_of_a_batch_choose_for_themselves() -> None:
    kept, tail = ring(DOT, 4, 2)
    fill(kept, [1, 2, 3, 4])
    assert choose(kept, tail, (1.0, -1.0)) == [[2, 3], [0, 1]]


def test_only_the_first_pass_chooses() -> None:
    kept, tail = ring(DOT, 4, 2)
    fill(kept, [1, 2, 3, 4])
    assert choose(kept, tail, (1.0, 1.0)) == [[2, 3], [2, 3]]
    kept.read(look(0, -torch.ones(2, 4, 1, 6), first=False))
    assert tail.values[0, :, :, 0, 0].tolist() == [[2, 3], [2, 3]]


def test_affinity_is_the_whole_score_matrix() -> None:
    """The summed query times the mean key orders blocks as the sum over all pairs does."""
    generator = torch.Generator().manual_seed(0)
    (kept, tail), packer = ring(ODD, 8, 3), PooledPacker()
    blocks = torch.randn(
        8, 2, 2, 1, 45, 3, 14, generator=generator
    )  # [block, k or v, N, B, L, H, D]
    for index, (raw, value) in enumerate(blocks):
        push(kept, 3 * index, raw, value)
    query = torch.randn(1, 30, 3, 14, generator=generator)
    kept.lay_out(0.0, [])
    for layer in range(2):
        packed = torch.stack([packer.pack(raw, 3, 3, 5)[layer, 0] for raw, _ in blocks])
        scores = torch.einsum("lhd,mphd->m", query[0].double(), packed.double())
        best = scores.topk(3).indices.sort().values
        kept.read(look(layer, query))
        expected = [packer.pack(blocks[index][1], 3, 3, 5)[layer] for index in best]
        assert torch.equal(tail.values[layer, :, : kept.tokens], torch.cat(expected, dim=1))


def test_keys_stand_at_the_middle_of_their_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    (kept, tail), packer = ring(ODD, 2, 0), PooledPacker()
    raws = torch.randn(5, 2, 1, 45, 3, 14, generator=generator)
    for index, raw in enumerate(raws):
        push(kept, 3 * index, raw, raw)
    kept.lay_out(0.0, [])
    block = 2 * 2 * 3  # of 3 x 3 x 5 tokens in cells of 2 x 2 x 2
    assert kept.tokens == 2 * block and kept.frames == 6 and kept.own == 9
    rope = Rope(14, [0.5, 2], [0.5, 2.5, 4])
    for layer in range(2):
        kept.read(look(layer, raws[0, layer]))
        for place, index in enumerate((3, 4)):
            packed = packer.pack(raws[index], 3, 3, 5)[layer]
            expected = rotate(packed, rope.table([3 * index + 0.5, 3 * index + 2]))
            here = slice(place * block, (place + 1) * block)
            torch.testing.assert_close(tail.keys[layer, :, here], expected, atol=1e-6, rtol=0)


def test_a_ring_of_blocks_in_constant_bytes() -> None:
    kept, _ = ring(DOT, 3, 2)
    size = kept.nbytes
    assert kept.own is None and kept.frames == kept.tokens == 0
    for frame in range(10):
        fill_one = torch.full((1, 2, 1, 1, 6), float(frame))
        push(kept, frame, fill_one, fill_one)
        kept.lay_out(0.0, [])
        assert kept.frames == min(frame + 1, 3)
        assert kept.own == max(0, frame - 2)
        assert kept.tokens == min(frame + 1, 2)
        assert kept.nbytes == size
    # Keys and values of 3 blocks and their means, one token of 6 float32, two samples.
    assert size == 3 * (3 * 2 * 6 * 4)


def test_a_flush_forgets_all_blocks() -> None:
    kept, tail = ring(DOT, 3, 2)
    fill(kept, [1, 2, 3])
    kept.flush()
    assert kept.frames == 0 and kept.own is None
    assert choose(kept, tail, (1.0, 1.0)) == [[], []]
    fill(kept, [4, 5])
    assert choose(kept, tail, (1.0, 1.0)) == [[0, 1], [0, 1]]


def test_nothing_is_kept_of_nothing() -> None:
    kept, tail = ring(DOT, 0, 4)
    fill(kept, [1, 2, 3])
    assert kept.frames == 0 and kept.own is None and tail.keys.shape[2] == 0
    assert choose(kept, tail, (1.0, 1.0)) == [[], []]


def test_offered_tokens_wait_only_for_a_learned_packer() -> None:
    """One that pools takes the frames themselves."""
    kept, tail = ring(DOT, 2, 0)
    other = torch.full((1, 2, 1, 1, 6), 77.0)
    kept.offer(range(0, 1), Grid([0.0], [0.0], [0.0]), other, other)
    fill(kept, [1, 2])
    assert choose(kept, tail, (1.0, 1.0)) == [[0, 1], [0, 1]]


@pytest.mark.parametrize("mid, top", [(-1, 0), (3, -2)])
def test_blocks_are_counted_from_nothing(mid: int, top: int) -> None:
    with pytest.raises(ConfigError) as caught:
        Packed(blocks=mid, top=top, packer=PooledPacker())
    assert str(caught.value) == (
        f"Packed blocks are counted from 0 up, got mid {mid} and top {top}."
    )


@pytest.mark.parametrize("mid, top, attended", [(5, 0, 5), (5, 2, 2), (2, 5, 2), (0, 3, 0)])
def test_no_more_is_attended_to_than_there_is(mid: int, top: int, attended: int) -> None:
    assert Packed(blocks=mid, top=top, packer=PooledPacker()).attended == attended


def test_offers_are_taken_when_their_block_leaves_and_none_is_kept_for_ever() -> None:
    """Those of the sink, and of blocks that a ring of none forgets, go with the next to leave."""
    packer = LearnedPacker(PackerConfig(width=2, cells=Cells(time=1, rows=1, columns=1)), 4, 6)
    for blocks in (0, 2):
        part = Packed(blocks=blocks, top=0, packer=packer)
        size = (1, 2, part.room(DOT, Bounds(1, 0)), 1, 6)
        kept = part.open(DOT, Bounds(1, 0), Tail(torch.zeros(size), torch.zeros(size), None))
        one = torch.ones(1, 2, 1, 1, 6)
        for frame in range(20):
            kept.offer(range(frame, frame + 1), packer.grid(1, 1, 1), frame * one, -frame * one)
            if frame >= 5:
                push(kept, frame - 2, one, one)
            assert len(kept._offered) <= 5
    assert sorted(kept._values[0, 0, :, 0, 0, 0].tolist()) == [-17.0, -16.0]
    with pytest.raises(CacheError, match="from frame 30 on leaves without the tokens"):
        push(kept, 30, one, one)

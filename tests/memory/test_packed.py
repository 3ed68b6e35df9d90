"""Packed blocks: what is kept, what is chosen, and where it stands."""

import pytest
import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import PooledPacker
from worldrt.memory.mid import Bounds, Look, Tail
from worldrt.memory.packed import Packed, PackedRing
from worldrt.memory.slots import CacheShape, Span

DOT = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1, batch=2)
"""One token a block, so that an affinity can be computed by hand."""

ODD = CacheShape(layers=2, heads=3, head_dim=14, rows=3, columns=5, block_frames=3)
ANY = Bounds(3, 0)


def ring(shape: CacheShape, mid: int, top: int) -> PackedRing:
    part = Packed(blocks=mid, top=top, packer=PooledPacker())
    size = (shape.layers, shape.batch, part.room(shape, ANY), shape.heads, shape.head_dim)
    tail = Tail(torch.full(size, torch.nan), torch.full(size, torch.nan), None)
    return part.open(shape, ANY, tail)


def push(kept: PackedRing, frame: int, keys: Tensor, values: Tensor) -> None:
    kept.admit([Span(frame, 0, float(frame))], keys, values)


def fill(kept: PackedRing, keys: list[float]) -> None:
    """Push blocks whose one token has a raw key of `keys[i]` along one axis and the value i."""
    for frame, along in enumerate(keys):
        raw, value = torch.zeros(1, 2, 1, 1, 6), torch.full((1, 2, 1, 1, 6), float(frame))
        raw[..., 2] = along
        push(kept, frame, raw, value)


def look(layer: int, query: Tensor, first: bool = True) -> Look:
    return Look(layer, first, False, query, query, query, query, query)


def choose(kept: PackedRing, queries: tuple[float, float]) -> list[list[float]]:
    """Values laid out for queries of this length along the same axis, a list for each sample."""
    kept.lay_out(0.0, [])
    query = torch.zeros(2, 4, 1, 6)
    query[..., 2] = torch.tensor(queries)[:, None, None] / 4  # four queries, summed
    kept.read(look(0, query))
    return kept._tail.values[0, :, : kept.tokens, 0, 0].tolist()


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
    kept = ring(DOT, mid, top)
    fill(kept, keys)
    assert choose(kept, (1.0, 2.5)) == [chosen, chosen]


def test_samples_of_a_batch_choose_for_themselves() -> None:
    kept = ring(DOT, 4, 2)
    fill(kept, [1, 2, 3, 4])
    assert choose(kept, (1.0, -1.0)) == [[2, 3], [0, 1]]


def test_only_the_first_pass_chooses() -> None:
    kept = ring(DOT, 4, 1)
    fill(kept, [1, 2, 3, 4])
    before = choose(kept, (1.0, 1.0))
    query = torch.zeros(2, 4, 1, 6)
    query[..., 2] = -1
    kept.read(look(0, query, first=False))
    assert kept._tail.values[0, :, :1, 0, 0].tolist() == before == [[3], [3]]


def test_affinity_is_the_whole_score_matrix() -> None:
    """The summed query times the mean key orders blocks as the sum over all pairs does."""
    generator = torch.Generator().manual_seed(0)
    kept, packer = ring(ODD, 8, 3), PooledPacker()
    blocks = torch.randn(8, 2, 2, 1, 45, 3, 14, generator=generator)  # [block, k or v, N, B, ...]
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
        assert torch.equal(kept._tail.values[layer, :, : kept.tokens], torch.cat(expected, dim=1))


def test_keys_stand_at_the_middle_of_their_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    kept, packer = ring(ODD, 2, 0), PooledPacker()
    raws = torch.randn(5, 2, 1, 45, 3, 14, generator=generator)
    for index, raw in enumerate(raws):
        push(kept, 3 * index, raw, raw)
    kept.lay_out(0.0, [])
    cells = 2 * 2 * 3
    assert kept.tokens == 2 * cells and kept.own == 9.0
    rope = Rope(14, [0.5, 2], [0.5, 2.5, 4])
    for layer in range(2):
        kept.read(look(layer, raws[0, :1, 0]))
        for place, index in enumerate((3, 4)):
            packed = packer.pack(raws[index], 3, 3, 5)[layer]
            expected = rotate(packed, rope.table([3 * index + 0.5, 3 * index + 2]))
            here = slice(place * cells, (place + 1) * cells)
            got = kept._tail.keys[layer, :, here]
            torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_a_ring_of_blocks_in_constant_bytes() -> None:
    kept = ring(DOT, 3, 2)
    size = kept.nbytes
    assert kept.own is None and kept.frames == 0
    for frame in range(10):
        one = torch.full((1, 2, 1, 1, 6), float(frame))
        push(kept, frame, one, one)
        kept.lay_out(0.0, [])
        assert kept.frames == min(frame + 1, 3) and kept.own == max(0, frame - 2)
        assert kept.tokens == min(frame + 1, 2) and kept.nbytes == size
    # Keys and values of 3 blocks and their means, one token of 6 float32, two samples.
    assert size == 3 * (3 * 2 * 6 * 4)
    kept.flush()
    kept.lay_out(0.0, [])
    assert (kept.tokens, kept.frames, kept.own) == (0, 0, None)


def test_nothing_is_kept_of_nothing() -> None:
    kept = ring(DOT, 0, 4)
    fill(kept, [1, 2, 3])
    assert kept.frames == 0 and kept.own is None
    assert choose(kept, (1.0, 1.0)) == [[], []]


@pytest.mark.parametrize("mid, top", [(-1, 0), (4, -2)])
def test_counts_below_zero_are_refused(mid: int, top: int) -> None:
    with pytest.raises(ConfigError, match=f"got mid {mid} and top {top}"):
        Packed(blocks=mid, top=top, packer=PooledPacker())

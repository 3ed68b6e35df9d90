"""The mid partition: what is kept, what is chosen, and where it stands."""

import pytest
import torch
from torch import Tensor

from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import PooledPacker
from worldrt.memory.mid import MidBank
from worldrt.memory.policy import Partition
from worldrt.memory.slots import CacheShape

DOT = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1, batch=2)
"""One token a block, so that an affinity can be computed by hand."""

ODD = CacheShape(layers=2, heads=3, head_dim=14, rows=3, columns=5, block_frames=3)


def bank(shape: CacheShape, mid: int, top: int, packer: PooledPacker | None = None) -> MidBank:
    partition = Partition(sink=0, recent=0, mid=mid, top=top)
    return MidBank(packer or PooledPacker(), partition, shape, torch.float32, None)


def view(kept: MidBank, shape: CacheShape) -> tuple[Tensor, Tensor]:
    """Room behind the frame slots, filled with what must not be read."""
    size = (shape.batch, kept.view_tokens, shape.heads, shape.head_dim)
    return torch.full(size, torch.nan), torch.full(size, torch.nan)


def fill(kept: MidBank, keys: list[float]) -> None:
    """Push blocks whose one token has a raw key of `keys[i]` along one axis and the value i."""
    for frame, along in enumerate(keys):
        raw, value = torch.zeros(1, 2, 1, 1, 6), torch.full((1, 2, 1, 1, 6), float(frame))
        raw[..., 2] = along
        kept.push(frame, raw, value)


def choose(kept: MidBank, queries: tuple[float, float]) -> list[list[float]]:
    """Values laid out for queries of this length along the same axis, a list for each sample."""
    tokens = kept.lay_out()
    query = torch.zeros(2, 4, 1, 6)
    query[..., 2] = torch.tensor(queries)[:, None, None] / 4  # four queries, summed
    keys, values = view(kept, DOT)
    kept.select(0, query, keys, values)
    return values[:, :tokens, 0, 0].tolist()


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
    kept = bank(DOT, mid, top)
    fill(kept, keys)
    assert choose(kept, (1.0, 2.5)) == [chosen, chosen]


def test_samples_of_a_batch_choose_for_themselves() -> None:
    kept = bank(DOT, 4, 2)
    fill(kept, [1, 2, 3, 4])
    assert choose(kept, (1.0, -1.0)) == [[2, 3], [0, 1]]


def test_affinity_is_the_whole_score_matrix() -> None:
    """The summed query times the mean key orders blocks as the sum over all pairs does."""
    generator = torch.Generator().manual_seed(0)
    kept, packer = bank(ODD, 8, 3), PooledPacker()
    blocks = torch.randn(
        8, 2, 2, 1, 45, 3, 14, generator=generator
    )  # [block, k or v, N, B, L, H, D]
    for index, (raw, value) in enumerate(blocks):
        kept.push(3 * index, raw, value)
    query = torch.randn(1, 30, 3, 14, generator=generator)
    for layer in range(2):
        packed = torch.stack([packer.pack(raw, 3, 3, 5)[layer, 0] for raw, _ in blocks])
        scores = torch.einsum("lhd,mphd->m", query[0].double(), packed.double())
        best = scores.topk(3).indices.sort().values
        tokens = kept.lay_out()
        keys, values = view(kept, ODD)
        kept.select(layer, query, keys, values)
        expected = [packer.pack(blocks[index][1], 3, 3, 5)[layer] for index in best]
        assert torch.equal(values[:, :tokens], torch.cat(expected, dim=1))


def test_keys_stand_at_the_middle_of_their_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    kept, packer = bank(ODD, 2, 0), PooledPacker()
    raws = torch.randn(5, 2, 1, 45, 3, 14, generator=generator)
    for index, raw in enumerate(raws):
        kept.push(3 * index, raw, raw)
    tokens = kept.lay_out()
    assert tokens == 2 * kept.tokens == 2 * 2 * 2 * 3
    rope = Rope(14, [0.5, 2], [0.5, 2.5, 4])
    for layer in range(2):
        keys, values = view(kept, ODD)
        kept.select(layer, raws[0, :1, 0], keys, values)
        for place, index in enumerate((3, 4)):
            packed = packer.pack(raws[index], 3, 3, 5)[layer]
            expected = rotate(packed, rope.table([3 * index + 0.5, 3 * index + 2]))
            here = slice(place * kept.tokens, (place + 1) * kept.tokens)
            torch.testing.assert_close(keys[:, here], expected, atol=1e-6, rtol=0)


def test_a_ring_of_blocks_in_constant_bytes() -> None:
    kept = bank(DOT, 3, 2)
    size = kept.nbytes
    assert kept.oldest is None and kept.blocks == 0 and kept.lay_out() == 0
    for frame in range(10):
        fill_one = torch.full((1, 2, 1, 1, 6), float(frame))
        kept.push(frame, fill_one, fill_one)
        assert kept.blocks == min(frame + 1, 3)
        assert kept.oldest == max(0, frame - 2)
        assert kept.lay_out() == min(frame + 1, 2)
        assert kept.nbytes == size
    # Keys and values of 3 blocks and their means, one token of 6 float32, two samples.
    assert size == 3 * (3 * 2 * 6 * 4)


def test_nothing_is_kept_of_nothing() -> None:
    kept = bank(DOT, 0, 4)
    fill(kept, [1, 2, 3])
    assert kept.blocks == 0 and kept.oldest is None and kept.view_tokens == 0
    assert choose(kept, (1.0, 1.0)) == [[], []]

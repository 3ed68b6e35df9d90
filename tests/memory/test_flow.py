"""A budget of tokens that each head fills by itself, against lists."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, passes, play, turned
from tests.slow_cache import Past, Piece, SlowCache, close, logits, soak, softmax
from worldrt.errors import ConfigError
from worldrt.memory.cache import KVCache
from worldrt.memory.flow import Flow, FlowTokens, redundancy
from worldrt.memory.mass import thinned
from worldrt.memory.mid import Bounds
from worldrt.memory.policy import Partition, Policy, find
from worldrt.memory.slots import CacheShape, Region

STEADY = [3] * 20
MIXED = np.random.default_rng(0).integers(1, 4, 24).tolist()


def policy(part: Flow) -> Policy:
    return Policy(name="flow", partition=Partition(sink=0, recent=0), mid=part)


class SlowFlow(SlowCache):
    """Each head's kept tokens as a list of (frame, token)."""

    def __init__(self, part: Flow, shape: CacheShape) -> None:
        super().__init__(shape, 0, 0)
        self.part = part
        self.room = (part.blocks - 1) * shape.block_frames * shape.tokens
        nothing: list[tuple[int, int]] = []
        self.held = {key: [nothing] * shape.heads for key in self.keys}
        self.next = dict(self.held)

    def leave(self, frames: list[int]) -> None:
        self.held = dict(self.next)

    def judge(self, layer: int, batch: int, block: Past) -> None:
        tokens, length = self.shape.tokens, len(block.key)
        new = [(self.done + index // tokens, index % tokens) for index in range(length)]
        count = {"block": length, "frame": tokens, "tokens": self.part.last}[self.part.queries]
        count = min(count, length)
        asking = [length - count + index for index in thinned(count, self.part.sample)]
        heads = []
        for head in range(self.shape.heads):
            every = [*self.held[layer, batch][head], *new]
            if len(every) > self.room:
                scores = self.scores(layer, batch, head, every, block, asking)
                best = sorted(range(len(every)), key=lambda index: (-scores[index], index))
                every = [every[index] for index in sorted(best[: self.room])]
            heads.append(every)
        self.next[layer, batch] = heads

    def scores(
        self,
        layer: int,
        batch: int,
        head: int,
        every: list[tuple[int, int]],
        block: Past,
        asking: list[int],
    ) -> Array:
        one = slice(head, head + 1)
        keys = []
        for frame, token in every:
            new = frame - self.done
            past = block.key if new >= 0 else self.past[frame][layer][batch].key
            keys.append(past[max(new, 0) * self.shape.tokens + token, one])
        key = np.stack(keys)
        where = np.stack([self.grid(frame)[token] for frame, token in every])
        piece = Piece(key, key, where, np.zeros((1, len(key))))
        columns = softmax(logits(block.query[asking, one], self.block[asking], piece))[0].mean(0)
        reach = [columns[max(0, i - 3) : i + 4].max() for i in range(len(columns))]
        flat = turned(key, where)[:, 0]
        flat /= np.sqrt((np.abs(flat) ** 2).sum(-1, keepdims=True))
        cosines = (flat @ flat.conj().T).real
        np.fill_diagonal(cosines, 0)
        weight = self.part.importance
        return weight * np.array(reach) - (1 - weight) * softmax(cosines.mean(-1))

    def middle(self, layer: int, batch: int) -> list[Piece]:
        pieces = []
        for frame in range(self.done):
            piece = self.frame(layer, batch, frame)
            piece.bias[:] = -np.inf
            for head, kept in enumerate(self.held[layer, batch]):
                piece.bias[head, [token for at, token in kept if at == frame]] = 0
            pieces.append(piece)
        return pieces


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize(
    "part",
    [
        Flow(blocks=3, sample=0),
        Flow(blocks=2, sample=0, importance=0.9),
        Flow(blocks=3, sample=7, importance=0.5),
        Flow(blocks=3, queries="frame", sample=5, importance=1.0),
        Flow(blocks=4, queries="tokens", last=5, sample=0, importance=1.0),
        Flow(blocks=3, queries="tokens", last=500, sample=0, importance=0.0),
    ],
)
def test_budget_equals_list(part: Flow, sizes: list[int]) -> None:
    cache = KVCache(policy(part), ODD)
    close(play(cache, sizes), play(SlowFlow(part, ODD), sizes))
    room = part.room(ODD, Bounds(most=3, sink=0))
    assert cache.occupancy()[Region.MID].tokens == room
    assert cache.evicted > room // ODD.tokens


ONE = CacheShape(layers=1, heads=2, head_dim=6, rows=1, columns=9, block_frames=1)
"""Nine tokens a block; a head has one temporal pair, one row pair and one column pair."""


def test_the_rule_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked for. Head 0 says one thing; head 1 says another in token 4 of each block."""
    cache = KVCache(policy(Flow(blocks=2, importance=0.5, sample=0)), ONE)
    key = torch.zeros(1, 9, 2, 6)
    key[..., 2] = 1.0  # the row pair, which stands still in a single row
    key[0, :, 1, 2] = 1.0
    key[0, 4, 1, 2:4] = torch.tensor([0.0, 1.0])
    query = torch.zeros(1, 9, 2, 6)
    for frame in range(2):
        cache.open_block(1)
        cache.begin_pass(first=True, clean=True)
        value = torch.full((1, 9, 2, 6), 10.0 * frame) + torch.arange(9.0)[None, :, None, None]
        cache.attend(0, query, key, value)
        cache.commit()
    seen = seen_values(cache, ONE, monkeypatch)
    # Head 0: all alike, so that ties go to the earlier: the first block stays.
    assert seen[0] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    # Head 1: tokens 4 and 14 differ from all the others; the rest are the earliest.
    assert seen[1] == [0, 1, 2, 3, 4, 5, 6, 7, 14]


def test_a_token_counts_as_its_best_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With importance alone, the seven around the one that is asked for stay."""
    cache = KVCache(policy(Flow(blocks=2, importance=1.0, sample=0)), ONE)
    for frame in range(2):
        cache.open_block(1)
        cache.begin_pass(first=True, clean=True)
        key, query = torch.zeros(1, 9, 2, 6), torch.zeros(1, 9, 2, 6)
        key[0, 6 if frame else 3, :, 2] = 3.0  # tokens 3 of the first block, 6 of the second
        query[..., 2] = 3.0
        value = torch.full((1, 9, 2, 6), 10.0 * frame) + torch.arange(9.0)[None, :, None, None]
        cache.attend(0, query, key, value)
        cache.commit()
    # Around 3: 0 to 6; around 16: 13 to 18, six; both asked alike, so the earlier nine.
    assert seen_values(cache, ONE, monkeypatch) == [[0, 1, 2, 3, 4, 5, 6, 13, 14]] * 2


def seen_values(cache: KVCache, shape: CacheShape, patch: pytest.MonkeyPatch) -> list[list[float]]:
    """First channels of the past values that the next block attends to, by head."""
    seen: list[list[float]] = []

    def spy(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        del key, bias
        past = value[0, shape.block_frames * shape.tokens :]
        seen.extend(past[:, head, 0].tolist() for head in range(shape.heads))
        return query

    patch.setattr("worldrt.memory.dense.attend", spy)
    cache.open_block(1)
    cache.begin_pass(first=True)
    cache.attend(0, *torch.zeros(3, 1, shape.tokens, shape.heads, shape.head_dim))
    return seen


def test_redundancy_is_the_softmax_of_mean_cosines() -> None:
    keys = torch.randn(2, 7, 3, 10, generator=torch.Generator().manual_seed(0)).double()
    unit = keys / keys.norm(dim=-1, keepdim=True)
    cosines = torch.einsum("bshd,bthd->bhst", unit, unit)
    cosines -= torch.eye(7)
    expected = cosines.mean(-1).softmax(-1)
    torch.testing.assert_close(
        redundancy([keys[:, :3].float(), keys[:, 3:].float()]).double(), expected
    )


def test_a_budget_longer_than_history_is_the_unbounded_cache() -> None:
    sizes = MIXED[:12]
    cache = KVCache(policy(Flow(blocks=13)), ODD)
    close(play(cache, sizes), play(KVCache(find("full", 3), ODD), sizes), 2e-6)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    both = play(KVCache(policy(Flow(blocks=3)), ODD), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy(Flow(blocks=3)), lone), MIXED, rows=rows))


def test_same_inputs_give_the_same_bits() -> None:
    one, two = (play(KVCache(find("flow:blocks=3", 3), ODD), MIXED) for _ in range(2))
    assert torch.equal(one, two)


def test_codes_and_half_precision() -> None:
    """Frames are coded, the budget is not; what a rounding changes most is who stays."""
    exact = play(KVCache(find("flow:blocks=3", 3), ODD), STEADY)
    coded = play(KVCache(find("flow:blocks=3,codec=int8", 3), ODD), STEADY)
    assert (coded - exact).abs().mean() < 0.05
    half = KVCache(find("flow:blocks=3", 3), ODD, torch.bfloat16)
    out = play(half, STEADY, dtype=torch.bfloat16)
    assert out.dtype == torch.bfloat16 and (out.double() - exact).abs().mean() < 0.05


def test_bytes_stay() -> None:
    cache = KVCache(find("flow", 3), DOT)
    size = cache.nbytes
    soak(cache, DOT, 2_000)
    assert cache.nbytes == size and cache.frames == 6_000


def test_it_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Tensor) -> float:
        raise AssertionError("a tensor was read on the host")

    cache = KVCache(policy(Flow(blocks=3)), ODD)
    blocks = list(passes(STEADY[:8], ODD))
    for name in ("item", "tolist", "cpu", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(Tensor, name, refuse)
    for layers in blocks:
        cache.open_block(3)
        cache.begin_pass(first=True, clean=True)
        for layer, tensors in enumerate(layers[0]):
            cache.attend(layer, *tensors)
        cache.commit()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            {"blocks": 1},
            "A budget holds a past block and the current one at least, got 1 blocks; give it 2 or "
            "more.",
        ),
        (
            {"blocks": 3, "importance": 1.5},
            "Importance weighs from 0 to 1 and 1 token or more judges, got 1.5 and 50.",
        ),
        (
            {"blocks": 3, "last": 0},
            "Importance weighs from 0 to 1 and 1 token or more judges, got 0.07 and 0.",
        ),
        ({"blocks": 3, "sample": -1}, "Queries are looked at from 1 up, or 0 for all, got -1."),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Flow(**options)
    assert str(caught.value) == sentence


# Unequal budgets.

TALL = CacheShape(layers=3, heads=2, head_dim=14, rows=3, columns=3, block_frames=3, batch=2)


def outputs(spec: str, blocks: int = 14) -> list[Tensor]:
    """What each layer returns, [B, L, H, D], by block, pass and layer."""
    cache, found = KVCache(find(spec, 3), TALL), list[Tensor]()
    for frames, block in zip([3] * blocks, passes([3] * blocks, TALL), strict=True):
        cache.open_block(frames)
        for index, layers in enumerate(block):
            cache.begin_pass(first=index == 0, clean=index == 1)
            found += [cache.attend(layer, *each) for layer, each in enumerate(layers)]
        cache.commit()
    return found


def test_the_layer_that_has_the_mean_is_what_it_is_without_a_slope() -> None:
    even, uneven = outputs("flow:blocks=3"), outputs("flow:blocks=3,slope=0.5")
    for index, (one, two) in enumerate(zip(even, uneven, strict=True)):
        if index % 3 == 1:
            torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    late = slice(-6, None)
    assert any(not torch.allclose(a, b) for a, b in zip(even[late], uneven[late], strict=True))


def test_a_sloped_layer_is_a_flow_of_its_own_budget() -> None:
    """Layer 2 of a slope of 0.5 over 2 blocks' worth keeps 3 blocks' worth, as blocks=4 does."""
    sloped, wide = outputs("flow:blocks=3,slope=0.5"), outputs("flow:blocks=4")
    for index, (one, two) in enumerate(zip(sloped, wide, strict=True)):
        if index % 3 == 2:
            torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


def test_heads_that_share_a_budget_keep_its_total() -> None:
    cache = KVCache(find("flow:blocks=3,spread=1", 3), TALL)
    play(cache, [3] * 14, TALL)
    mid = cache._mid
    assert isinstance(mid, FlowTokens) and mid._tail.bias is not None
    seen = (~mid._tail.bias.isinf()).sum(-1)  # [N, B, H]
    assert (seen.sum(-1) == 2 * 2 * 27).all()
    assert seen.max() <= 2 * 2 * 27 and (seen[..., 0] != seen[..., 1]).any()


@pytest.mark.parametrize("options", ["spread=3,slope=0.37", "spread=0.5,slope=-0.9", "spread=2"])
def test_uneven_budgets_fit_their_room(options: str) -> None:
    cache = KVCache(find(f"flow:blocks=2,{options}", 3), TALL)
    assert torch.isfinite(play(cache, [3] * 10, TALL)).all()

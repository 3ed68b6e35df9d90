"""Running means: by hand, against their closed form, and one token against its copies."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, play, turned
from tests.list_middle import ListMiddle, Piece, walk_blind
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.average import Averages, LoneAverages
from worldrt.memory.cache import KVCache
from worldrt.memory.mid import Bounds, Mid, Tail
from worldrt.memory.policy import Policy, SwitchMode, find
from worldrt.memory.slots import CacheShape, Region, Span

MIXED = np.random.default_rng(0).integers(1, 4, 30).tolist()
STEADY = [3] * 20
DULL = CacheShape(layers=2, heads=2, head_dim=14, rows=1, columns=1, block_frames=3, batch=2)
"""Frames of one token."""


class ListMeans(ListMiddle):
    """Means written out: each event's share is what it took, less what later ones took."""

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        super().__init__(policy, shape)
        self._events: list[list[int]] = []

    def leave(self, frames: list[int]) -> None:
        self._events.append(frames)
        self.width = 2

    def middle(self, layer: int, batch: int) -> Piece:
        if not self._events:
            return self.nothing()
        part = self.policy.mid
        assert isinstance(part, Averages)
        pieces = []
        for index, rate in enumerate((part.long, part.short)):
            key, value = self._mean(layer, batch, rate, quick=index == 1)
            places = self.cells(float(len(self.sink) + index))
            keys = turned(np.broadcast_to(key, (self.shape.tokens, *key.shape[1:])), places)
            values = np.broadcast_to(value, (self.shape.tokens, *value.shape[1:]))
            biases = np.zeros(len(keys))
            if isinstance(part, LoneAverages):
                keys, values = keys.mean(0, keepdims=True), values[:1]
                biases = np.full(1, math.log(self.shape.tokens))
            pieces.append((keys, values, biases))
        keys, values, biases = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return keys, values, biases

    def _mean(self, layer: int, batch: int, rate: float, quick: bool) -> tuple[Array, Array]:
        """Key and value [F or 1, H, D] of one memory frame."""
        assert isinstance(self.policy.mid, Averages)
        grid = self.policy.mid.grid
        events = [self._event(frames, layer, batch, grid) for frames in self._events]
        shares = [np.full((events[0][0].shape[0], 1, 1), rate)] * len(events)
        if grid and quick:
            kept = events[0][0]
            for index, (key, _) in enumerate(events):
                motion = np.sqrt(((key - kept) ** 2).sum(-1)).mean(-1)
                share = rate * (0.1 + 4.9 * motion / max(motion.max(), 1e-8))
                shares[index] = np.minimum(share, 1)[:, None, None]
                kept = kept + shares[index] * (key - kept)
        shares[0] = np.ones_like(shares[0])  # the first begins the mean
        weights = [
            share * np.prod([1 - later for later in shares[index + 1 :]], axis=0)
            for index, share in enumerate(shares)
        ]
        return tuple(  # type: ignore[return-value]  # two
            sum(weight * event[which] for weight, event in zip(weights, events, strict=True))
            for which in (0, 1)
        )

    def _event(self, frames: list[int], layer: int, batch: int, grid: bool) -> tuple[Array, Array]:
        found = []
        for which in (0, 1):
            stack = np.stack([self.frames[frame][layer][which][batch] for frame in frames])
            found.append(stack.mean(0) if grid else stack.mean((0, 1))[None])
        return found[0], found[1]


def close(got: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got.double(), expected.double(), atol=atol, rtol=0)


def opened(part: Averages, shape: CacheShape) -> tuple[Mid, Tail]:
    room = part.room(shape, Bounds(3, 1))
    size = (shape.layers, shape.batch, room, shape.heads, shape.head_dim)
    bias = None if part.weights == "none" else torch.zeros(*size[:2], 1, room)
    tail = Tail(torch.full(size, torch.nan), torch.full(size, torch.nan), bias)
    return part.open(shape, Bounds(3, 1), tail), tail


ODD_SIZE = (ODD.layers, ODD.batch, ODD.tokens, ODD.heads, ODD.head_dim)


def admit(mid: Mid, shape: CacheShape, frames: Sequence[float]) -> None:
    """Frames that leave together; all keys and values of one are the same number."""
    size = (shape.layers, shape.batch, shape.tokens, shape.heads, shape.head_dim)
    both = torch.cat([torch.full(size, number) for number in frames], dim=2)
    spans = [Span(index, index, float(index)) for index in range(len(frames))]
    mid.admit(spans, both, both.clone())


# What the memory is.


def test_means_by_hand() -> None:
    mid, tail = opened(Averages(long=0.25, short=0.5), DOT)
    mid.lay_out(1.0, [])
    assert (mid.tokens, mid.frames, mid.width) == (0, 0, 0)
    admit(mid, DOT, [1, 3])  # begins both with 2
    admit(mid, DOT, [4])
    admit(mid, DOT, [8, 9, 10])
    mid.lay_out(1.0, [])
    slow = 0.75 * (0.75 * 2 + 0.25 * 4) + 0.25 * 9
    quick = 0.5 * (0.5 * 2 + 0.5 * 4) + 0.5 * 9
    assert (mid.tokens, mid.frames, mid.width) == (4, 2, 2)
    assert tail.values[0, 0, :, 0, 0].tolist() == [slow, slow, quick, quick]
    raw = torch.tensor([slow, slow, quick, quick])[:, None, None].repeat(1, 1, 6)
    close(tail.keys[0, 0], rotate(raw, Rope.of_grid(6, 1, 2).table([1, 2])))


def test_cells_that_move_more_are_followed_more() -> None:
    """Of two cells one stays and one moves: rates are a tenth of the quick rate and five times."""
    mid, tail = opened(Averages(long=0.01, short=0.1, grid=True), DOT)
    admit(mid, DOT, [1])
    new = torch.ones(1, 1, 2, 1, 6)
    new[:, :, 1] = 3
    values = torch.full((1, 1, 2, 1, 6), 2.0)
    mid.admit([Span(1, 0, 1.0)], new, values)
    mid.lay_out(0.0, [])
    expected = [1.01, 1.01, 1 + 0.01, 1 + 0.5]
    close(tail.values[0, 0, :, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize("short", [0.5, 1.0])
def test_a_rate_is_at_most_one(short: float) -> None:
    mid, tail = opened(Averages(long=0.01, short=short, grid=True), DOT)
    admit(mid, DOT, [1])
    admit(mid, DOT, [3])
    mid.lay_out(0.0, [])
    assert tail.values[0, 0, 2:, 0, 0].tolist() == [3, 3]


def test_a_slow_mean_in_half_precision_still_moves() -> None:
    """A hundredth of 1 added to 100 is nothing in bfloat16; after 500 of them it is 1."""
    shape = DOT
    size = (1, 1, 4, 1, 6)
    tail = Tail(torch.zeros(size).bfloat16(), torch.zeros(size).bfloat16(), None)
    mid = Averages(long=0.01, short=0.1).open(shape, Bounds(3, 1), tail)
    admit(mid, shape, [100])
    for _ in range(500):
        admit(mid, shape, [101])
    mid.lay_out(0.0, [])
    assert tail.values[0, 0, 0, 0, 0] == 101


def test_a_lone_key_has_the_mean_logit_of_its_copies() -> None:
    """For every query; the copies weigh more, by half their logits' variance."""
    one, tail = opened(LoneAverages(long=0.5, short=0.5), ODD)
    two, copies = opened(Averages(long=0.5, short=0.5), ODD)
    draws = 0.3 * torch.randn(2, *ODD_SIZE, generator=torch.Generator().manual_seed(0))
    for mid in (one, two):
        mid.admit([Span(0, 0, 0.0)], draws[0], draws[1])
        mid.lay_out(3.0, [])
    assert one.tokens == 2 and two.tokens == 2 * ODD.tokens
    assert tail.bias is not None and torch.all(tail.bias == torch.tensor(9.0).log())
    query = torch.randn(2, 2, 2, 14, generator=torch.Generator().manual_seed(1))
    lone = torch.einsum("NBHD,NBSHD->NBHS", query, tail.keys)
    many = torch.einsum("NBHD,NBSHD->NBHS", query, copies.keys).unflatten(-1, (2, -1))
    close(lone, many.mean(-1))
    excess = many.logsumexp(-1) - lone - math.log(9)
    assert torch.all(excess >= 0)
    assert torch.all((excess - many.var(-1, correction=0) / 2).abs() <= 0.1 * excess + 1e-6)
    assert torch.equal(tail.values[:, :, 0], copies.values[:, :, 0])


# Through the cache.


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize(
    "spec",
    [
        "memrope:memory=copies",
        "memrope:memory=token",
        "memrope:memory=grid",
        "memrope:memory=grid,long=0.3,short=0.7,sink=0,recent=2",
        "memrope:memory=token,long=0.2,short=0.9,sink=5,recent=0",
    ],
)
def test_equals_list(spec: str, sizes: list[int]) -> None:
    policy = find(spec, 3)
    cache = KVCache(policy, ODD)
    empty = cache.nbytes
    close(play(cache, sizes), play(ListMeans(policy, ODD), sizes))
    assert cache.evicted > 0 and cache.nbytes == empty


def test_a_frame_of_one_token_is_its_own_copy() -> None:
    """Its lone token then stands where the copy does and counts as one."""
    rolls = [
        play(KVCache(find(f"memrope:memory={kind}", 3), DULL), MIXED, DULL)
        for kind in ("copies", "token")
    ]
    close(rolls[0], rolls[1], 1e-6)


def test_equal_keys_need_one_token_only() -> None:
    """Keys without rows and columns: copies of a mean do not differ, and one token is exact."""

    def flat(cache: KVCache) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        out = []
        for _ in range(12):
            cache.open_block(3)
            for clean in (False, True):
                cache.begin_pass(first=not clean, clean=clean)
                for layer in range(ODD.layers):
                    q, k, v = torch.randn(3, 2, 27, 2, 14, generator=generator)
                    k[..., 6:] = 0  # of 7 pairs, 3 are of time
                    out.append(cache.attend(layer, q, k, v))
            cache.commit()
        return torch.cat(out)

    one, two = (KVCache(find(f"memrope:memory={kind}", 3), ODD) for kind in ("token", "copies"))
    close(flat(one), flat(two), 1e-6)


@pytest.mark.parametrize("kind", ["token", "copies", "grid"])
def test_a_window_longer_than_history_is_the_unbounded_cache(kind: str) -> None:
    long = play(KVCache(find(f"memrope:memory={kind},recent=60", 3), ODD), STEADY)
    close(long, play(KVCache(find("full", 3), ODD), STEADY), 2e-6)


@pytest.mark.parametrize("kind", ["token", "copies", "grid"])
def test_a_batch_is_its_sequences_side_by_side(kind: str) -> None:
    policy = find(f"memrope:memory={kind}", 3)
    both = play(KVCache(policy, ODD), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy, lone), MIXED, rows=rows))
    assert torch.equal(both, play(KVCache(policy, ODD), MIXED))


@pytest.mark.parametrize("kind", ["token", "copies", "grid"])
def test_a_flush_forgets_the_means(kind: str) -> None:
    """What follows is as if the rollout had begun with what was kept."""
    policy = find(f"memrope:memory={kind}", 3)
    cache = KVCache(policy, ODD)
    play(cache, STEADY)
    assert cache.occupancy()[Region.MID].frames == 2
    cache.switch(SwitchMode.FLUSH)
    cache.open_block(3)
    assert cache.occupancy()[Region.MID].tokens == 0
    # Sink 3, recent 4 and the block, with no gap where the memory was.
    assert cache.positions()[Region.BLOCK] == [7, 8, 9]


def test_half_precision() -> None:
    policy = find("memrope", 3)
    cache = KVCache(policy, ODD, torch.bfloat16)
    got = play(cache, STEADY, dtype=torch.bfloat16)
    exact = play(ListMeans(policy, ODD), STEADY)
    assert got.dtype == torch.bfloat16 and (got.double() - exact).abs().mean() < 0.01


@pytest.mark.parametrize(
    "spec", ["memrope:memory=token", "memrope:memory=copies", "memrope:memory=grid"]
)
def test_nothing_waits_for_the_device(spec: str) -> None:
    cache = KVCache(find(spec, 3), ODD, device=torch.device("meta"))
    walk_blind(cache, MIXED, ODD)
    assert cache.occupancy()[Region.MID].tokens > 0


@pytest.mark.parametrize("spec", ["memrope", "memrope:memory=grid"])
def test_bytes_of_a_long_rollout(spec: str) -> None:
    cache = KVCache(find(spec, 3), DOT)
    empty = cache.nbytes
    assert torch.isfinite(play(cache, [3] * 2_000, DOT)).all()
    assert cache.nbytes == empty


@pytest.mark.parametrize("long, short", [(0, 0.1), (0.01, 1.5), (-0.1, 0.1), (0.01, float("nan"))])
def test_rates_that_make_no_sense(long: float, short: float) -> None:
    with pytest.raises(ConfigError, match=f"got long {long} and short {short}"):
        Averages(long=long, short=short)

"""Groups of tokens along time: by hand, against lists, and where merging changes nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, play, turned
from tests.list_middle import ListMiddle, Piece, walk_blind
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.cache import KVCache
from worldrt.memory.merge import Groups, Merged
from worldrt.memory.mid import Bounds, Tail
from worldrt.memory.policy import Policy, SwitchMode, find
from worldrt.memory.slots import CacheShape, Region, Span

MIXED = np.random.default_rng(0).integers(1, 4, 30).tolist()
STEADY = [3] * 20


@dataclass
class Group:
    """Tokens that are one: each a (frame, token)."""

    tokens: list[tuple[int, int]]
    key: tuple[int, int]


class ListGroups(ListMiddle):
    """Groups as lists of tokens; means and sizes are taken anew each time."""

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        super().__init__(policy, shape)
        self.groups: dict[tuple[int, int], list[Group]] = {
            (layer, batch): [] for layer in range(shape.layers) for batch in range(shape.batch)
        }
        self._last: int | None = None

    def leave(self, frames: list[int]) -> None:
        for frame in frames:
            for (layer, batch), groups in self.groups.items():
                self._add(frame, layer, batch, groups)
            self._last = frame

    def middle(self, layer: int, batch: int) -> Piece:
        pieces = [self.nothing()]
        for group in self.groups[layer, batch]:
            frame, token = group.key
            key = self.frames[frame][layer][0][batch][[token]]
            values = [self.frames[f][layer][1][batch][t] for f, t in group.tokens]
            here = self.cells(float(frame))[[token]]
            size = np.array([math.log(len(values))])
            pieces.append((turned(key, here), np.mean(values, 0)[None], size))
        keys, values, biases = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return keys, values, biases

    def _add(self, frame: int, layer: int, batch: int, groups: list[Group]) -> None:
        part = self.policy.mid
        assert isinstance(part, Merged)
        joining: dict[int, list[tuple[float, int]]] = {}  # index of a group: (-likeness, token)
        fresh = []
        for token in range(self.shape.tokens):
            likeness, match = self._match(frame, token, layer, batch)
            if likeness < part.same:
                fresh.append(Group([(frame, token)], (frame, token)))
                continue
            found = next(i for i, each in enumerate(groups) if (self._last, match) in each.tokens)
            joining.setdefault(found, []).append((-likeness, token))
        for index, tokens in joining.items():
            groups[index].tokens += [(frame, token) for _, token in tokens]
            groups[index].key = (frame, min(tokens)[1])
        groups += fresh
        groups.sort(key=lambda group: group.key)
        del groups[: max(0, len(groups) - part.frames * self.shape.tokens)]

    def _match(self, frame: int, token: int, layer: int, batch: int) -> tuple[float, int]:
        """Likeness of the nearest token of the frame before, and which it is."""
        if self._last is None:
            return -1.0, 0
        old = self._directions(self._last, layer, batch)
        new = self._directions(frame, layer, batch)[token]
        part = self.policy.mid
        assert isinstance(part, Merged)
        near = old @ new
        if part.bits:
            generator = torch.Generator().manual_seed(0)
            planes = torch.randn(len(new), part.bits, generator=generator).double().numpy()
            near = ((old @ planes >= 0) == (new @ planes >= 0)).sum(-1)
        match = int(near.argmax())
        return float(old[match] @ new), match

    def _directions(self, frame: int, layer: int, batch: int) -> Array:
        keys = self.frames[frame][layer][0][batch].reshape(self.shape.tokens, -1)
        return keys / np.linalg.norm(keys, axis=-1, keepdims=True)


def close(got: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got.double(), expected.double(), atol=atol, rtol=0)


# By hand: one head, two cells; a key points along an axis, a value is a number.

ROPE = Rope.of_grid(6, 1, 2)


class Hand:
    """A partition of two-cell frames that is told letters and numbers, and shows what it holds."""

    def __init__(self, frames: int, same: float = 0.9) -> None:
        part = Merged(frames=frames, same=same)
        room = part.room(DOT, Bounds(1, 0))
        keys = torch.full((1, 1, room, 1, 6), torch.nan)
        self.tail = Tail(keys, keys.clone(), torch.zeros(1, 1, 1, room))
        self.mid: Groups = part.open(DOT, Bounds(1, 0), self.tail)
        self._count = 0

    def admit(self, ways: Sequence[str], numbers: tuple[float, float]) -> list[str]:
        """Returns `key at frame.cell: value x size` of each group, by the time of its key."""
        span = Span(self._count, 0, float(self._count))
        self._count += 1
        values = torch.tensor(numbers, dtype=torch.float)[None, None, :, None, None].repeat(
            1, 1, 1, 1, 6
        )
        self.mid.admit([span], torch.stack([key_of(way) for way in ways])[None, None, :], values)
        self.mid.lay_out(0.0, [])
        return self.shown()

    def shown(self) -> list[str]:
        assert self.tail.bias is not None
        found = []
        for place in range(self.mid.tokens):
            bias = self.tail.bias[0, 0, 0, place]
            if bias > -torch.inf:
                at = self._at(self.tail.keys[0, 0, place])
                value = float(self.tail.values[0, 0, place, 0, 0])
                found.append((at, f"{at}: {value:g} x {bias.exp():g}"))
        return [line for _, line in sorted(found)]

    def _at(self, key: Tensor) -> str:
        """Which axis, frame and cell a rotated key is of."""
        for frame in range(self._count):
            for cell in range(2):
                table = ROPE.table([float(frame)])[[cell]]
                for way in "abcd":
                    if torch.allclose(rotate(key_of(way)[None], table)[0], key, atol=1e-6):
                        return f"{frame}.{cell} {way}"
        raise AssertionError("a key that was never given")


def key_of(way: str) -> Tensor:
    """[1, 6]; every axis has a share in time and column, so that each place shows."""
    key = torch.zeros(1, 6)
    key[0, {"a": 0, "b": 1, "c": 2, "d": 3}[way]] = 2
    key[0, 4], key[0, {"a": 2, "b": 3, "c": 0, "d": 1}[way]] = 0.3, 0.3
    return key


def test_groups_by_hand() -> None:
    hand = Hand(frames=2)
    assert hand.shown() == []
    assert hand.admit("ab", (1, 2)) == ["0.0 a: 1 x 1", "0.1 b: 2 x 1"]
    # What moved is followed: it keeps the newest key, where that stands, and the mean value.
    assert hand.admit("ca", (3, 4)) == ["0.1 b: 2 x 1", "1.0 c: 3 x 1", "1.1 a: 2.5 x 2"]
    # b is like none of the frame before: a new group, though an older one was b.
    assert hand.admit("ba", (5, 7)) == [
        "0.1 b: 2 x 1",
        "1.0 c: 3 x 1",
        "2.0 b: 5 x 1",
        "2.1 a: 4 x 3",
    ]
    # Four places: the group that was longest not continued goes first.
    assert hand.admit("da", (9, 8)) == [
        "1.0 c: 3 x 1",
        "2.0 b: 5 x 1",
        "3.0 d: 9 x 1",
        "3.1 a: 5 x 4",
    ]
    # Two tokens may join one group; of two equally like ones the first gives the key.
    assert hand.admit("aa", (1, 3)) == [
        "1.0 c: 3 x 1",
        "2.0 b: 5 x 1",
        "3.0 d: 9 x 1",
        "4.0 a: 4 x 6",
    ]
    # Both are followed by whoever is like either.
    assert hand.admit("cb", (6, 6)) == [
        "3.0 d: 9 x 1",
        "4.0 a: 4 x 6",
        "5.0 c: 6 x 1",
        "5.1 b: 6 x 1",
    ]


def test_a_single_frame_of_room_keeps_the_newest_frame() -> None:
    hand = Hand(frames=1)
    hand.admit("ab", (1, 2))
    assert hand.admit("ac", (3, 4)) == ["1.0 a: 2 x 2", "1.1 c: 4 x 1"]
    assert hand.admit("bd", (5, 6)) == ["2.0 b: 5 x 1", "2.1 d: 6 x 1"]


def test_a_flush_forgets_groups_and_what_was_before() -> None:
    hand = Hand(frames=2)
    hand.admit("ab", (1, 2))
    hand.mid.flush()
    hand.mid.lay_out(0.0, [])
    assert hand.shown() == [] and hand.mid.tokens == 0
    assert hand.admit("ab", (3, 4)) == ["1.0 a: 3 x 1", "1.1 b: 4 x 1"]


def test_means_in_half_precision_do_not_stand_still() -> None:
    """300 values of 100, then 300 of 102, are 101: in bfloat16 each step would be nothing."""
    size = (1, 1, 3, 1, 6)
    keys = torch.zeros(size).bfloat16()
    mid = Merged(frames=1, same=0.9).open(
        DOT, Bounds(1, 0), tail := Tail(keys, keys.clone(), torch.zeros(1, 1, 1, 3).bfloat16())
    )
    key = torch.stack([key_of("a"), key_of("c")])[None, None]
    for frame in range(600):
        value = torch.full((1, 1, 2, 1, 6), 100.0 if frame < 300 else 102.0)
        mid.admit([Span(frame, 0, float(frame))], key.bfloat16(), value.bfloat16())
    assert tail.values[0, 0, :2, 0, 0].tolist() == [101, 101]


# Through the cache.


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize(
    "spec",
    [
        "temp:recent=3,memory=2,same=0.3",
        "temp:recent=2,memory=3,same=0.2,sink=2",
        "temp:recent=0,memory=1,same=0.4",
        "temp:recent=3,memory=3,same=0.25,bits=12",
        "temp:recent=3,memory=2",
    ],
)
def test_equals_list(spec: str, sizes: list[int]) -> None:
    policy = find(spec, 3)
    cache, oracle = KVCache(policy, ODD), ListGroups(policy, ODD)
    empty = cache.nbytes
    close(play(cache, sizes), play(oracle, sizes))
    assert cache.nbytes == empty
    assert isinstance(policy.mid, Merged)
    merged = [len(group.tokens) > 1 for groups in oracle.groups.values() for group in groups]
    assert len(merged) == 4 * policy.mid.frames * ODD.tokens  # full: the oldest went
    assert (sum(merged) > 4) == (policy.mid.same < 0.5)


def static(cache: KVCache, shape: CacheShape, blocks: Sequence[int]) -> Tensor:
    """A picture that stands still: keys without time, the same in each frame; values change."""
    generator = torch.Generator().manual_seed(0)
    size = (shape.layers, shape.batch, shape.tokens, shape.heads, shape.head_dim)
    still = torch.randn(size, generator=generator)
    still[..., :6] = 0  # of 7 pairs, 3 are of time
    out = []
    for frames in blocks:
        cache.open_block(frames)
        for clean in (False, True):
            cache.begin_pass(first=not clean, clean=clean)
            for layer in range(shape.layers):
                key = still[layer].repeat(1, frames, 1, 1)
                query, value = torch.randn(2, *key.shape, generator=generator)
                out.append(cache.attend(layer, query, key, value))
        cache.commit()
    return torch.cat(out, dim=1)


@pytest.mark.parametrize("spec", ["temp:memory=1,same=0.999", "temp:memory=2,same=0.999,bits=64"])
def test_equal_keys_merge_exactly(spec: str) -> None:
    """One frame's worth of tokens stands for ninety frames, and nothing is lost."""
    one, two = KVCache(find(spec, 3), ODD), KVCache(find("full", 3), ODD)
    close(static(one, ODD, [3] * 30), static(two, ODD, [3] * 30))
    assert one.occupancy()[Region.MID].frames == 90 - 9


def test_what_is_unlike_stays_as_it_is() -> None:
    roomy = play(KVCache(find("temp:memory=60,same=1", 3), ODD), STEADY)
    close(roomy, play(KVCache(find("full", 3), ODD), STEADY), 2e-6)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    policy = find("temp:recent=2,memory=2,same=0.3", 3)
    both = play(KVCache(policy, ODD), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy, lone), MIXED, rows=rows))
    assert torch.equal(both, play(KVCache(policy, ODD), MIXED))


def test_coded_rows() -> None:
    """Frames are merged as they were decoded; groups are not coded again."""
    spec = "temp:memory=2,same=1"
    plain, coded = (KVCache(find(spec + codec, 3), ODD) for codec in ("", ",codec=bf16"))
    torch.testing.assert_close(play(coded, STEADY), play(plain, STEADY), atol=0.02, rtol=0)


def test_a_flush_forgets_the_groups() -> None:
    cache = KVCache(find("temp:recent=2", 3), ODD)
    play(cache, STEADY)
    cache.switch(SwitchMode.FLUSH)
    cache.open_block(3)
    occupancy = cache.occupancy()
    assert occupancy[Region.MID].tokens == 0 and occupancy[Region.RECENT].frames == 2


def test_half_precision() -> None:
    policy = find("temp:memory=2", 3)
    cache = KVCache(policy, ODD, torch.bfloat16)
    got = play(cache, STEADY, dtype=torch.bfloat16)
    exact = play(ListGroups(policy, ODD), STEADY)
    assert got.dtype == torch.bfloat16 and (got.double() - exact).abs().mean() < 0.01


@pytest.mark.parametrize("spec", ["temp:memory=2", "temp:memory=2,bits=8"])
def test_nothing_waits_for_the_device(spec: str) -> None:
    cache = KVCache(find(spec, 3), ODD, device=torch.device("meta"))
    walk_blind(cache, MIXED, ODD)
    assert cache.occupancy()[Region.MID].tokens > 0


@pytest.mark.parametrize("spec", ["temp", "temp:same=0.3,memory=2,bits=8"])
def test_bytes_of_a_long_rollout(spec: str) -> None:
    cache = KVCache(find(spec, 3), DOT)
    empty = cache.nbytes
    assert torch.isfinite(play(cache, [3] * 2_000, DOT)).all()
    assert cache.nbytes == empty


@pytest.mark.parametrize(
    "frames, same, bits", [(0, 0.9, 0), (2, 0.0, 0), (2, 1.5, 0), (2, 0.9, -1)]
)
def test_merging_that_makes_no_sense(frames: int, same: float, bits: int) -> None:
    with pytest.raises(ConfigError, match=f"got {frames}, {bits} and {same}"):
        Merged(frames=frames, same=same, bits=bits)

"""The mid partition that does nothing, and what every policy's part says of itself."""

from collections.abc import Sequence

import pytest
import torch

from tests.list_cache import ODD, play
from worldrt.memory.cache import KVCache
from worldrt.memory.compress import Grid
from worldrt.memory.mid import Bounds, Look, Mid, MidPart, Tail
from worldrt.memory.policy import Partition, Policy, find, names
from worldrt.memory.slots import CacheShape, Note, Region, Span

PARTS = {name: part for name in names() if (part := find(name, 3).mid) is not None}


def test_the_base_does_nothing() -> None:
    mid, nothing, spans = Mid(), torch.zeros(2, 1, 9, 1, 6), [Span(0, 0, 0.0)]
    mid.admit(spans, nothing, nothing)
    mid.admit_layer(0, spans, nothing[0], nothing[0])
    mid.lay_out(3.0, spans)
    mid.read(Look(0, True, True, *[nothing[0]] * 5))
    mid.commit(spans)
    mid.offer(range(1), Grid([0.0], [0.0], [0.0]), nothing, nothing)
    mid.switched(cut=True)
    mid.flush()
    mid.recall(Note())
    assert mid.parts(0) is None
    assert (mid.tokens, mid.frames, mid.width, mid.own, mid.nbytes) == (0, 0, 0.0, None, 0)


class Nothing(MidPart):
    """The least that a part must say."""

    def room(self, shape: CacheShape, bounds: Bounds) -> int:
        del shape, bounds
        return 0

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> Mid:
        del shape, bounds, tail
        return Mid()


def test_a_part_that_keeps_nothing_is_a_window() -> None:
    """What is not overridden asks for nothing, and leaves the cache as it is without a mid."""
    assert (Nothing.raw, Nothing.by_layer, Nothing.weights, Nothing.whole_blocks) == (
        False,
        False,
        "none",
        False,
    )
    policy = Policy(name="nothing", partition=Partition(sink=3, recent=4), mid=Nothing())
    sizes = [3, 2, 1] * 8
    assert not policy.moves
    got = play(KVCache(policy, ODD), sizes)
    assert torch.equal(got, play(KVCache(find("window:sink=3,recent=4", 3), ODD), sizes))


class Seen(Mid):
    """Notes what it is told."""

    def __init__(self, tail: Tail) -> None:
        self.tail = tail
        self.told: list[str] = []

    def admit(self, spans: Sequence[Span], keys: torch.Tensor, values: torch.Tensor) -> None:
        self.told.append(f"admit {[span.frame for span in spans]} {list(keys.shape)}")
        assert keys.shape == values.shape

    def lay_out(self, start: float, spans: Sequence[Span]) -> None:
        self.told.append(f"lay out {start} {[span.frame for span in spans]}")

    def read(self, look: Look) -> None:
        self.told.append(f"read {look.layer}{' first' * look.first}{' clean' * look.clean}")

    def commit(self, spans: Sequence[Span]) -> None:
        self.told.append(f"commit {[span.frame for span in spans]}")


class Watched(Nothing):
    """A part whose mid is kept at hand."""

    def open(self, shape: CacheShape, bounds: Bounds, tail: Tail) -> Mid:
        assert bounds == Bounds(most=2, sink=1)
        return Seen(tail)


def test_the_order_of_a_block() -> None:
    shape = CacheShape(layers=2, heads=1, head_dim=6, rows=1, columns=2, block_frames=2)
    policy = Policy(name="watched", partition=Partition(sink=1, recent=1), mid=Watched())
    cache = KVCache(policy, shape)
    play(cache, [2, 2, 1], shape)
    seen = cache._mid
    assert isinstance(seen, Seen)
    passes = ["read 0 first", "read 1 first", "read 0 clean", "read 1 clean"]
    # Absolute positions: a mid of no width stands where the recent frames begin.
    assert seen.told == [
        *["lay out 0.0 [0, 1]", *passes, "commit [0, 1]"],
        *["lay out 1.0 [2, 3]", *passes, "commit [2, 3]"],
        *["admit [1, 2] [2, 1, 4, 1, 6]", "lay out 3.0 [4]", *passes, "commit [4]"],
    ]


@pytest.mark.parametrize("name", PARTS)
def test_every_part_inherits_and_opens_a_mid(name: str) -> None:
    part = PARTS[name]
    assert MidPart in type(part).__mro__
    assert part.weights in ("none", "keys", "heads")


@pytest.mark.parametrize("name", PARTS)
def test_a_new_mid_holds_nothing_and_knows_its_bytes(name: str) -> None:
    policy = find(name, 3)
    cache = KVCache(policy, ODD)
    mid = cache._mid
    assert isinstance(mid, Mid) and type(mid) is not Mid
    assert mid.frames == mid.tokens == 0 and mid.width == 0
    assert cache.occupancy()[Region.MID].frames == 0
    assert cache.nbytes >= mid.nbytes >= 0

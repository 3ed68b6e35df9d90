"""Sinks that are replaced: by hand, and against a list that compares frames as the text says."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, play, turned
from tests.list_middle import ListMiddle, Piece, walk_blind
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.adaptive import AdaptiveSinks, SinkPlaces
from worldrt.memory.cache import KVCache
from worldrt.memory.mid import Bounds, Tail
from worldrt.memory.policy import Policy, SwitchMode, find
from worldrt.memory.slots import CacheShape, Region, Span

MIXED = np.random.default_rng(0).integers(1, 4, 30).tolist()
STEADY = [3] * 20


class ListSinks(ListMiddle):
    """Frames are compared anew with all sinks, each with the turns of rows and columns only."""

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        super().__init__(policy, shape)
        self.chosen: dict[tuple[int, int], list[int]] = {
            (layer, batch): [] for layer in range(shape.layers) for batch in range(shape.batch)
        }
        self.changes = 0

    def leave(self, frames: list[int]) -> None:
        part = self.policy.mid
        assert isinstance(part, AdaptiveSinks)
        for frame in frames:
            for (layer, batch), sinks in self.chosen.items():
                if len(sinks) < part.frames:
                    sinks.append(frame)
                    continue
                likeness = [self._likeness(layer, batch, frame, sink) for sink in sinks]
                if min(likeness) < part.below:
                    sinks[likeness.index(min(likeness))] = frame
                    self.changes += 1

    def middle(self, layer: int, batch: int) -> Piece:
        pieces = [self.nothing()]
        for sink in self.chosen[layer, batch]:
            key, value = (part[batch] for part in self.frames[sink][layer])
            pieces.append((turned(key, self.cells(float(sink))), value, np.zeros(len(key))))
        keys, values, biases = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return keys, values, biases

    def _likeness(self, layer: int, batch: int, one: int, two: int) -> float:
        def cosine(a: Array, b: Array) -> float:
            product = np.vdot(a, b).real
            return float(product / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real))

        keys, values = (
            [self.frames[frame][layer][which][batch] for frame in (one, two)] for which in (0, 1)
        )
        still = [turned(key, self.cells(0.0)).mean(0) for key in keys]
        return (cosine(*still) + cosine(*(value.mean(0) for value in values))) / 2


def close(got: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got.double(), expected.double(), atol=atol, rtol=0)


BARE = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1, batch=2)


def opened(part: AdaptiveSinks, shape: CacheShape = BARE) -> tuple[SinkPlaces, Tail]:
    size = (shape.layers, shape.batch, part.room(shape, Bounds(1, 0)), shape.heads, shape.head_dim)
    tail = Tail(torch.full(size, torch.nan), torch.full(size, torch.nan), None)
    return part.open(shape, Bounds(1, 0), tail), tail


def meet(mid: SinkPlaces, frame: int, ways: tuple[str, str]) -> None:
    """Each sequence's frame points along a named axis; its value is that and its index beside."""
    size = (1, 2, 1, 1, 6)
    keys, values = torch.zeros(size), torch.zeros(size)
    for batch, way in enumerate(ways):
        keys[0, batch, 0, 0, "tttrrc".index(way)] = 1
        values[0, batch, 0, 0, "xxxyyz".index({"t": "x", "r": "y", "c": "z"}[way])] = 2
    table = Rope.of_grid(6, 1, 1).table([float(frame)])
    mid.admit([Span(frame, frame, float(frame))], rotate(keys, table), values)


def test_who_lies_where_by_hand() -> None:
    """Frames of one axis are alike (1), of two unlike (0); two letters are a sequence's sinks."""
    mid, tail = opened(AdaptiveSinks(frames=2, below=0.2))
    ways = {0: "tt", 1: "rt", 2: "rr", 5: "tc", 50: "ct", 51: "cc"}
    after = {
        1: ("tr", "tt"),
        2: ("rr", "rt"),  # the only unlike one gives way; of two unlike ones the first place
        5: ("tr", "ct"),
        50: ("cr", "tt"),
        51: ("cc", "ct"),
    }
    for frame, (one, two) in ways.items():
        meet(mid, frame, (one, two))
        mid.lay_out(0.0, [])
        if frame in after:
            found = [
                "".join("tttrrc"[int(value.argmax())] for value in row[:, 0])
                for row in tail.values[0]
            ]
            assert tuple(found) == after[frame], frame
    assert mid.tokens == 2 and mid.frames == 2
    # Keys stand where they were, in the frame's own time.
    raw = torch.zeros(2, 1, 6)
    raw[:, :, 5] = 1
    times = [Rope.of_grid(6, 1, 1).table([float(frame)]) for frame in (50, 51)]
    expected = torch.cat([rotate(raw[:1], time) for time in times])
    close(tail.keys[0, 0], expected)


def test_likeness_does_not_depend_on_time() -> None:
    """The same picture for ever replaces nothing, however far its first frame lies behind."""
    mid, tail = opened(AdaptiveSinks(frames=2, below=0.9))
    for frame in range(0, 40_000, 999):
        meet(mid, frame, ("t", "t"))
    first = tail.keys.clone()
    meet(mid, 50_000, ("t", "t"))
    assert torch.equal(tail.keys, first)
    meet(mid, 60_000, ("c", "t"))
    assert torch.equal(tail.keys[:, 1], first[:, 1]) and not torch.equal(tail.keys, first)


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize(
    "spec",
    [
        "adaptive-sink:sink=3,recent=2,below=-0.1",
        "adaptive-sink:sink=4,recent=0,below=0.1",
        "adaptive-sink:sink=2,recent=5,below=0",
        "adaptive-sink",
    ],
)
def test_equals_list(spec: str, sizes: list[int]) -> None:
    policy = find(spec, 3)
    cache, oracle = KVCache(policy, ODD), ListSinks(policy, ODD)
    empty = cache.nbytes
    close(play(cache, sizes), play(oracle, sizes))
    assert cache.nbytes == empty
    count = cache.occupancy()[Region.MID].frames
    assert all(len(sinks) == count for sinks in oracle.chosen.values())
    apart = {tuple(sorted(sinks)) for sinks in oracle.chosen.values()}
    assert oracle.changes > 20 and len(apart) > 1  # layers and sequences differ


def test_sinks_that_never_give_way_are_a_plain_window() -> None:
    still = play(KVCache(find("adaptive-sink:sink=3,recent=4,below=-1", 3), ODD), STEADY)
    close(still, play(KVCache(find("window:sink=3,recent=4", 3), ODD), STEADY), 2e-6)


@pytest.mark.parametrize("spec", ["adaptive-sink:sink=60", "adaptive-sink:recent=60"])
def test_room_for_all_is_the_unbounded_cache(spec: str) -> None:
    roomy = play(KVCache(find(spec, 3), ODD), STEADY)
    close(roomy, play(KVCache(find("full", 3), ODD), STEADY), 2e-6)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    policy = find("adaptive-sink:sink=3,recent=2,below=0.1", 3)
    both = play(KVCache(policy, ODD), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy, lone), MIXED, rows=rows))
    assert torch.equal(both, play(KVCache(policy, ODD), MIXED))


def test_sinks_survive_a_flush() -> None:
    cache = KVCache(find("adaptive-sink:sink=3,recent=2", 3), ODD)
    play(cache, STEADY)
    cache.switch(SwitchMode.FLUSH)
    cache.open_block(3)
    assert cache.occupancy()[Region.MID].frames == 3
    assert cache.occupancy()[Region.RECENT].frames == 2


def test_sinks_of_coded_rows() -> None:
    """Frames are decoded when they leave; a sink is not coded again."""
    spec = "adaptive-sink:sink=2,recent=2,below=-1"
    plain, coded = (KVCache(find(spec + codec, 3), ODD) for codec in ("", ",codec=bf16"))
    torch.testing.assert_close(play(coded, STEADY), play(plain, STEADY), atol=0.02, rtol=0)


def test_half_precision() -> None:
    policy = find("adaptive-sink:below=0", 3)
    cache = KVCache(policy, ODD, torch.bfloat16)
    got = play(cache, STEADY, dtype=torch.bfloat16)
    exact = play(ListSinks(policy, ODD), STEADY)
    assert got.dtype == torch.bfloat16 and (got.double() - exact).abs().mean() < 0.01


def test_nothing_waits_for_the_device() -> None:
    cache = KVCache(find("adaptive-sink", 3), ODD, device=torch.device("meta"))
    walk_blind(cache, MIXED, ODD)
    assert cache.occupancy()[Region.MID].frames == 9


def test_bytes_of_a_long_rollout() -> None:
    cache = KVCache(find("adaptive-sink", 3), DOT)
    empty = cache.nbytes
    assert torch.isfinite(play(cache, [3] * 2_000, DOT)).all()
    assert cache.nbytes == empty


@pytest.mark.parametrize("frames, below", [(0, 0.2), (-1, 0.2), (3, 1.5), (3, float("nan"))])
def test_sinks_that_make_no_sense(frames: int, below: float) -> None:
    with pytest.raises(ConfigError, match=f"got {frames} and {below}"):
        AdaptiveSinks(frames=frames, below=below)

"""Shrunk frames that count by their view, against lists."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, passes, play
from tests.slow_cache import Piece, SlowCache, Told, close, soak
from worldrt.errors import ConfigError
from worldrt.geometry.se3 import exp
from worldrt.memory.cache import KVCache
from worldrt.memory.mid import Bounds
from worldrt.memory.policy import Partition, Policy, find
from worldrt.memory.positions import Contiguous
from worldrt.memory.shrink import PATTERN, Shrink, view_distance
from worldrt.memory.slots import CacheShape, Note, Region

STEADY = [3] * 14
MIXED = np.random.default_rng(0).integers(1, 4, 22).tolist()
WIDE = CacheShape(layers=2, heads=2, head_dim=14, rows=5, columns=7, block_frames=3, batch=2)
WAN = CacheShape(layers=30, heads=12, head_dim=128, rows=30, columns=52, block_frames=3)


def policy(part: Shrink, sink: int, recent: int) -> Policy:
    partition = Partition(sink=sink, recent=recent)
    return Policy(name="camera", partition=partition, positions=Contiguous(), mid=part)


def notes(frames: int, unknown: int = 5) -> list[Note]:
    """A walk; every fifth pose is not known."""
    random = np.random.default_rng(0)
    pose, found = np.eye(4), list[Note]()
    for frame in range(frames):
        pose = pose @ exp(random.normal(size=6) * 0.5)
        found.append(Note(pose=None if frame % unknown == 2 else pose))
    return found


class SlowShrink(SlowCache):
    """Kept frames as a list, averaged anew in each pass."""

    def __init__(self, part: Shrink, shape: CacheShape, sink: int, recent: int) -> None:
        super().__init__(shape, sink, recent)
        self.part = part
        self.gone: list[int] = []

    def leave(self, frames: list[int]) -> None:
        self.gone += frames

    @property
    def held(self) -> list[int]:
        return self.gone[-self.part.frames :]

    def sink_first(self) -> float:
        after = [*self.held, *self.recent, self.done][0]
        return float(after - min(self._sink, self.done))

    def middle(self, layer: int, batch: int) -> list[Piece]:
        return [self.shrunk(layer, batch, frame) for frame in self.held]

    def shrunk(self, layer: int, batch: int, frame: int) -> Piece:
        place = self.gone.index(frame) % self.part.frames
        side = self.part.pattern[place % len(self.part.pattern)]
        whole = self.frame(layer, batch, frame)
        cells: dict[tuple[float, float], list[int]] = {}
        for token, (_, row, column) in enumerate(whole.where):
            cells.setdefault((row // side, column // side), []).append(token)
        key, value, where = (
            np.stack([x[tokens].mean(0) for tokens in cells.values()]) for x in whole[:3]
        )
        counts = np.array([len(tokens) for tokens in cells.values()], np.float64)
        bias = np.log(counts) if self.part.counted else np.zeros(len(counts))
        bias = bias + self.far(frame)
        return Piece(key, value, where, np.tile(bias, (self.shape.heads, 1)))

    def far(self, frame: int) -> float:
        pose = self.notes[frame].pose
        block = [note.pose for note in self.notes[self.done :] if note.pose is not None]
        if pose is None or not block:
            return 0.0
        return max(self.part.weight * (math.exp(-self.apart(pose, view)) - 1) for view in block)

    def apart(self, one: Array, other: Array) -> float:
        relative = np.linalg.inv(one) @ other
        angle = math.degrees(math.acos(np.clip(relative[2, 2], -1, 1)))
        shift = float(np.linalg.norm(relative[:3, 3]))
        return shift / self.part.metres + angle / self.part.degrees


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize("shape", [ODD, WIDE], ids=["odd", "wide"])
@pytest.mark.parametrize(
    "sink, recent, part",
    [
        (0, 3, Shrink(frames=18)),
        (2, 4, Shrink(frames=25, weight=3.0, metres=0.7, degrees=20.0)),  # not whole patterns
        (0, 0, Shrink(frames=7, pattern=(3, 1, 2), counted=False, weight=0.0)),
        (3, 1, Shrink(frames=1, pattern=(9,), weight=2.0)),  # cells larger than the frame
    ],
)
def test_shrunk_frames_equal_list(
    sink: int, recent: int, part: Shrink, shape: CacheShape, sizes: Sequence[int]
) -> None:
    cache, oracle = (
        KVCache(policy(part, sink, recent), shape),
        SlowShrink(part, shape, sink, recent),
    )
    told = notes(sum(sizes))
    close(play(Told(cache, told), sizes, shape), play(Told(oracle, told), sizes, shape))
    assert cache.evicted > part.frames
    assert cache.occupancy()[Region.MID].frames == part.frames


def test_eighteen_frames_take_the_tokens_of_three_at_published_sizes() -> None:
    assert len(PATTERN) == 18
    assert sum(1 / side**2 for side in PATTERN) == 3.0
    # 30 rows are no multiple of 4, so that cells of 4 a side are 8 x 13.
    room = Shrink(frames=18).room(WAN, Bounds(most=3, sink=0))
    assert room == 30 * 52 + 5 * (15 * 26) + 12 * (8 * 13)


@pytest.mark.parametrize("side", [1, 2])
def test_equal_tokens_shrink_without_loss(side: int) -> None:
    """A mean of equal keys that counts as often as they are is exact, rows and columns aside."""
    shape = CacheShape(layers=1, heads=1, head_dim=4, rows=2, columns=2, block_frames=1)
    # With two pairs a head, both turn with time and none with the cell.
    part = Shrink(frames=30, pattern=(side,), weight=0.0)
    cache, full = KVCache(policy(part, 0, 2), shape), KVCache(find("full", 1), shape)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        key, value = torch.randn(2, 1, 1, 1, 4, generator=generator).expand(2, 1, 4, 1, 4)
        query, outs = torch.randn(1, 4, 1, 4, generator=generator), list[Tensor]()
        for one in (cache, full):
            one.open_block(1)
            one.begin_pass(first=True, clean=True)
            outs.append(one.attend(0, query, key, value))
            one.commit()
        close(outs[0], outs[1], 2e-6)


def test_a_history_that_is_not_shrunk_is_the_unbounded_cache() -> None:
    part = Shrink(frames=60, pattern=(1,), weight=0.0)
    cache = KVCache(policy(part, 0, 3), ODD)
    sizes = [3] * 15
    close(play(cache, sizes), play(KVCache(find("full", 3), ODD), sizes), 2e-6)


def pose(x: float, yaw: float) -> Array:
    return exp(np.array([0, 0, 0, 0, math.radians(yaw), 0])) + np.eye(4, k=3) * x


@pytest.mark.parametrize(
    "one, other, apart",
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (3, 0), 1.5),
        ((1, 0), (0, 90), 0.5 + 2),
        ((0, 10), (0, -10), 20 / 45),
        ((0, 0), (0, 180), 4),
        ((0, 0), (0, 1e-5), 1e-5 / 45),
    ],
)
def test_distance_of_views_by_hand(
    one: tuple[float, float], other: tuple[float, float], apart: float
) -> None:
    found = view_distance(pose(*one), pose(*other), 2.0, 45.0)
    assert found == pytest.approx(apart, rel=1e-9, abs=1e-12)
    assert found == view_distance(pose(*other), pose(*one), 2.0, 45.0)


def test_a_place_that_is_seen_again_counts_most() -> None:
    """Two shrunk frames of equal keys: the one seen from here outweighs the one from afar."""
    shape = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=1, block_frames=1)
    outs = []
    for weight in (0.0, 1.0, 20.0):
        cache = KVCache(policy(Shrink(frames=2, weight=weight), 0, 0), shape)
        for frame, x in enumerate((0.0, 100.0, 0.0)):
            cache.open_block(1, [Note(pose=pose(x, 0))])
            cache.begin_pass(first=True, clean=True)
            nothing = torch.zeros(1, 1, 1, 6)
            outs.append(cache.attend(0, nothing, nothing, nothing + 10.0**frame)[0, 0, 0, 0])
            cache.commit()
    expected = [(1 + 10 * far + 100) / (2 + far) for far in (1, math.exp(-1), math.exp(-20))]
    torch.testing.assert_close(torch.stack(outs)[2::3], torch.tensor(expected))


def test_without_poses_all_views_count_alike() -> None:
    one, two = (
        play(KVCache(find(f"camera:frames=18,weight={weight}", 3), ODD), MIXED) for weight in (0, 5)
    )
    assert torch.equal(one, two)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    told, part = notes(sum(MIXED)), Shrink(frames=18)
    both = play(Told(KVCache(policy(part, 1, 3), ODD), told), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        alone = Told(KVCache(policy(part, 1, 3), lone), told)
        close(both[rows], play(alone, MIXED, rows=rows))


def test_same_inputs_give_the_same_bits() -> None:
    one, two = (play(Told(KVCache(find("camera", 3), ODD), notes(42)), STEADY) for _ in range(2))
    assert torch.equal(one, two)


def test_codes_and_half_precision() -> None:
    exact = play(KVCache(find("camera", 3), ODD), STEADY)
    coded = play(KVCache(find("camera:codec=int8", 3), ODD), STEADY)
    assert (coded - exact).abs().mean() < 0.02
    half = KVCache(find("camera", 3), ODD, torch.bfloat16)
    out = play(half, STEADY, dtype=torch.bfloat16)
    assert out.dtype == torch.bfloat16 and (out.double() - exact).abs().mean() < 0.02


def test_bytes_stay() -> None:
    cache = KVCache(find("camera:sink=3", 3), DOT)
    size = cache.nbytes
    soak(cache, DOT, 2_000)
    assert cache.nbytes == size and cache.frames == 6_000
    # The oldest of 72 shrunk frames, before 6 whole ones; the sink stands right before it.
    assert cache.positions()[Region.SINK] == [6_000 - 6 - 72 - 3 + index for index in range(3)]


def test_it_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Tensor) -> float:
        raise AssertionError("a tensor was read on the host")

    cache, told = KVCache(policy(Shrink(frames=5), 1, 3), ODD), notes(24)
    blocks = list(passes(STEADY[:8], ODD))
    for name in ("item", "tolist", "cpu", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(Tensor, name, refuse)
    for index, layers in enumerate(blocks):
        cache.open_block(3, told[3 * index : 3 * index + 3])
        cache.begin_pass(first=True, clean=True)
        for layer, tensors in enumerate(layers[0]):
            cache.attend(layer, *tensors)
        cache.commit()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            {"frames": 0},
            "Frames kept and sides of cells are counted from 1, got 0 and 1.",
        ),
        (
            {"frames": 9, "pattern": (2, 0)},
            "Frames kept and sides of cells are counted from 1, got 9 and 0.",
        ),
        (
            {"frames": 9, "weight": -1.0},
            "Views are weighed by 0 or more over distances above 0, got -1.0 over 2.0 m and 45.0 "
            "degrees.",
        ),
        (
            {"frames": 9, "metres": 0.0},
            "Views are weighed by 0 or more over distances above 0, got 1.0 over 0.0 m and 45.0 "
            "degrees.",
        ),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Shrink(**options)
    assert str(caught.value) == sentence

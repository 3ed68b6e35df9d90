"""Two tiers of older frames: which stay whole, what the others weigh, and what it all takes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.cache_peak import MAZE, WAN, cache_peak
from tests.list_cache import ODD, Array, play, turned
from tests.slow_cache import Piece, SlowCache, close
from worldrt.errors import ConfigError
from worldrt.memory.cache import KVCache
from worldrt.memory.mid import Bounds
from worldrt.memory.occupancy import Occupancy
from worldrt.memory.policy import Partition, Policy, SwitchMode, find
from worldrt.memory.positions import Absolute, Contiguous, PositionMap, Window
from worldrt.memory.quantize import CODECS
from worldrt.memory.slots import CacheShape, Region, Span
from worldrt.memory.tiers import LayerTiers, Tiers

MIXED = np.random.default_rng(1).integers(1, 4, 30).tolist()
STEADY = [3] * 20
ABSOLUTE = Absolute()


def policy(
    part: Tiers,
    *,
    sink: int = 1,
    recent: int = 2,
    coded: bool = False,
    positions: PositionMap = ABSOLUTE,
) -> Policy:
    """A policy of this mid, whose sink and recent frames are in its codec too or in none."""
    return Policy(
        name="tiers",
        partition=Partition(sink=sink, recent=recent),
        positions=positions,
        mid=part,
        codec=part.codec if coded else None,
    )


class SlowTiers(SlowCache):
    """All frames in a list; a frame that fell behind is as many copies of its mean as of tokens.

    Args:
        plan: its parts.
        shape: the model's numbers.
    """

    def __init__(self, plan: Policy, shape: CacheShape) -> None:
        super().__init__(shape, plan.partition.sink, plan.partition.recent or 0)
        assert isinstance(plan.mid, Tiers)
        self.plan, self.part = plan, plan.mid
        self.store: list[int] = []
        self.whole: dict[tuple[int, int], list[int]] = {key: [] for key in self.keys}

    def leave(self, frames: list[int]) -> None:
        before, self.store = self.store, (self.store + frames)[-self.part.frames :]
        for (layer, batch), whole in self.whole.items():
            scores: dict[int, float] = {}
            for age, frame in enumerate(self.store):
                other = len(before) - len(self.store) + age
                change = 1.0
                if other >= 0:
                    old = self.sketch(layer, batch, before[other])
                    change = np.abs(self.sketch(layer, batch, frame) - old).sum() / old.sum()
                youth = age / (len(self.store) - 1) if len(self.store) > 1 else 0
                scores[frame] = 0.7 * change + 0.3 * youth
            able = [frame for frame in whole + frames if frame in self.store]
            best = sorted(able, key=lambda frame: (-scores[frame], frame))
            self.whole[layer, batch] = sorted(best[: self.part.whole(layer, self.shape.layers)])

    def middle(self, layer: int, batch: int) -> list[Piece]:
        pieces = [self.coded(layer, batch, frame) for frame in self.store]
        whole = self.whole[layer, batch]
        return [
            piece if frame in whole else self.copies(piece)
            for frame, piece in zip(self.store, pieces, strict=True)
        ]

    def copies(self, piece: Piece) -> Piece:
        """F times the mean of rotated keys, and of values; rotated already, so they stand at 0."""
        mean = turned(piece.key, piece.where).mean(0)
        pairs = np.stack([mean.real, mean.imag], axis=-1).reshape(len(mean), -1)
        key, value = (np.broadcast_to(x, piece.key.shape) for x in (pairs, piece.value.mean(0)))
        return Piece(key, value, 0 * piece.where, piece.bias)

    def frame(self, layer: int, batch: int, frame: int, time: float | None = None) -> Piece:
        if self.plan.codec is None:
            return super().frame(layer, batch, frame, time)
        return self.coded(layer, batch, frame, time)

    def coded(self, layer: int, batch: int, frame: int, time: float | None = None) -> Piece:
        """A frame as its codes are read."""
        piece = super().frame(layer, batch, frame, time)
        key, value = (self.decoded(x) for x in (piece.key, piece.value))
        return Piece(key, value, piece.where, piece.bias)

    def decoded(self, tokens: Array) -> Array:
        codec, count = self.part.codec, len(tokens)
        codes = codec.encode(torch.from_numpy(tokens).float())
        return codec.decode(codes, count, torch.float32).double().numpy()

    def sketch(self, layer: int, batch: int, frame: int) -> Array:
        _, key, value = self.past[frame][layer][batch]
        if self.plan.codec is not None:
            key, value = self.decoded(key), self.decoded(value)
        return np.abs(key).mean((0, 2)) + np.abs(value).mean((0, 2))

    def sink_first(self) -> float:
        if isinstance(self.plan.positions, Absolute):
            return 0.0
        after = [*self.store, *self.recent, self.done][0]
        return float(after - min(self._sink, self.done))


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize("coded", [False, True], ids=["dense", "coded"])
@pytest.mark.parametrize(
    "part",
    [
        Tiers(frames=9, codec=CODECS["int4"]),
        Tiers(frames=14, codec=CODECS["int8"], retained=0.45),
        Tiers(frames=3, codec=CODECS["int2"]),
        Tiers(frames=5, codec=CODECS["int4"], retained=1),
    ],
    ids=lambda part: f"{part.frames}-{part.codec.name}",
)
def test_tiers_equal_copies_of_the_means(part: Tiers, coded: bool, sizes: list[int]) -> None:
    """Copies of a mean, as published, weigh what one key weighs whose logit is log F higher."""
    plan = policy(part, coded=coded)
    slow = SlowTiers(plan, ODD)
    close(play(KVCache(plan, ODD), sizes), play(slow, sizes))
    if part.frames > 5:
        assert len({tuple(whole) for whole in slow.whole.values()}) > 1


@pytest.mark.parametrize("recent", [0, 4])
@pytest.mark.parametrize("positions", [Contiguous(), Window()], ids=["contiguous", "window"])
def test_where_positions_move(positions: PositionMap, recent: int) -> None:
    part = Tiers(frames=6, codec=CODECS["int4"])
    plan = policy(part, sink=4, recent=recent, positions=positions, coded=recent == 4)
    close(play(KVCache(plan, ODD), MIXED), play(SlowTiers(plan, ODD), MIXED))


def test_a_short_history_is_left_as_it_is() -> None:
    """As long as all frames fit, they are what an unbounded cache in the same codec holds."""
    plan = policy(Tiers(frames=30, codec=CODECS["int4"], retained=1), coded=True)
    sizes = [3] * 7
    close(play(KVCache(plan, ODD), sizes), play(KVCache(find("full:codec=int4", 3), ODD), sizes))


def test_a_batch_is_its_sequences_side_by_side() -> None:
    plan = policy(Tiers(frames=9, codec=CODECS["int4"]), coded=True)
    both, lone = play(KVCache(plan, ODD), MIXED), replace(ODD, batch=1)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(plan, lone), MIXED, rows=rows))


def test_same_inputs_give_the_same_bits() -> None:
    plan = policy(Tiers(frames=9, codec=CODECS["int4"]), coded=True)
    assert torch.equal(play(KVCache(plan, ODD), MIXED), play(KVCache(plan, ODD), MIXED))


def test_half_precision() -> None:
    plan = policy(Tiers(frames=9, codec=CODECS["int8"]), coded=True)
    got = play(KVCache(plan, ODD, torch.bfloat16), MIXED, dtype=torch.bfloat16)
    exact = play(SlowTiers(plan, ODD), MIXED)
    assert got.dtype == torch.bfloat16 and (got.double() - exact).abs().mean() < 0.01


# Which frames stay whole.

LINE = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=2, block_frames=1)


def tiers(part: Tiers, whole: int) -> LayerTiers:
    return LayerTiers(part, whole, LINE, torch.zeros(1), torch.ones(2, 1, 3, dtype=torch.complex64))


def admit(found: LayerTiers, first: int, sizes: list[float]) -> None:
    """Frames whose keys are all of this size and whose values are 0."""
    keys = torch.tensor(sizes).repeat_interleave(2)[None, :, None, None].expand(1, -1, 1, 6)
    spans = [Span(first + index, 0, 0.0) for index in range(len(sizes))]
    found.admit(spans, keys, torch.zeros_like(keys))


def held(found: LayerTiers) -> tuple[list[int], list[int]]:
    """Frames that are whole, and averaged ones."""
    whole = [int(found.frame(place)) for place in range(found.held)]
    return whole, found.means()[2][0].tolist()


def test_choice_by_hand() -> None:
    """Two of four frames stay whole; the sizes of keys are the sketches."""
    found = tiers(Tiers(frames=4, codec=CODECS["int8"]), 2)
    admit(found, 10, [1.0])
    admit(found, 11, [2.0])
    assert held(found) == ([10, 11], [])
    # 10 has nothing before it: 0.7. 11 doubled, half as young: 0.85. 12 is new but the same: 0.3.
    admit(found, 12, [2.0])
    assert held(found) == ([10, 11], [12])
    # 0.7, 0.8, and 0.07 + 0.3 for a tenth of change.
    admit(found, 13, [2.2])
    assert held(found) == ([10, 11], [12, 13])
    # 10 is too old; 12 and 13 stay averaged, whatever they would score now.
    admit(found, 14, [8.8])
    assert held(found) == ([11, 14], [12, 13])
    # 15 changed by 0.9: 0.63 + 0.3; 11 is too old, 14 has 2.1 + 0.2.
    admit(found, 15, [0.88])
    assert held(found) == ([14, 15], [12, 13])
    # Three at once are compared with those three before: 16 with 13, 17 with 14, 18 with 15.
    admit(found, 16, [2.2, 17.6, 0.88])
    assert held(found) == ([15, 17], [16, 18])


@pytest.mark.parametrize("youth, kept", [(0.3, [4, 5]), (0.0, [0, 1])])
def test_ties_go_to_the_earlier_frame(
    youth: float, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are wholly new; youth alone tells them apart."""
    monkeypatch.setattr("worldrt.memory.tiers.YOUTH", youth)
    found = tiers(Tiers(frames=6, codec=CODECS["int8"]), 2)
    admit(found, 0, [1.0, 1, 1, 1, 1, 1])
    assert held(found) == (kept, [frame for frame in range(6) if frame not in kept])


def test_a_mean_is_taken_from_what_was_kept() -> None:
    found = tiers(Tiers(frames=3, codec=CODECS["int8"]), 1)
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 1, 6, 1, 6, generator=generator)
    found.admit([Span(0, 0, 0.0)], keys[:, :2], values[:, :2])
    whole = [found.read(which, 0)[0] for which in (0, 1)]
    found.admit([Span(frame, 0, 0.0) for frame in (1, 2)], 9 * keys[:, 2:], 9 * values[:, 2:])
    mean_keys, mean_values, frames = found.means()
    assert 0 in frames[0].tolist()
    place = frames[0].tolist().index(0)
    torch.testing.assert_close(mean_keys[0, place], whole[0].mean(0))
    torch.testing.assert_close(mean_values[0, place], whole[1].mean(0))


@pytest.mark.parametrize(
    "frames, retained, counts",
    [
        # b = 0.7, 1, 1.3: of 32 old frames 2, 3, 4 are important; the rest times 0.45 b are kept.
        (32, 0.45, [2 + 9, 3 + 13, 4 + 16]),
        (38, 0.30, [3 + 7, 4 + 10, 5 + 13]),
        (1, 0.45, [1, 1, 1]),
        (2, 0.45, [2, 2, 2]),
        (3, 0.45, [2, 2, 2]),
        (10, 1.0, [1 + 6, 1 + 9, 1 + 9]),
        (10, 0.0, [2, 2, 2]),
    ],
)
def test_the_budget_of_a_layer(frames: int, retained: float, counts: list[int]) -> None:
    part = Tiers(frames=frames, codec=CODECS["int4"], retained=retained)
    assert [part.whole(layer, 3) for layer in range(3)] == counts


def test_a_frame_once_averaged_stays_averaged() -> None:
    plan = policy(Tiers(frames=9, codec=CODECS["int4"]))
    slow = SlowTiers(plan, ODD)
    gone: dict[tuple[int, int], set[int]] = {key: set() for key in slow.keys}
    for size in MIXED:
        play(slow, [size])
        for key, whole in slow.whole.items():
            gone[key] |= set(slow.store) - set(whole)
            assert not gone[key] & set(whole)


# What it takes.


def test_bytes_are_constant_and_those_of_packed_codes() -> None:
    part = Tiers(frames=9, codec=CODECS["int4"])
    cache = KVCache(policy(part, coded=True), ODD)
    before = cache.nbytes
    play(cache, MIXED)
    assert cache.nbytes == before
    whole = [part.whole(layer, 2) for layer in range(2)]
    channel, width = 5 + 2, 2 * 2 * 2 * 14  # 9 nibbles and a scale; K and V, batch, H, D
    codes = sum(whole) * channel * width
    means = (18 - sum(whole)) * 4 * width
    sketches, indices = 2 * 9 * 2 * 2 * 4, 2 * 9 * 2 * 8
    rows = (1 + 2 + 3) * 2 * channel * width
    assert before == codes + means + sketches + indices + rows
    tokens = round((sum(whole) * 9 + 18 - sum(whole)) / 2)
    assert cache.occupancy()[Region.MID] == Occupancy(9, tokens, before - rows)


@pytest.mark.parametrize(
    "shape, least",
    [(WAN, 5.9), (MAZE, 4.8)],  # the workspace of a layer is a sixth of six layers
    ids=["wan", "maze"],
)
def test_peak_of_a_long_history(shape: CacheShape, least: float) -> None:
    """42 frames of history, against the same in bfloat16."""
    dense = cache_peak("window:sink=1,recent=41", shape)
    assert dense / cache_peak("soft", shape) >= least


# What else it is asked.


def test_a_flush_forgets_the_tiers() -> None:
    plan = find("soft:history=15", 3)
    cache = KVCache(plan, ODD)
    play(cache, STEADY)
    cache.switch(SwitchMode.FLUSH)
    mid = cache.occupancy()[Region.MID]
    assert (mid.frames, mid.tokens, cache.occupancy()[Region.RECENT].frames) == (0, 0, 3)
    play(cache, STEADY)
    assert cache.occupancy()[Region.MID].frames == 15 - 1 - 3


@pytest.mark.parametrize("frames, retained", [(0, 0.3), (5, -0.1), (5, 1.1)])
def test_tiers_that_make_no_sense(frames: int, retained: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Tiers(frames=frames, codec=CODECS["int4"], retained=retained)
    assert str(caught.value) == (
        f"Tiers need at least 1 frame and retain a share from 0 to 1, got {frames} and {retained}."
    )


def test_nothing_is_laid_out() -> None:
    assert Tiers(frames=5, codec=CODECS["int4"]).room(ODD, Bounds(3, 1)) == 0

"""Rows in a codec against dense rows, exactly where the codec loses nothing, and their peak."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.cache_peak import MAZE, WAN, cache_peak
from tests.list_cache import ODD, Array, ListCache, play
from tests.memory.test_cache import MOVED, play_fused
from tests.slow_cache import close
from tests.switches import Event, Switch, act
from worldrt.memory.cache import KVCache
from worldrt.memory.coded import TILES, CodedRows
from worldrt.memory.dense import DenseRows
from worldrt.memory.policy import Policy, SwitchMode, find
from worldrt.memory.quantize import CODECS, Codec, FrameCodes
from worldrt.memory.rows import Write
from worldrt.memory.slots import CacheShape, Region, Span

MIXED = np.random.default_rng(2).integers(1, 4, 20).tolist()
STEADY = [3] * 14
GRID = replace(ODD, rows=5, columns=5)
"""25 tokens a frame: a whole group and a broken one, and half a byte to spare."""

any_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.name)
WINDOWS = [
    *(find(spec, 3) for spec in ("window:sink=3,recent=5", "window:sink=0,recent=4", "full")),
    *(find(spec, 3) for spec in ("infinity:sink=2,recent=4", "longlive")),
    find("window:sink=1,recent=75", 3),  # more than a frame a tile
    MOVED,
]
MIDS = [find(spec, 3) for spec in ("tether", "deep", "pack:top=2")]
"""Policies whose mid has a tail, which is not coded."""


def name(policy: Policy) -> str:
    """Of a test."""
    return f"{policy.name}-{policy.partition.recent}"


def blocks(policy: Policy) -> list[int]:
    """Of blocks that it takes."""
    return STEADY if policy.mid and policy.mid.whole_blocks else MIXED


def recoded(codec: Codec, tokens: Tensor, frame: int) -> Tensor:
    """Tokens [..., L, H, D] as they are read when frames of `frame` tokens were coded."""
    frames = tokens.unflatten(-3, (-1, frame))
    return codec.decode(codec.encode(frames), frame, torch.float32).flatten(-4, -3).type_as(tokens)


class Lossless(KVCache):
    """A cache whose keys and values are such that a codec loses nothing of them.

    Args:
        policy: its parts.
        shape: the model's numbers.
        coder: the codec.
    """

    def __init__(self, policy: Policy, shape: CacheShape, coder: Codec) -> None:
        super().__init__(policy, shape)
        self._coder = coder

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key, value = (recoded(self._coder, x, self.shape.tokens) for x in (key, value))
        return super().attend(layer, query, key, value)


def pair(policy: Policy, codec: Codec, shape: CacheShape = ODD) -> tuple[Lossless, Lossless]:
    """The policy in the codec, and dense."""
    coded, dense = (Lossless(replace(policy, codec=one), shape, codec) for one in (codec, None))
    return coded, dense


class CodedList(ListCache):
    """The list of all frames, each coded and decoded when its block is finished."""

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        super().__init__(policy, shape)
        assert policy.codec is not None
        self._coder = policy.codec

    def commit(self) -> None:
        super().commit()
        for index in range(len(self._frames) - self._size, len(self._frames)):
            self._frames[index] = [(self._coded(k), self._coded(v)) for k, v in self._frames[index]]

    def _coded(self, tokens: Array) -> Array:
        return recoded(self._coder, torch.from_numpy(tokens), self._shape.tokens).numpy()


# What it holds.


@any_codec
@pytest.mark.parametrize("spec", ["window:sink=3,recent=5", "window:sink=0,recent=0", "full"])
def test_a_block_sees_itself_as_it_is_and_others_as_they_are_coded(spec: str, codec: Codec) -> None:
    policy = replace(find(spec, 3), codec=codec)
    close(play(KVCache(policy, ODD), MIXED), play(CodedList(policy, ODD), MIXED))


@any_codec
def test_a_key_is_turned_after_it_was_coded(codec: Codec) -> None:
    policy = replace(MOVED, codec=codec)
    close(play(KVCache(policy, ODD), MIXED), play(CodedList(policy, ODD), MIXED))


@any_codec
@pytest.mark.parametrize("policy", [*WINDOWS, *MIDS], ids=name)
def test_what_was_coded_once_is_read_exactly(policy: Policy, codec: Codec) -> None:
    coded, dense = pair(policy, codec)
    close(play(coded, blocks(policy)), play(dense, blocks(policy)))


@any_codec
def test_grids_that_no_group_divides(codec: Codec) -> None:
    coded, dense = pair(MOVED, codec, GRID)
    close(play(coded, MIXED, GRID), play(dense, MIXED, GRID))


@pytest.mark.parametrize(
    "codec, most", [("bf16", 0.02), ("int8", 0.02), ("int4", 0.4), ("int2", 3)]
)
@pytest.mark.parametrize("policy", WINDOWS, ids=name)
def test_no_more_is_lost_than_the_codec_loses(policy: Policy, codec: str, most: float) -> None:
    """Numbers of a normal distribution, of which a scale is about 2 / 127, 2 / 7 and 2."""
    dense = play(KVCache(policy, ODD), MIXED)
    coded = play(KVCache(replace(policy, codec=CODECS[codec]), ODD), MIXED)
    error = (coded - dense).abs()
    assert 0 < error.max() <= most and error.mean() <= most / 4


@any_codec
@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize("spec", ["window:sink=3,recent=5", "window:sink=0,recent=3", "full"])
def test_a_late_clean_pass(spec: str, sizes: list[int], codec: Codec) -> None:
    """In one forward with the next block's first step, it is coded when it has run."""
    coded, dense = pair(find(spec, 3), codec)
    assert coded.fuses
    close(play_fused(coded, sizes), play_fused(dense, sizes))


RECACHE, FLUSH, CUT = (
    Switch(mode) for mode in (SwitchMode.RECACHE, SwitchMode.FLUSH, SwitchMode.CUT)
)


@any_codec
@pytest.mark.parametrize(
    "spec, events",
    [
        ("longlive", [3, 3, RECACHE, 3, 3, 3, RECACHE, 3, 3]),
        ("longlive:global_sink=false", [3, 3, 3, 3, 3, RECACHE, 3, 2, RECACHE, 1]),
        ("infinity", [3, 3, 3, FLUSH, 3, 3, CUT, 3, 3]),
    ],
)
def test_switches(spec: str, events: list[Event], codec: Codec) -> None:
    coded, dense = pair(find(spec, 3), codec)
    close(act(coded, events, ODD), act(dense, events, ODD))


@any_codec
def test_a_batch_is_its_sequences_side_by_side(codec: Codec) -> None:
    policy, lone = replace(MOVED, codec=codec), replace(ODD, batch=1)
    both = play(KVCache(policy, ODD), MIXED)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy, lone), MIXED, rows=rows))


def test_same_inputs_give_the_same_bits() -> None:
    policy = replace(MOVED, codec=CODECS["int4"])
    assert torch.equal(play(KVCache(policy, ODD), MIXED), play(KVCache(policy, ODD), MIXED))


def test_half_precision_is_read_in_single() -> None:
    """Only what comes in and what goes out is rounded."""
    policy = replace(MOVED, codec=CODECS["int8"])
    got = play(KVCache(policy, ODD, torch.bfloat16), MIXED, dtype=torch.bfloat16)
    exact = play(KVCache(policy, ODD), MIXED)
    assert got.dtype == torch.bfloat16 and (got.float() - exact).abs().mean() < 0.01


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "rotated"])
@pytest.mark.parametrize("layers", [slice(None), slice(1, 2)], ids=["all", "one"])
def test_what_leaves_is_what_dense_rows_give(raw: bool, layers: slice) -> None:
    codec = CODECS["int8"]
    dense = DenseRows(ODD, 4, 0, raw=True, weights="none", dtype=torch.float32, device=None)
    coded = CodedRows(codec, ODD, 4, 0, "none", torch.float32, None)
    spans = [Span(frame, slot, float(frame)) for frame, slot in ((5, 3), (6, 0), (7, 1))]
    found: list[tuple[Tensor, Tensor]] = []
    for rows in (dense, coded):
        place = rows.place(spans, [], 0)
        generator = torch.Generator().manual_seed(0)
        for layer in range(ODD.layers):
            draws = torch.randn(3, 2, 27, 2, 14, generator=generator)
            query, key, value = recoded(codec, draws, ODD.tokens)
            turned = torch.view_as_complex(key.unflatten(-1, (-1, 2))) * place.table
            write = Write(key, torch.view_as_real(turned).flatten(-2), value, True)
            rows.attend(layer, place, query, write)
        found.append(rows.take([spans[2], spans[0]], raw, layers))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


# What it costs.


@any_codec
def test_bytes_are_those_of_packed_codes(codec: Codec) -> None:
    policy = replace(MOVED, codec=codec)
    cache = KVCache(policy, GRID)
    rows, groups = codec.room(25)
    channel = rows * (2 if codec.bits is None else 1) + 2 * groups
    frame = 2 * channel * GRID.layers * GRID.batch * GRID.heads * GRID.head_dim
    assert cache.nbytes == (4 + 5 + 3) * frame
    play(cache, MIXED, GRID)
    assert cache.nbytes == (4 + 5 + 3) * frame
    assert cache.occupancy()[Region.SINK].bytes == 4 * frame


def test_room_grows_where_everything_is_kept() -> None:
    cache = KVCache(find("full:codec=int4", 3), ODD)
    empty = cache.nbytes
    play(cache, STEADY)
    assert cache.nbytes == 4 * empty  # 12 slots, then 24 and 48 for 42 frames
    assert cache.evicted == 0


@pytest.mark.parametrize(
    "shape, codec, least",
    [
        (WAN, "int4", 3.0),
        (MAZE, "int4", 2.7),  # the workspace of a layer is a sixth of six layers
    ],
    ids=["wan", "maze"],
)
def test_peak_of_a_long_window(shape: CacheShape, codec: str, least: float) -> None:
    """42 frames of history in packed codes, against the same in bfloat16, workspaces included."""
    spec = "window:sink=1,recent=41"
    assert cache_peak(spec, shape) / cache_peak(f"{spec},codec={codec}", shape) >= least


def test_a_pass_holds_a_tile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more frames are decoded at once than a `TILES`th of those that there is room for."""
    seen: list[int] = []
    plain = FrameCodes.read

    def spy(self: FrameCodes, layer: int, slot: int, count: int = 1) -> Tensor:
        seen.append(count)
        return plain(self, layer, slot, count)

    monkeypatch.setattr(FrameCodes, "read", spy)
    for recent in (6, 75):
        play(KVCache(find(f"window:sink=0,recent={recent},codec=int4", 3), ODD), [3] * 30)
        assert max(seen) == max(1, (recent + 3) // TILES)
        seen.clear()

"""A region of patches for the heads that look back, against lists."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, passes, play, turned
from tests.slow_cache import Past, Piece, SlowCache, close, logits, soak, softmax
from worldrt.errors import ConfigError
from worldrt.memory import patches
from worldrt.memory.cache import KVCache
from worldrt.memory.mass import thinned
from worldrt.memory.mid import Bounds, Look, Tail
from worldrt.memory.patches import Bands, Patches, static_heads
from worldrt.memory.policy import Partition, Policy, SwitchMode, find
from worldrt.memory.slots import CacheShape, Region, Span

STEADY = [3] * 20
MIXED = np.random.default_rng(0).integers(1, 4, 24).tolist()
UNEVEN = CacheShape(layers=3, heads=3, head_dim=14, rows=5, columns=3, block_frames=3, batch=2)
"""Five rows, cut into three patches of one, two and two."""
WAN = CacheShape(layers=30, heads=12, head_dim=128, rows=30, columns=52, block_frames=3)


def part(**options: Any) -> Patches:
    numbers: dict[str, Any] = dict(patches=3, share=0.33, threshold=0.8, warm=3, window=21)
    return Patches(**numbers | options)


def policy(mid: Patches) -> Policy:
    return Policy(name="heads", partition=Partition(sink=1, recent=1), mid=mid)


class SlowPatches(SlowCache):
    """The region as a list of (frame, patch)."""

    def __init__(self, mid: Patches, shape: CacheShape) -> None:
        super().__init__(shape, 1, 1)
        self.part = mid
        count = min(mid.patches, shape.rows)
        rows = [shape.rows * index // count for index in range(count + 1)]
        edges = [row * shape.columns for row in rows]
        self.bands = [list(range(*edge)) for edge in zip(edges, edges[1:], strict=False)]
        self.most = round(shape.block_frames * count * mid.share)
        self.region: dict[int, list[tuple[int, int]]] = {}
        self.static = {(*key, head): False for key in self.keys for head in range(shape.heads)}
        self.mass = {key: np.zeros(2) for key in self.static}
        self.judged = 0

    def leave(self, frames: list[int]) -> None:
        layer = min(1, self.shape.layers - 1)
        if self.region:
            self.judged += 1
        if self.judged == self.part.warm:
            for key, (near, far) in self.mass.items():
                static = near / max(near + far, 1e-30) >= self.part.threshold
                self.static[key] = bool(static) and key[0] > 0
        for batch in range(self.shape.batch):
            scores = {
                (frame, band): self.likeness(layer, batch, frame, band)
                for frame in frames
                for band in range(len(self.bands))
            }
            best = sorted(scores, key=lambda key: (scores[key], key))
            self.region[batch] = sorted(best[: self.most])

    def likeness(self, layer: int, batch: int, frame: int, band: int) -> float:
        # The classes by which a frame is compared are those of its own clean pass.
        heads = [head for head in range(self.shape.heads) if not self.known[layer, batch, head]]
        one, two = (self.past[at][layer][batch].key for at in (frame, frame + 1))
        cosines = []
        for token in self.bands[band]:
            a = turned(one, self.grid(frame))[token, heads].ravel()
            b = turned(two, self.grid(frame + 1))[token, heads].ravel()
            norms = np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum())
            cosines.append((a * b.conj()).real.sum() / max(norms, 1e-30))
        return float(np.mean(cosines))

    def open_block(self, frames: int, notes: object = ()) -> None:
        self.known = dict(self.static)
        super().open_block(frames)

    def judge(self, layer: int, batch: int, block: Past) -> None:
        if not self.region or self.judged >= self.part.warm:
            return
        asking = thinned(len(block.query), patches.SAMPLE)
        some = thinned(self.shape.tokens, patches.SAMPLE)
        worth = np.log(self.shape.tokens / len(some))
        pieces = []
        for frame in (0, self.done - 1):
            piece = self.frame(layer, batch, frame).pick(some)
            pieces.append(piece._replace(bias=piece.bias + worth))
        region = self.middle(layer, batch)
        frames = len(self.region[batch]) / len(self.bands)
        behind = np.log((self.part.window - 2 - self.shape.block_frames) / frames)
        pieces += [piece._replace(bias=piece.bias + behind) for piece in region]
        nothing = np.zeros((self.shape.heads, len(self.block)))
        pieces.append(Piece(block.key, block.value, self.block, nothing))
        parts = [logits(block.query[asking], self.block[asking], piece) for piece in pieces]
        mass = softmax(np.concatenate(parts, axis=-1)).mean(1)  # [H, S]
        far = slice(2 * len(some), mass.shape[1] - len(self.block))
        for head in range(self.shape.heads):
            near = mass[head, len(some) :].sum() - mass[head, far].sum()
            self.mass[layer, batch, head] += np.array([near, mass[head, far].sum()])

    def middle(self, layer: int, batch: int) -> list[Piece]:
        pieces = []
        for frame, band in self.region.get(batch, []):
            piece = self.frame(layer, batch, frame).pick(self.bands[band])
            for head in range(self.shape.heads):
                if self.static[layer, batch, head]:
                    piece.bias[head] = -np.inf
            pieces.append(piece)
        return pieces


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize("shape", [ODD, UNEVEN], ids=["odd", "uneven"])
@pytest.mark.parametrize(
    "mid",
    [
        part(threshold=2.0),  # all heads look back
        part(threshold=0.2035),
        part(threshold=0.19, share=0.6, warm=1, patches=2),
        part(threshold=0.0, patches=9),  # as many patches as rows, and none that looks back
    ],
)
def test_region_equals_list(
    mid: Patches, shape: CacheShape, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "SAMPLE", 5)
    cache, oracle = KVCache(policy(mid), shape), SlowPatches(mid, shape)
    close(play(cache, sizes, shape), play(oracle, sizes, shape))
    static = sum(oracle.static.values())
    told_apart = shape.batch * shape.heads * (shape.layers - 1)
    if mid.threshold > 1:
        assert static == 0
    elif mid.threshold == 0:
        assert static == told_apart
    elif (mid.threshold < 0.2) == (sizes is MIXED):  # shorter blocks hold less of what is near
        assert 0 < static < told_apart


def test_a_sixth_of_the_context_at_published_sizes() -> None:
    mid = find("heads", 3).mid
    assert isinstance(mid, Patches)
    bands, bounds = Bands.of(mid.patches, WAN), Bounds(most=3, sink=1)
    assert (bands.count, bands.most) == (6, 260)
    assert mid.kept(WAN, bounds) == 6 and mid.room(WAN, bounds) == 1560


@pytest.mark.parametrize(
    "rows, patches, edges",
    [(30, 6, (0, 5, 10, 15, 20, 25, 30)), (5, 3, (0, 1, 3, 5)), (2, 6, (0, 1, 2))],
)
def test_rows_are_cut_as_evenly_as_they_go(rows: int, patches: int, edges: tuple[int, ...]) -> None:
    shape = CacheShape(layers=1, heads=1, head_dim=6, rows=rows, columns=1, block_frames=1)
    assert Bands.of(patches, shape).edges == edges


ROWS = CacheShape(layers=2, heads=2, head_dim=6, rows=4, columns=1, block_frames=3)


def show(cache: KVCache, changed: list[tuple[int, int]], patch: pytest.MonkeyPatch) -> list[float]:
    """Values of the region after blocks whose keys turn over at these (frame, row).

    Keys lie on the column pair, which stands still in a single column. Values are frame * 10 + row.
    """
    seen: list[float] = []

    def spy(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        del key, bias
        seen[:] = value[0, 20:, 0, 0].tolist()  # behind five slots of four rows
        return query

    patch.setattr("worldrt.memory.dense.attend", spy)
    sign = torch.ones(4)
    for frame in range(0, 9, 3):
        key, value = torch.zeros(1, 12, 2, 6), torch.zeros(1, 12, 2, 6)
        for index in range(3):
            for row in range(4):
                if (frame + index, row) in changed:
                    sign[row] *= -1
            key[0, index * 4 : index * 4 + 4, :, 4] = sign[:, None]
            rows = torch.arange(4.0) + 10 * (frame + index)
            value[0, index * 4 : index * 4 + 4] = rows[:, None, None]
        cache.open_block(3)
        cache.begin_pass(first=True, clean=True)
        for layer in range(2):
            cache.attend(layer, key, key, value)
        cache.commit()
    cache.open_block(3)
    cache.begin_pass(first=True)
    cache.attend(0, *torch.zeros(3, 1, 12, 2, 6))
    return seen


@pytest.mark.parametrize(
    "changed, region",
    [
        ([], [50, 51, 52, 53]),  # nothing changes: ties go to the earlier frame, then patch
        ([(6, 2), (7, 0), (8, 3)], [50, 52, 60, 73]),  # what is about to change, in time order
        ([(6, 0), (6, 1), (6, 2), (6, 3), (8, 1)], [50, 51, 52, 53]),
        ([(5, 0), (4, 1)], [50, 51, 52, 53]),  # changes before the recent frame count no more
    ],
)
def test_the_patches_that_change_by_hand(
    changed: list[tuple[int, int]], region: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    mid = part(patches=4, share=0.34, threshold=2.0)
    assert show(KVCache(policy(mid), ROWS), changed, monkeypatch) == region


def test_static_heads_by_hand() -> None:
    mass = torch.tensor([[[[9.0, 1.0], [8.0, 2.0], [7.0, 3.0]]]] * 2)
    found = static_heads(mass, 0.8)
    assert found[1].tolist() == [[True, True, False]]
    assert found[0].tolist() == [[False, False, False]]


def test_classes_are_settled_once() -> None:
    """All heads are dynamic until enough blocks with a region were seen; then nothing changes."""
    bias = torch.zeros(2, 2, 2, 9)
    tail = Tail(torch.zeros(2, 2, 9, 2, 14), torch.zeros(2, 2, 9, 2, 14), bias)
    region = part(threshold=0.2, warm=3).open(ODD, Bounds(most=3, sink=1), tail)
    blocks, found = torch.randn(8, 2, 2, 27, 2, 14), list[Tensor]()
    for index, layers in enumerate(blocks):
        spans = [Span(3 * index + frame, frame, 0.0) for frame in range(3)]
        if index:
            region.admit([Span(3 * index - 2, 1, 0.0)], *torch.randn(2, 2, 2, 9, 2, 14))
        region.lay_out(0.0, spans)
        assert not index or torch.equal(bias[..., 0] < 0, region.static)
        for layer, keys in enumerate(layers):
            region.read(Look(layer, False, True, keys, keys, keys, keys, keys))
        region.commit(spans)
        found.append(region.static.clone())
    assert not any(static.any() for static in found[:3])
    assert found[3].any() and all(torch.equal(one, found[3]) for one in found[3:])


def test_what_fits_is_kept() -> None:
    """The first two blocks see all there is."""
    sizes = [3, 3]
    full = play(KVCache(find("full", 3), ODD), sizes)
    close(play(KVCache(find("heads", 3), ODD), sizes), full, 2e-6)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    mid = part(threshold=0.1802)
    both = play(KVCache(policy(mid), ODD), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], play(KVCache(policy(mid), lone), MIXED, rows=rows))


def test_same_inputs_give_the_same_bits() -> None:
    one, two = (play(KVCache(policy(part(threshold=0.1802)), ODD), MIXED) for _ in range(2))
    assert torch.equal(one, two)


def test_codes_and_half_precision() -> None:
    exact = play(KVCache(find("heads", 3), ODD), STEADY)
    coded = play(KVCache(find("heads:codec=int8", 3), ODD), STEADY)
    assert (coded - exact).abs().mean() < 0.02
    half = play(KVCache(find("heads", 3), ODD, torch.bfloat16), STEADY, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16 and (half.double() - exact).abs().mean() < 0.02


def test_a_recache_renews_the_region() -> None:
    """The frames that leave next are the recached ones; only the sink is of the old prompt."""
    cache = KVCache(find("heads:threshold=2", 3), ODD)
    play(cache, [3] * 5)
    cache.switch(SwitchMode.RECACHE)
    assert cache.open_again() == [11, 12, 13, 14]
    cache.begin_pass(first=True, clean=True)
    key = torch.zeros(2, 36, 2, 14)
    for layer in range(2):
        cache.attend(layer, key, key, key)
    cache.commit()
    cache.open_block(3)
    cache.begin_pass(first=True)
    # Keys are zero, so all tokens count alike, and so are all values but the sink's.
    out = cache.attend(0, key[:, :27], key[:, :27], key[:, :27])
    sink = next(passes([3], ODD))[1][0][2][:, :9]
    tokens = cache.occupancy()[Region.MID].tokens + 5 * 9
    close(out[:, 0], sink.sum(1) / tokens)


def test_bytes_stay() -> None:
    cache = KVCache(find("heads", 3), DOT)
    size = cache.nbytes
    soak(cache, DOT, 2_000)
    assert cache.nbytes == size and cache.frames == 6_000


def test_it_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Tensor) -> float:
        raise AssertionError("a tensor was read on the host")

    cache = KVCache(policy(part(threshold=0.1802, warm=2)), UNEVEN)
    blocks = list(passes(STEADY[:8], UNEVEN))
    for name in ("item", "tolist", "cpu", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(Tensor, name, refuse)
    for layers in blocks:
        cache.open_block(3)
        cache.begin_pass(first=True, clean=True)
        for layer, tensors in enumerate(layers[0]):
            cache.attend(layer, *tensors)
        cache.commit()


@pytest.mark.parametrize(
    "options", [{"patches": 0}, {"warm": 0}, {"share": 1.2}, {"threshold": -0.1}]
)
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    numbers = dict(patches=3, warm=3, share=0.33, threshold=0.8) | options
    with pytest.raises(ConfigError) as caught:
        part(**options)
    assert str(caught.value) == (
        "Patches and warm blocks are counted from 1, their share is 0 to 1, the threshold 0 or "
        "more; got {patches}, {warm}, {share} and {threshold}.".format(**numbers)
    )

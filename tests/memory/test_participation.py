"""Deep Forcing's compression against a list of tokens in float64, written from its text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, play, turned
from worldrt.memory.cache import KVCache
from worldrt.memory.participation import TokenBank
from worldrt.memory.policy import find
from worldrt.memory.slots import CacheShape, Region

MIXED = np.random.default_rng(3).integers(1, 4, 40).tolist()


Complex = NDArray[np.complex128]


class Token(NamedTuple):
    """One key of the bank."""

    key: Array
    """[H, D] raw."""
    value: Array
    cell: int
    """Which token of its frame it was."""


class Frame(NamedTuple):
    """A frame of one layer and sequence, raw, [F, H, D] each."""

    query: Array
    key: Array
    value: Array


class DeepList:
    """Sink, bank, recent frames and the block, counted from 0, for each layer and sequence.

    Args:
        shape: the model's numbers.
        sink, kept, recent, limit: frames of the policy's parts.
    """

    def __init__(self, shape: CacheShape, sink: int, kept: int, recent: int, limit: int) -> None:
        self.shape, self.sink, self.kept = shape, sink, kept
        self.most_recent, self.limit = recent, limit
        self.past: list[list[list[Frame]]] = []  # [frame][layer][batch]
        self.recent: list[int] = []
        self.banks: dict[tuple[int, int], list[Token]] = {}
        self.leaving: list[int] = []
        self.inside = 0
        self.size = 0
        self.first = False
        self.pending: list[list[Frame]] = []

    def open_block(self, frames: int) -> None:
        self.size, self.leaving = frames, []
        held = min(self.sink, len(self.past)) + self.inside + len(self.recent)
        gone = len(self.recent) - self.most_recent
        if gone > 0 and held + frames > self.limit:
            self.leaving, self.recent = self.recent[:gone], self.recent[gone:]
        self.inside = min(self.kept, self.inside + len(self.leaving))

    def begin_pass(self, *, first: bool = False, clean: bool = False) -> None:
        self.first, self.pending = first, []

    def commit(self) -> None:
        tokens = self.shape.tokens
        for index in range(self.size):
            here = slice(index * tokens, (index + 1) * tokens)
            cut = [[Frame(*(x[here] for x in one)) for one in row] for row in self.pending]
            self.past.append(cut)
            if len(self.past) > self.sink:
                self.recent.append(len(self.past) - 1)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows = [
            Frame(*(x[b].double().numpy() for x in (query, key, value))) for b in range(len(key))
        ]
        self.pending.append(rows)
        found = [self.one(layer, batch, block) for batch, block in enumerate(rows)]
        return torch.from_numpy(np.stack(found))

    def one(self, layer: int, batch: int, block: Frame) -> Array:
        sink = list(range(min(self.sink, len(self.past))))
        start = len(sink) + self.inside
        own = self.places(range(start + len(self.recent), start + len(self.recent) + self.size))
        if self.first and self.leaving:
            self.compress(layer, batch, block, own)
        bank = self.banks.get((layer, batch), [])
        where = [self.places(range(len(sink)))]
        where.append(self.token_places(bank, len(sink)))
        where.append(self.places(range(start, start + len(self.recent))))
        frames = [self.past[frame][layer][batch] for frame in (*sink, *self.recent)]
        keys = [f.key for f in frames[: len(sink)]] + [np.array([t.key for t in bank])] * bool(bank)
        keys += [f.key for f in frames[len(sink) :]] + [block.key]
        values = [f.value for f in frames[: len(sink)]]
        values += [np.array([t.value for t in bank])] * bool(bank)
        values += [f.value for f in frames[len(sink) :]] + [block.value]
        stood = np.concatenate([*where, own])
        logits = self.products(turned(block.query, own), turned(np.concatenate(keys), stood))
        weights = np.exp(logits / np.sqrt(self.shape.head_dim))
        weights /= weights.sum(-1, keepdims=True)
        return np.einsum("hls,shd->lhd", weights, np.concatenate(values))

    def compress(self, layer: int, batch: int, block: Frame, own: Array) -> None:
        """Top tokens by the summed logits of the recent frames' queries and the block's."""
        bank = self.banks.setdefault((layer, batch), [])
        for frame in self.leaving:
            _, key, value = self.past[frame][layer][batch]
            bank += [Token(k, v, i) for i, (k, v) in enumerate(zip(key, value, strict=True))]
        most = self.kept * self.shape.tokens
        if len(bank) <= most:
            return
        # Where all stood, side by side before the recent frames.
        frames = len(bank) // self.shape.tokens
        recent = self.recent[-self.most_recent :]
        first = own[0, 0] - len(recent)
        asked = turned(block.query, own).sum(0)
        for rank, frame in enumerate(recent):
            query = self.past[frame][layer][batch].query
            asked = asked + turned(query, self.places([first + rank])).sum(0)
        keys = turned(np.array([t.key for t in bank]), self.token_places(bank, first - frames))
        scores = np.einsum("hd,shd->s", asked, keys.conj()).real
        best = sorted(range(len(bank)), key=lambda index: (-scores[index], index))[:most]
        self.banks[layer, batch] = [bank[index] for index in sorted(best)]

    def places(self, times: Sequence[float]) -> Array:
        shape = self.shape
        grid = [(t, r, c) for t in times for r in range(shape.rows) for c in range(shape.columns)]
        return np.array(grid, np.float64).reshape(-1, 3)

    def token_places(self, bank: list[Token], start: float) -> Array:
        """A token's frame is that of its rank; row and column are its own."""
        columns, tokens = self.shape.columns, self.shape.tokens
        where = [
            (start + rank // tokens, token.cell // columns, token.cell % columns)
            for rank, token in enumerate(bank)
        ]
        return np.array(where, np.float64).reshape(-1, 3)

    def products(self, query: Complex, key: Complex) -> Array:
        return np.einsum("lhd,shd->hls", query, key.conj()).real


@pytest.mark.parametrize("sizes", [[3] * 30, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize("numbers", [(10, 2, 4, 21), (3, 1, 3, 12), (0, 3, 2, 11)])
def test_deep_is_what_its_text_says(sizes: list[int], numbers: tuple[int, int, int, int]) -> None:
    sink, kept, recent, limit = numbers
    spec = f"deep:sink={sink},tokens={kept},recent={recent},window={limit}"
    cache = KVCache(find(spec, 3), ODD)
    got, expected = play(cache, sizes), play(DeepList(ODD, *numbers), sizes)
    torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=0)
    assert cache.evicted > 3 * kept


def test_the_window_is_a_saw_tooth_from_21_to_16() -> None:
    """At blocks of 3: sink 10, tokens of 2 frames, recent 4, and the next block on top."""
    cache, held = KVCache(find("deep", 3), DOT), []
    for _ in range(12):
        play(cache, [3], DOT)
        cache.open_block(3)
        parts = cache.occupancy()
        held.append(sum(part.frames for part in parts.values()))
        cache.begin_pass(first=True, clean=True)
        cache.attend(0, *torch.zeros(3, 1, 3 * DOT.tokens, 1, DOT.head_dim))
        cache.commit()
    parts = cache.occupancy()
    assert held[:3] == [6, 12, 18] and set(held[3:]) == {19}
    assert (parts[Region.SINK].frames, parts[Region.MID].frames) == (10, 2)


def test_the_most_asked_for_tokens_stay_with_their_row_and_column() -> None:
    """Keys that all queries point at survive; the others go, wherever they lie in their frame."""
    shape = CacheShape(layers=1, heads=1, head_dim=6, rows=1, columns=3, block_frames=1)
    cache = KVCache(find("deep:sink=0,tokens=1,recent=1,window=3", 1), shape)
    asked = torch.tensor([0, 0, 1.0, 0, 0, 0])  # by row, which is the same for all
    values = iter(range(100))

    def step(loud: int | None) -> Tensor:
        key = torch.zeros(1, 3, 1, 6)
        if loud is not None:
            key[0, loud, 0] = 10 * asked
        value = torch.zeros(1, 3, 1, 6)
        value[..., 0] = torch.tensor([float(next(values)) for _ in range(3)])[:, None]
        query = asked.expand(1, 3, 1, 6)
        cache.open_block(1)
        cache.begin_pass(first=True)
        cache.attend(0, query, key, value)
        cache.begin_pass(clean=True)
        out = cache.attend(0, query, key, value)
        cache.commit()
        return out

    for loud in (2, 0, 1, None, None, None):
        out = step(loud)
    # Of frames 0 to 3 the loud ones are kept: values 2, 3 and 7, one of each frame.
    mid = cache._mid
    assert isinstance(mid, TokenBank)
    assert mid._values[0, 0, :1, :, 0, 0].flatten().tolist() == [2.0, 3.0, 7.0]
    assert torch.isfinite(out).all()

"""A bank of thinned blocks, recalled by prompt, against lists."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.list_cache import DOT, ODD, passes, play
from tests.slow_cache import Past, Piece, SlowCache, Told, close, logits, soak, softmax
from worldrt.errors import ConfigError
from worldrt.memory.cache import KVCache
from worldrt.memory.mass import thinned
from worldrt.memory.policy import Partition, Policy, find
from worldrt.memory.positions import Contiguous
from worldrt.memory.relocate import Patch
from worldrt.memory.semantic import Semantic
from worldrt.memory.slots import CacheShape, Note, Region

STEADY = [3] * 20
MIXED = np.random.default_rng(0).integers(1, 4, 30).tolist()


def notes(frames: int, seed: int = 0) -> list[Note]:
    """Prompts that return, some unknown."""
    random = np.random.default_rng(seed)
    prompts = random.normal(size=(5, 7)).astype(np.float32)
    which = random.integers(-1, 5, frames // 4 + 1).repeat(4)[:frames]
    return [Note(prompt=None if index < 0 else prompts[index]) for index in which]


def policy(bank: Semantic, sink: int, recent: int) -> Policy:
    partition = Partition(sink=sink, recent=recent)
    return Policy(name="semantic", partition=partition, positions=Contiguous(), mid=bank)


def part(sink: int, recent: int, **options: Any) -> Semantic:
    numbers: dict[str, Any] = dict(blocks=5, top=2, mass=0.9, share=0.6, sample=0)
    return Semantic(slots=sink + recent + 3, **numbers | options)


class SlowSemantic(SlowCache):
    """Stored blocks as lists of (frame, token)."""

    def __init__(self, bank: Semantic, shape: CacheShape, sink: int, recent: int) -> None:
        super().__init__(shape, sink, recent)
        self.part = bank
        self.most = max(1, round(bank.share * shape.block_frames * shape.tokens))
        self.weight: dict[tuple[int, int, int, int], float] = {}
        self.groups: list[list[int]] = []
        self.chosen: list[list[int]] = []

    def judge(self, layer: int, batch: int, block: Past) -> None:
        asking = thinned(len(block.query), self.part.sample)
        nothing = np.zeros((self.shape.heads, len(block.key)))
        own = Piece(block.key, block.value, self.block, nothing)
        mass = softmax(logits(block.query[asking], self.block[asking], own)).mean((0, 1))
        for index, weight in enumerate(mass):
            frame = self.done + index // self.shape.tokens
            self.weight[layer, batch, frame, index % self.shape.tokens] = weight

    def leave(self, frames: list[int]) -> None:
        self.groups = [*self.groups, frames][-self.part.blocks :]

    def open_block(self, frames: int, notes: Sequence[Note] = ()) -> None:
        super().open_block(frames, notes)
        now = self.about(range(self.done, self.done + frames))
        alike = [self.cosine(now, self.about(group)) for group in self.groups]
        best = sorted(range(len(alike)), key=lambda index: (-alike[index], index))
        self.chosen = [self.groups[index] for index in sorted(best[: self.part.top])]

    def about(self, frames: Sequence[int]) -> np.ndarray | None:
        known = [self.notes[frame].prompt for frame in frames]
        return next((one for one in known if one is not None), None)

    def cosine(self, one: np.ndarray | None, other: np.ndarray | None) -> float:
        if one is None or other is None:
            return 0.0
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))

    @property
    def after(self) -> float:
        """Where recent frames and block begin."""
        return float([*self.recent, self.done][0])

    def sink_first(self) -> float:
        sink = min(self._sink, self.done)
        return self.after - self.shape.block_frames * len(self.chosen) - sink

    def middle(self, layer: int, batch: int) -> list[Piece]:
        pieces = []
        for rank, group in enumerate(self.chosen):
            start = self.after - self.shape.block_frames * (len(self.chosen) - rank)
            for frame, tokens in self.kept(layer, batch, group).items():
                whole = self.frame(layer, batch, frame, start + frame - group[0])
                pieces.append(whole.pick(tokens))
        return pieces

    def kept(self, layer: int, batch: int, group: list[int]) -> dict[int, list[int]]:
        """Tokens by frame: the fewest that reach the mass, as far as there is room."""
        every = [(frame, token) for frame in group for token in range(self.shape.tokens)]
        weight = {key: self.weight[layer, batch, *key] for key in every}
        total, reached = sum(weight.values()), 0.0
        found: dict[int, list[int]] = {frame: [] for frame in group}
        for frame, token in sorted(every, key=lambda key: (-weight[key], key))[: self.most]:
            if reached >= self.part.mass * total:
                break
            reached += weight[frame, token]
            found[frame].append(token)
        return found


@pytest.mark.parametrize("sizes", [STEADY, MIXED], ids=["steady", "mixed"])
@pytest.mark.parametrize(
    "sink, recent, bank",
    [
        (0, 6, part(0, 6)),
        (2, 3, part(2, 3, mass=0.5, share=1.0)),
        (3, 4, part(3, 4, mass=1.0, share=0.3, sample=7)),
        (0, 0, part(0, 0, blocks=2, top=5, mass=0.97)),
        (1, 2, part(1, 2, top=1, mass=0.0, blocks=50)),
    ],
)
def test_bank_equals_list(sink: int, recent: int, bank: Semantic, sizes: list[int]) -> None:
    cache, oracle = KVCache(policy(bank, sink, recent), ODD), SlowSemantic(bank, ODD, sink, recent)
    told = notes(sum(sizes))
    close(play(Told(cache, told), sizes), play(Told(oracle, told), sizes))
    assert cache.evicted > 30
    assert cache.positions()[Region.SINK] == [oracle.sink_first() + one for one in range(sink)]


def test_blocks_of_the_same_prompt_are_recalled() -> None:
    """Values tell the block that they come from."""
    cache = KVCache(find("semantic:recent=0,top=2,share=1,mass=1", 1), DOT)
    scenes = [0, 1, 0, 2, 1, 0, 2, 1]
    recalled = []
    for index, scene in enumerate(scenes):
        cache.open_block(1, [Note(prompt=np.eye(3, dtype=np.float32)[scene])])
        cache.begin_pass(first=True, clean=True)
        nothing = torch.zeros(1, 2, 1, 6)
        out = cache.attend(0, nothing, nothing, torch.full((1, 2, 1, 6), 10.0**index))
        recalled.append(round(float(out[0, 0, 0, 0]) * min(index + 1, 3)))
        cache.commit()
    # Each block sees itself and the two before it that are most like it, else the oldest.
    assert recalled == [1, 11, 111, 1011, 10011, 100101, 1001001, 10010010]


def test_a_prompt_that_is_not_known_recalls_the_oldest() -> None:
    bank = part(0, 3, blocks=3)
    cache, oracle = KVCache(policy(bank, 0, 3), ODD), SlowSemantic(bank, ODD, 0, 3)
    close(play(cache, STEADY), play(oracle, STEADY))
    assert oracle.chosen == [oracle.groups[0], oracle.groups[1]]


def test_what_is_recalled_can_be_mended() -> None:
    """A patch that doubles values, and one that turns keys into others."""
    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(2, 2, 1, 2, 14, 3, generator=generator).mul(0.3)
    turn = Patch(down, up.mT)
    double = Patch(torch.eye(14).expand(2, 1, 2, 14, 14), torch.eye(14).expand(2, 1, 2, 14, 14))
    bank = Semantic(
        blocks=5, top=2, mass=0.9, share=0.6, sample=0, slots=6, key_patch=turn, value_patch=double
    )

    class Mended(SlowSemantic):
        def middle(self, layer: int, batch: int) -> list[Piece]:
            change = (down @ up.mT)[layer, 0].double().numpy()
            return [
                piece._replace(
                    key=piece.key + np.einsum("lhd,hde->lhe", piece.key, change),
                    value=2 * piece.value,
                )
                for piece in super().middle(layer, batch)
            ]

    cache, oracle = KVCache(policy(bank, 0, 3), ODD), Mended(bank, ODD, 0, 3)
    close(play(cache, STEADY), play(oracle, STEADY))


def test_a_bank_longer_than_history_is_the_unbounded_cache() -> None:
    sizes = [3] * 10
    cache = KVCache(find("semantic:blocks=9,top=9,share=1,mass=1", 3), ODD)
    close(play(cache, sizes), play(KVCache(find("full", 3), ODD), sizes), 2e-6)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    bank, told = part(2, 3), notes(sum(MIXED))
    both = play(Told(KVCache(policy(bank, 2, 3), ODD), told), MIXED)
    lone = CacheShape(layers=2, heads=2, head_dim=14, rows=3, columns=3, block_frames=3)
    for index in range(2):
        rows = slice(index, index + 1)
        alone = Told(KVCache(policy(bank, 2, 3), lone), told)
        close(both[rows], play(alone, MIXED, rows=rows))


def test_same_inputs_give_the_same_bits() -> None:
    one, two = (play(Told(KVCache(find("semantic", 3), ODD), notes(60)), STEADY) for _ in range(2))
    assert torch.equal(one, two)


def test_codes_and_half_precision() -> None:
    exact = play(KVCache(find("semantic", 3), ODD), STEADY)
    coded = play(KVCache(find("semantic:codec=int8", 3), ODD), STEADY)
    assert (coded - exact).abs().mean() < 0.02
    half = KVCache(find("semantic", 3), ODD, torch.bfloat16)
    out = play(half, STEADY, dtype=torch.bfloat16)
    assert out.dtype == torch.bfloat16 and (out.double() - exact).abs().mean() < 0.05


def test_bytes_stay() -> None:
    cache = KVCache(find("semantic", 3), DOT)
    size = cache.nbytes
    soak(cache, DOT, 2_000)
    assert cache.nbytes == size and cache.frames == 6_000
    assert cache.occupancy()[Region.MID].frames == 6


def test_it_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Tensor) -> float:
        raise AssertionError("a tensor was read on the host")

    cache, told = KVCache(policy(part(2, 3), 2, 3), ODD), notes(24)
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
        ({"blocks": 0}, "Blocks are stored and recalled from 1 up, got 0 and 2."),
        ({"top": 0}, "Blocks are stored and recalled from 1 up, got 5 and 0."),
        (
            {"mass": 1.1},
            "Attention mass is 0 to 1 and a share of tokens above 0 up to 1, got 1.1 and 0.6.",
        ),
        (
            {"share": 0.0},
            "Attention mass is 0 to 1 and a share of tokens above 0 up to 1, got 0.9 and 0.0.",
        ),
        ({"sample": -3}, "Queries are looked at from 1 up, or 0 for all, got -3."),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        part(0, 3, **options)
    assert str(caught.value) == sentence

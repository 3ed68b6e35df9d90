"""Scenes against a list of all frames: rolling sink, chosen tokens, fading recall frames."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.list_cache import DOT, ODD, Array, play
from tests.switches import Event, Pass, Switch, act, act_slowly, close, exact, grid, lone, seen
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import Policy, SwitchMode, find
from worldrt.memory.scene import RollingScene, Scenes
from worldrt.memory.slots import CacheShape, Note, Region

SMOOTH, HARD = Switch(SwitchMode.FLUSH, (0, 1)), Switch(SwitchMode.CUT, (1, 1))
BACK, KEEP = Switch(SwitchMode.RECALL, (0.2, 1)), Switch(SwitchMode.KEEP, (1, 0))
SIZES: list[int] = np.random.default_rng(2).integers(1, 4, 40).tolist()
STEADY: list[Event] = [3] * 24
MIXED: list[Event] = [*SIZES]
SWITCHED: list[Event] = [
    *([KEEP] + [3] * 3 + [SMOOTH] + [3] * 9 + [HARD] + [3] * 9 + [BACK] + [3] * 9),
    *([SMOOTH, HARD, BACK] + [3] * 2 + [KEEP] + [3] * 2),
]
CHOPPED: list[Event] = [
    *([SMOOTH] + SIZES[:1] + [SMOOTH] + SIZES[1:2] + [HARD] + SIZES[2:14] + [BACK]),
    *(SIZES[14:22] + [SMOOTH] + SIZES[22:]),
]


class Token(NamedTuple):
    """One that may be chosen."""

    key: Array
    value: Array
    frame: int
    row: int
    column: int


class Left(NamedTuple):
    """A scene that was left: [layer][batch] of keys and values, what it was about, and when."""

    frame: list[list[tuple[Array, Array]]]
    about: Array
    end: int


class ListScenes:
    """Slow and obvious: a list for the sink, a list of tokens, every number from its definition.

    Args:
        policy: read for its numbers only.
        shape: the model's numbers.
    """

    def __init__(self, policy: Policy, shape: CacheShape) -> None:
        assert isinstance(policy.mid, Scenes)
        self._part, self._policy, self._shape = policy.mid, policy, shape
        self._each = [(n, b) for n in range(shape.layers) for b in range(shape.batch)]
        self._frames: list[list[list[list[Array]]]] = []  # [frame][layer][batch]: q, k, v
        self._notes: list[Note] = []
        self._recent: list[int] = []
        self._recall: list[list[tuple[Array, Array]]] | None = None
        self._album: list[Left] = []
        self._last: list[int] = []  # frames of the last block
        self._begin((0.8, 0.95, 99))

    def _begin(self, fade: tuple[float, float, int]) -> None:
        self._begun, self._fade, self._age, self._jump, self._cut = len(self._frames), fade, 0, 0, 0
        self._sink: list[int | None] = [None] if self._recall else []  # None: the recall frame
        self._came = len(self._sink)
        self._swing = self._swings()
        self._tokens: dict[tuple[int, int], list[Token]] = {each: [] for each in self._each}
        self._uses: dict[tuple[int, int, int, int, int], int] = {}
        self._calibration: list[int] = []

    def _swings(self) -> Iterator[int]:
        first, count = self._begun, self._part.sink
        while True:
            yield from range(first, first + count)
            yield from range(first + count - 1, first - 1, -1)

    def _leave(self, frame: int) -> None:
        self._came += 1
        if frame < self._begun:
            self._sink.append(frame)
        elif len(self._sink) < self._part.sink:
            self._sink.append(next(self._swing))
            assert self._sink[-1] == frame
        else:
            for layer, batch in self._each:
                _, k, v = self._frames[frame][layer][batch]
                for t, (key, value) in enumerate(zip(k, v, strict=True)):
                    where = divmod(t, self._shape.columns)
                    self._tokens[layer, batch].append(Token(key, value, frame, *where))
        if self._came > self._part.sink + self._part.chosen:
            self._sink = [*self._sink[1:], next(self._swing)]

    def block(self, frames: int, note: Note, passes: Sequence[Pass]) -> Tensor:
        done, kept = len(self._frames), self._policy.partition.recent or 0
        while len(self._recent) > kept:
            self._leave(self._recent.pop(0))
        for layer, batch in self._each:
            self._choose(layer, batch)
        out = [
            self._one(n, frames, qkv, passes[0]) for each in passes for n, qkv in enumerate(each)
        ]
        tokens, clean = self._shape.tokens, passes[-1]
        whole = [[exact(qkv, b) for b in range(self._shape.batch)] for qkv in clean]
        for rank in range(frames):
            here = slice(rank * tokens, (rank + 1) * tokens)
            self._frames.append([[[x[here] for x in one] for one in layer] for layer in whole])
        self._last = list(range(done, done + frames))
        self._recent += self._last
        self._notes += [note] * frames
        if done - self._begun < self._part.calibration:
            self._calibration += self._last
        self._age, self._jump, self._cut = self._age + 1, 0, 0
        if self._age == self._fade[2] and self._sink[:1] == [None]:
            self._sink, self._came = self._sink[1:], self._came - 1
        return torch.cat(out, dim=1)

    def switch(self, switch: Switch) -> None:
        mode = switch.mode
        if mode is SwitchMode.KEEP:
            return
        kept = self._part.kept if mode is SwitchMode.FLUSH else 0
        self._recent = self._recent[len(self._recent) - min(kept, len(self._recent)) :]
        # The scene that is left is not among those that it is left for.
        before = self._album if mode is SwitchMode.RECALL else []
        if len(self._frames) > self._begun:
            self._recall = self._mixed()
            first = range(self._begun, min(len(self._frames), self._begun + self._part.sink))
            prompts = [self._notes[f].prompt for f in first]
            known = [prompt.astype(np.float64) for prompt in prompts if prompt is not None]
            about = np.sum([np.zeros(2), *known], axis=0)
            self._album = [*self._album, Left(self._recall, about, len(self._frames))]
            self._album = self._album[-self._part.scenes :]
        self._begin((0.8, 0.8, 1) if mode is SwitchMode.CUT else (0.8, 0.95, 99))
        self._cut = mode is SwitchMode.CUT
        if before:
            wanted = np.array(switch.about)
            found = max(before, key=lambda left: cosine(left.about, wanted))
            self._recall = found.frame
            self._begin((0.55, 0.9, 5))
            now = len(self._frames)
            self._jump = round(6 * (now - found.end) / now)

    def recached(self) -> int:
        return 0

    def recache(self, clean: Pass) -> Tensor:
        raise NotImplementedError

    def _mixed(self) -> list[list[tuple[Array, Array]]]:
        """0.9 of the first frame and 0.1 of three, by their tokens' affinity to the mean query."""
        found = [
            [(np.zeros(0), np.zeros(0))] * self._shape.batch for _ in range(self._shape.layers)
        ]
        stride = max(1, self._part.sink // 3)
        ranks = [f for f in (self._begun + stride * i for i in range(3)) if f < len(self._frames)]
        ranks = [f for f in ranks if f < self._begun + self._part.sink]
        for n, b in self._each:
            mean = np.concatenate([self._frames[f][n][b][0] for f in self._calibration]).mean(0)
            keys = np.stack([self._frames[f][n][b][1] for f in ranks])  # [R, L, H, D]
            values = np.stack([self._frames[f][n][b][2] for f in ranks])
            weights = np.exp((keys * mean).sum(-1).mean(-1))  # [R, L]
            weights = (weights / weights.sum(0))[..., None, None]
            key, value = (0.9 * x[0] + 0.1 * (weights * x).sum(0) for x in (keys, values))
            found[n][b] = (key, value)
        return found

    def _choose(self, layer: int, batch: int) -> None:
        tokens, room = self._tokens[layer, batch], self._part.chosen * self._shape.tokens
        if len(tokens) <= room:
            return
        used = [self._uses.get((layer, batch, *token[2:]), 0) for token in tokens]
        scores = [
            self._score(layer, batch, token) if uses < self._part.uses else -1e30 * uses
            for token, uses in zip(tokens, used, strict=True)
        ]
        order = sorted(range(len(tokens)), key=lambda i: (-scores[i], i))[:room]
        self._tokens[layer, batch] = [tokens[i] for i in sorted(order)]
        for i in order:
            self._uses[layer, batch, *tokens[i][2:]] = used[i] + 1

    def _score(self, layer: int, batch: int, token: Token) -> float:
        """As published, one head, frequency and distance after the other."""
        queries = paired(
            np.concatenate([self._frames[f][layer][batch][0] for f in self._calibration])
        )
        drifted = paired(np.concatenate([self._frames[f][layer][batch][0] for f in self._last]))
        key, total = paired(token.key), 0.0
        half, side = self._shape.head_dim // 2, self._shape.head_dim // 6
        time = half - 2 * side
        omega = np.zeros(half)
        omega[:time] = 10_000.0 ** (-np.arange(time) / time)
        now = len(self._frames)
        for head in range(self._shape.heads):
            mean, length = queries[:, head].mean(0), abs(queries[:, head]).mean(0)
            turned = cosine(apart(drifted[:, head].mean(0)), apart(mean))
            extra = (length - abs(mean)) * abs(key[head]) * np.exp(-3 * (1 - turned))
            phase = np.angle(mean * key[head].conj())
            for ahead in (1, 2, 4, 8, 16):
                distance = now - token.frame + ahead
                near = abs(mean) * abs(key[head]) * np.cos(distance * omega + phase)
                total += (near.sum() + extra.sum()) / 5
        return total / self._shape.heads

    def _one(
        self, layer: int, frames: int, qkv: tuple[Tensor, Tensor, Tensor], first: Pass
    ) -> Tensor:
        return torch.from_numpy(
            np.stack(
                [
                    self._seen(layer, b, frames, exact(qkv, b), exact(first[layer], b)[1])
                    for b in range(self._shape.batch)
                ]
            )
        )

    def _seen(
        self, layer: int, batch: int, frames: int, qkv: Sequence[Array], first: Array
    ) -> Array:
        q, k, v = qkv
        shape, tokens = self._shape, self._tokens[layer, batch]
        stored: list[tuple[Array, Array]] = []
        for frame in self._sink:
            if frame is None:
                assert self._recall is not None
                stored.append(self._recall[layer][batch])
            else:
                _, key, value = self._frames[frame][layer][batch]
                stored.append((key, value))
        where = [grid(range(len(self._sink)), shape)]
        for rank, token in enumerate(tokens):
            time = len(self._sink) + rank // shape.tokens
            where.append(np.array([[time, token.row, token.column]], np.float64))
            stored.append((token.key[None], token.value[None]))
        start = len(self._sink) + len(tokens) // shape.tokens + self._jump
        for frame in self._recent:
            _, key, value = self._frames[frame][layer][batch]
            stored.append((key, value))
        where.append(grid(range(start, start + len(self._recent)), shape))
        start = 45 if self._cut else start + len(self._recent)
        own = grid(range(start, start + frames), shape)
        keys, values = (np.concatenate(each) for each in zip(*stored, (k, v), strict=True))
        bias = np.zeros(len(keys))
        if self._sink[:1] == [None]:
            bias[: shape.tokens] = self._weights(stored[0][0], first[: shape.tokens])
        return seen(q, own, keys, values, np.concatenate([*where, own]), bias)

    def _weights(self, recalled: Array, current: Array) -> Array:
        """log w of the recall frame's tokens."""
        far = np.array([1 - cosine(a, b) for a, b in zip(recalled, current, strict=True)])
        share = (far - far.min()) / (far.max() - far.min())
        least, most, _ = self._fade
        return np.log(most - (most - least) * share)


def cosine(one: Array, two: Array) -> float:
    length = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / length) if length else 0.0


def paired(channels: Array) -> NDArray[np.complex128]:
    return channels[..., ::2] + 1j * channels[..., 1::2]


def apart(pairs: NDArray[np.complex128]) -> Array:
    return np.concatenate([pairs.real, pairs.imag])


SMALL = "echo:sink=4,chosen=2,recent=2,kept=1,uses=2"


@pytest.mark.parametrize(
    "spec, events",
    [
        ("echo", STEADY),
        ("echo", MIXED),
        ("echo", SWITCHED),
        ("echo", CHOPPED),
        (SMALL, STEADY),
        (SMALL, MIXED),
        (SMALL, [3, 3, SMOOTH, *[3] * 8]),
        ("echo:sink=4,chosen=0,recent=2", MIXED),
        ("echo:sink=1,chosen=3,recent=0,kept=0", MIXED),
        ("echo:kept=4", [3, SMOOTH, *[3] * 8]),
        ("echo:scenes=1", SWITCHED),
    ],
)
def test_scenes_equal_list(spec: str, events: list[Event]) -> None:
    policy = find(spec, 3)
    expected = act_slowly(ListScenes(policy, ODD), events, ODD)
    close(act(KVCache(policy, ODD), events, ODD), expected)


# By hand: a block of three frames whose values are their indices.


def step(cache: KVCache) -> None:
    open_step(cache)
    first = cache.frames
    frames = torch.arange(first, first + 3.0).repeat_interleave(2)
    block = frames[None, :, None, None].expand(1, 6, 1, 6).contiguous()
    for clean in (False, True):
        cache.begin_pass(first=not clean, clean=clean)
        # Its noisy pass brings -1, which must not be found later.
        cache.attend(0, block, block, block if clean else -torch.ones_like(block))
    cache.commit()


def open_step(cache: KVCache) -> None:
    cache.open_block(3, [Note(prompt=np.array([1, cache.frames], np.float32))] * 3)


def sink(cache: KVCache) -> list[float]:
    """Values of the sink's frames for the open block, first position first."""
    mid = cache._mid
    assert isinstance(mid, RollingScene)
    values = cache._rows.tail.values[0, 0, ::2, 0, 0].tolist()[:12]
    turn = mid._rolled % 12
    return values[turn:] + values[:turn]


def test_the_sink_rolls_as_published() -> None:
    cache = KVCache(find("echo", 3), DOT)
    for _ in range(7):
        step(cache)
    fifo = list(range(12))
    for start in range(21, 120, 3):
        rolled = start - 9
        reverse = rolled // 12 % 2 == 1
        end = 12 - rolled % 12
        source = range(end - 1, end - 4, -1) if reverse else range(rolled % 12, rolled % 12 + 3)
        fifo = [*fifo[3:], *source]
        open_step(cache)
        assert sink(cache) == fifo
        assert cache.positions()[Region.BLOCK] == [18, 19, 20]
        cache = rerun(cache)


def rerun(cache: KVCache) -> KVCache:
    """The cache after the block that is open."""
    block = torch.full((1, 6, 1, 6), float(cache.frames))
    cache.begin_pass(first=True, clean=True)
    cache.attend(0, block, block, block)
    cache.commit()
    return cache


def test_scenes_have_their_own_time() -> None:
    cache = KVCache(find("echo", 3), DOT)
    where = list[list[float]]()
    for mode in (SwitchMode.FLUSH, SwitchMode.CUT, SwitchMode.KEEP):
        for _ in range(9):
            step(cache)
        cache.switch(mode)
        for _ in range(2):
            open_step(cache)
            where.append(cache.positions()[Region.RECENT] + cache.positions()[Region.BLOCK])
            rerun(cache)
    # The recall frame at 0, the last two frames, the block; then the frames of the block as well.
    assert where[:2] == [[1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8]]
    # The recall frame, and the block far away; then it is gone.
    assert where[2:4] == [[45, 46, 47], [0, 1, 2, 3, 4, 5]]
    assert where[4:] == [[15, 16, 17, 18, 19, 20]] * 2


@pytest.mark.parametrize("begun, jump", [(0, 3), (30, 2)])
def test_recall(begun: int, jump: int) -> None:
    """Of two scenes left before the nearer one, as far away as it lies back: 6 at most."""
    cache = KVCache(find("echo", 3), DOT)
    for index in range(20):
        step(cache)
        if index in (9, 14):
            cache.switch(SwitchMode.FLUSH)
    # Prompts are (1, frame): a scene is about the mean of its first twelve.
    cache.switch(SwitchMode.RECALL, Note(prompt=np.array([1, begun + 4.5], np.float32)))
    open_step(cache)
    assert cache.positions()[Region.BLOCK] == [1 + jump, 2 + jump, 3 + jump]
    rerun(cache)
    values = list[float]()
    for _ in range(5):
        open_step(cache)
        values.append(sink(cache)[0])
        rerun(cache)
    # 0.9 of the scene's first frame, and 0.1 of the last candidate, whose keys are largest.
    assert values == pytest.approx([0.9 * begun + 0.1 * (begun + 8)] * 4 + [60])


def test_a_full_album_still_holds_what_is_asked_for() -> None:
    """With room for one scene, the one recalled makes room for the one that is left."""
    cache = KVCache(find("echo:scenes=1", 3), DOT)
    for index in range(20):
        step(cache)
        if index == 9:
            cache.switch(SwitchMode.FLUSH)
    cache.switch(SwitchMode.RECALL, Note(prompt=np.array([1, 4.5], np.float32)))
    open_step(cache)
    # Scene 0 was left at frame 30 of 60: half of the way back.
    assert cache.positions()[Region.BLOCK] == [4, 5, 6]
    assert sink(cache)[0] == pytest.approx(0.1 * 8)


def test_weights_of_the_recall_frame() -> None:
    cache = KVCache(find("echo", 3), ODD)
    sizes: list[Event] = [3] * 6
    act(cache, sizes, ODD)
    bias = cache._rows.tail.bias
    assert bias is not None and not bias.any()
    for mode, least, most, blocks in (
        (SwitchMode.FLUSH, 0.80, 0.95, 6),
        (SwitchMode.RECALL, 0.55, 0.90, 5),
        (SwitchMode.CUT, 0.80, 0.80, 1),
    ):
        cache.switch(mode)
        for _ in range(blocks):
            act(cache, [3], ODD)
            weights = bias[..., : ODD.tokens].exp()
            shape = (ODD.layers, ODD.batch, 1)
            torch.testing.assert_close(weights.amin(-1), torch.full(shape, least))
            torch.testing.assert_close(weights.amax(-1), torch.full(shape, most))
            assert not bias[..., ODD.tokens :].any()
        act(cache, [3], ODD)
        assert not bias.any()


def test_a_token_keeps_its_row_and_column() -> None:
    """Each chosen key is that of some frame's token, turned to its own place."""
    cache = KVCache(find("echo", 3), ODD)
    act(cache, STEADY, ODD)
    mid = cache._mid
    assert isinstance(mid, RollingScene)
    facts = mid._tokens._facts[:, :, : 3 * ODD.tokens]
    rope = Rope.of_grid(ODD.head_dim, ODD.rows, ODD.columns)
    table = rope.table([12, 13, 14]).reshape(3, ODD.tokens, -1)
    changed = 0
    for layer in range(ODD.layers):
        for batch in range(ODD.batch):
            frames, cells, _ = facts[layer, batch].unbind(-1)
            assert (frames * ODD.tokens + cells).diff().min() > 0  # in order, none twice
            ranks = torch.arange(27)
            own = table[ranks // 9, cells][:, None]
            expected = rotate(mid._tokens._keys[layer, batch, :27], own)
            there = cache._rows.tail.keys[layer, batch, 12 * ODD.tokens : 15 * ODD.tokens]
            torch.testing.assert_close(there, expected, atol=1e-6, rtol=0)
            changed += int((cells != ranks % 9).sum())
    assert changed > 20  # no regular grid
    assert (facts[0, ..., 0] != facts[1, ..., 0]).any()  # layers choose for themselves
    assert (facts[:, 0, :, 0] != facts[:, 1, :, 0]).any()  # so do sequences


# What is the same.


@pytest.mark.parametrize(
    "spec, sizes",
    [("echo", [3] * 7), ("echo", SIZES[:10]), ("echo:sink=200", SIZES), ("echo:chosen=90", SIZES)],
)
def test_a_short_history_is_kept(spec: str, sizes: list[int]) -> None:
    full = play(KVCache(find("full", 3), ODD), sizes)
    close(play(KVCache(find(spec, 3), ODD), sizes), full, 2e-6)


@pytest.mark.parametrize("frames", [1, 2, 4, 5])
def test_blocks_of_other_sizes(frames: int) -> None:
    shape = replace(ODD, block_frames=frames)
    policy = find("echo", frames)
    events: list[Event] = [*[frames] * 10, SMOOTH, *[frames] * 10, BACK, *[frames] * 3]
    expected = act_slowly(ListScenes(policy, shape), events, shape)
    close(act(KVCache(policy, shape), events, shape), expected)


def test_a_batch_is_its_sequences_side_by_side() -> None:
    policy = find("echo", 3)
    both = act(KVCache(policy, ODD), SWITCHED, ODD)
    for index in range(2):
        rows = slice(index, index + 1)
        close(both[rows], act(KVCache(policy, lone(ODD)), SWITCHED, ODD, rows))


def test_same_inputs_give_the_same_bits() -> None:
    one, two = (act(KVCache(find("echo", 3), ODD), CHOPPED, ODD) for _ in range(2))
    assert torch.equal(one, two)


def test_a_pass_that_is_begun_again() -> None:
    """A choice is made from what stood before the block, however often it is made."""
    one, two = (KVCache(find("echo", 3), ODD) for _ in range(2))
    for cache in (one, two):
        act(cache, STEADY[:9], ODD)
        cache.open_block(3)
    size = (ODD.batch, 27, ODD.heads, ODD.head_dim)
    block = torch.randn(size, generator=torch.Generator().manual_seed(0))
    for cache, passes in ((one, 2), (two, 4)):
        for index in range(passes):
            cache.begin_pass(first=index < passes - 1, clean=index == passes - 1)
            for layer in range(ODD.layers):
                cache.attend(layer, block, block, block)
        cache.commit()
    assert torch.equal(act(one, STEADY[:5], ODD), act(two, STEADY[:5], ODD))


def test_half_precision() -> None:
    """While everything is kept; later, choices differ."""
    policy = find("echo", 3)
    cache, sizes = KVCache(policy, ODD, torch.bfloat16), [3] * 7
    got = play(cache, sizes, dtype=torch.bfloat16)
    exactly = play(KVCache(policy, ODD), sizes)
    assert got.dtype == torch.bfloat16 and (got - exactly).abs().mean() < 0.01
    later = play(cache, [3] * 7, dtype=torch.bfloat16)
    cache.switch(SwitchMode.FLUSH)
    assert later.isfinite().all() and play(cache, [3], dtype=torch.bfloat16).isfinite().all()


@pytest.mark.parametrize("blocks", [400, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_long_rollout_in_constant_bytes(blocks: int) -> None:
    cache = KVCache(find("echo", 3), DOT)
    modes = [SwitchMode.FLUSH, SwitchMode.CUT, SwitchMode.RECALL]
    size, none = cache.nbytes, torch.ones(1, 6, 1, 6)
    for index in range(blocks):
        if index % 97 == 96:
            cache.switch(modes[index % 3], Note(prompt=np.array([1, index], np.float32)))
        open_step(cache)
        cache.begin_pass(first=True, clean=True)
        assert cache.attend(0, none, none, none).isfinite().all()
        cache.commit()
        assert cache.nbytes == size
    open_step(cache)
    assert cache.positions()[Region.BLOCK] == [18, 19, 20]


def test_beside_coded_frames() -> None:
    """While everything is kept; later, choices differ."""
    exactly = act(KVCache(find("echo", 3), ODD), [3] * 7, ODD)
    coded = act(KVCache(find("echo:codec=int8", 3), ODD), [3] * 7, ODD)
    assert (coded - exactly).abs().mean() < 0.01


def test_switches_before_anything_was_seen() -> None:
    """There is nothing to keep, to fade or to recall: the rollout is as if just begun."""
    policy = find("echo", 3)
    fresh = act(KVCache(policy, ODD), [3] * 3, ODD)
    cache = KVCache(policy, ODD)
    for mode in (SwitchMode.FLUSH, SwitchMode.RECALL):
        cache.switch(mode)
    assert torch.equal(act(cache, [3] * 3, ODD), fresh)


@pytest.mark.parametrize(
    "spec, says",
    [
        ("echo:sink=2", "Scenes need sink of at least 3, got 2."),
        ("echo:sink=0,kept=0", "Scenes need sink of at least 1, got 0."),
        ("echo:chosen=-1", "Scenes need chosen of at least 0, got -1."),
        ("echo:kept=-2", "Scenes need kept of at least 0, got -2."),
        ("echo:uses=0", "Scenes need uses of at least 1, got 0."),
        ("echo:scenes=0", "Scenes need scenes of at least 1, got 0."),
        ("echo:recent=-1", "counts frames from 0 up, got sink 0, recent -1"),
    ],
)
def test_numbers_that_are_too_small(spec: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(spec, 3)
    assert says in str(caught.value)

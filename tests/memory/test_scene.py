"""Scenes against a list of all frames: rolling sink, chosen tokens, fading recall frames."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
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
        if len(self._frames) > self._begun:
            self._recall = self._mixed()
            first = range(self._begun, min(len(self._frames), self._begun + self._part.sink))
            prompts = [self._notes[f].prompt for f in first]
            about = sum((p for p in prompts if p is not None), np.zeros(2))
            self._album = [*self._album, Left(self._recall, about, len(self._frames))]
            self._album = self._album[-self._part.scenes :]
        self._begin((0.8, 0.8, 1) if mode is SwitchMode.CUT else (0.8, 0.95, 99))
        self._cut = mode is SwitchMode.CUT
        if mode is SwitchMode.RECALL and self._album:
            wanted = np.array(switch.about)
            found = max(self._album, key=lambda left: cosine(left.about, wanted))
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
            self._score(layer, batch, token) if uses < self._part.uses else -np.inf
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
    return float((one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum()))


def paired(channels: Array) -> Array:
    return channels[..., ::2] + 1j * channels[..., 1::2]


def apart(pairs: Array) -> Array:
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
        ("echo:sink=1,chosen=3,recent=0", MIXED),
        ("echo:scenes=1", SWITCHED),
    ],
)
def test_scenes_equal_list(spec: str, events: list[Event]) -> None:
    policy = find(spec, 3)
    expected = act_slowly(ListScenes(policy, ODD), events, ODD)
    close(act(KVCache(policy, ODD), events, ODD), expected)

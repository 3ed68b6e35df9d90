"""Rollouts with switches between their blocks, for a cache and for a slow model of it, in float64.

A slow model is told a block at a time: it returns what the block's passes see and keeps its frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tests.list_cache import Array, turned
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import SwitchMode
from worldrt.memory.slots import CacheShape, Note

Pass = list[tuple[Tensor, Tensor, Tensor]]
"""Queries, keys and values [B, L, H, D] of each layer."""
PASSES = 3
"""Of a block; the last is the clean one."""


@dataclass(frozen=True)
class Switch:
    """A switch, to a prompt if one is given; the blocks that follow have it."""

    mode: SwitchMode
    about: tuple[float, ...] | None = None

    @property
    def note(self) -> Note:
        about = self.about
        return Note(prompt=None if about is None else np.array(about, np.float32))


Event = int | Switch
"""A block of so many frames, or a switch."""


class Slow(Protocol):
    """What a rollout needs of the slow model."""

    def block(self, frames: int, note: Note, passes: Sequence[Pass]) -> Tensor:
        """Outputs of a block's passes, side by side as tokens."""
        ...

    def switch(self, switch: Switch) -> None: ...

    def recached(self) -> int:
        """Frames that a recache would encode again."""
        ...

    def recache(self, clean: Pass) -> Tensor:
        """Outputs of a recache's pass."""
        ...


def act(
    cache: KVCache, events: Sequence[Event], shape: CacheShape, rows: slice = slice(None)
) -> Tensor:
    """Outputs of all passes, side by side as tokens.

    Args:
        shape: of the inputs.
        rows: which sequences of the batch the cache holds.
    """
    out, note = list[Tensor](), Note()

    def run(layers: Pass) -> None:
        for layer, tensors in enumerate(layers):
            out.append(cache.attend(layer, *(tensor[rows] for tensor in tensors)))

    for index, event in enumerate(events):
        if isinstance(event, int):
            cache.open_block(event, [note] * event)
            for which, layers in enumerate(_draw(index, PASSES, event, shape)):
                cache.begin_pass(first=which == 0, clean=which == PASSES - 1)
                run(layers)
            cache.commit()
            continue
        note = event.note
        cache.switch(event.mode, note)
        frames = cache.open_again() if event.mode is SwitchMode.RECACHE else []
        if frames:
            cache.begin_pass(first=True, clean=True)
            run(_draw(index, 1, len(frames), shape)[0])
            cache.commit()
    return torch.cat(out, dim=1)


def act_slowly(slow: Slow, events: Sequence[Event], shape: CacheShape) -> Tensor:
    """As `act`."""
    out, note = list[Tensor](), Note()
    for index, event in enumerate(events):
        if isinstance(event, int):
            out.append(slow.block(event, note, _draw(index, PASSES, event, shape)))
            continue
        note = event.note
        slow.switch(event)
        if event.mode is SwitchMode.RECACHE and slow.recached():
            out.append(slow.recache(_draw(index, 1, slow.recached(), shape)[0]))
    return torch.cat(out, dim=1)


def _draw(seed: int, passes: int, frames: int, shape: CacheShape) -> list[Pass]:
    size = (shape.batch, frames * shape.tokens, shape.heads, shape.head_dim)
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(passes, shape.layers, 3, *size, generator=generator)
    return [[(layer[0], layer[1], layer[2]) for layer in each] for each in found]


def lone(shape: CacheShape) -> CacheShape:
    """The shape with one sequence."""
    return replace(shape, batch=1)


def exact(tensors: Sequence[Tensor], batch: int) -> list[Array]:
    """One sequence in float64."""
    return [tensor[batch].double().numpy() for tensor in tensors]


def grid(times: Sequence[float], shape: CacheShape) -> Array:
    """Where the tokens of whole frames stand: frame, row, column [S, 3]."""
    cells = list(product(times, range(shape.rows), range(shape.columns)))
    return np.array(cells, np.float64).reshape(-1, 3)


def seen(
    query: Array, own: Array, key: Array, value: Array, where: Array, bias: Array | None = None
) -> Array:
    """What queries [L, H, D] at `own` [L, 3] see of raw keys [S, H, D] at `where` [S, 3]."""
    pairs = np.einsum("lhd,shd->hls", turned(query, own), turned(key, where).conj())
    logits = pairs.real / np.sqrt(query.shape[-1]) + (0 if bias is None else bias)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("hls,shd->lhd", weights, value)


def close(got: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    """Assert that they agree."""
    torch.testing.assert_close(got.double(), expected.double(), atol=atol, rtol=0)

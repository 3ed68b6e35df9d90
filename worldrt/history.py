"""Latents that are kept to write keys anew, and the ways to do it: recache, rebuild, coarse groups.

Only as many frames are kept as the policy asks for; most policies ask for none.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from worldrt.memory.cache import KVCache
from worldrt.memory.coarse import Coarse, Group
from worldrt.memory.policy import Policy
from worldrt.memory.slots import Note
from worldrt.model import TextKeys, Transformer
from worldrt.packing import packed_keys


class Past(NamedTuple):
    """Clean latent frames and what they were told."""

    latents: Tensor
    """[B, T, C, h, w]"""
    conditions: Tensor | None
    """[B, T, F, E]"""
    notes: tuple[Note, ...]
    """[T], or empty."""

    def frame(self, index: int) -> Self:
        """One frame, as a copy that keeps nothing else alive."""
        here = slice(index, index + 1)
        conditions = None if self.conditions is None else self.conditions[:, here].clone()
        return type(self)(self.latents[:, here].clone(), conditions, self.notes[here])

    @classmethod
    def join(cls, frames: Sequence[Self]) -> Self:
        """Frames side by side."""
        conditions = [one.conditions for one in frames if one.conditions is not None]
        return cls(
            torch.cat([one.latents for one in frames], dim=1),
            torch.cat(conditions, dim=1) if conditions else None,
            tuple(note for one in frames for note in one.notes),
        )


class History:
    """The latents of a rollout as far back as its policy asks.

    Args:
        policy: its recache and its rebuild.
        block_frames: the most frames of one pass that is not `at_once`.
    """

    def __init__(self, policy: Policy, block_frames: int) -> None:
        rebuild = policy.rebuild
        self._rebuild, self._size = rebuild, block_frames
        self._groups = policy.mid.groups if isinstance(policy.mid, Coarse) else ()
        self._most_first = rebuild.first if rebuild else 0
        fine = rebuild.last if rebuild else 0
        last = max(policy.switches.recache, fine + sum(group.frames for group in self._groups))
        self._first: list[Past] = []
        self._last: deque[Past] = deque(maxlen=last)
        self._count = 0

    def keep(self, block: Past) -> None:
        """Note a finished block."""
        if not self._last.maxlen and not self._most_first:
            return
        for index in range(block.latents.shape[1]):
            frame = block.frame(index)
            if len(self._first) < self._most_first:
                self._first.append(frame)
            self._last.append(frame)
        self._count += block.latents.shape[1]

    def recache(self, model: Transformer, cache: KVCache, text: list[TextKeys] | None) -> None:
        """Encode the last frames again, all in one clean pass, under another prompt."""
        frames = cache.open_again()
        if frames:
            write(model, cache, Past.join(list(self._last)[-len(frames) :]), text)

    def rebuild(self, model: Transformer, cache: KVCache, text: list[TextKeys] | None) -> None:
        """Write the whole context anew, if the policy does so."""
        rebuild = self._rebuild
        if rebuild is None or not self._count:
            return
        kept = list(self._last)
        older, fine = kept[: -rebuild.last], kept[-rebuild.last :]
        frames = [*self._first[: self._count - len(fine)], *fine]
        cache.rewind(len(frames))
        for group, chosen in reversed(self._grouped(older)):
            _offer(model, cache, Past.join(chosen), group, text)
        step = len(frames) if rebuild.at_once else self._size
        for first in range(0, len(frames), step):
            block = Past.join(frames[first : first + step])
            cache.open_block(block.latents.shape[1], block.notes)
            write(model, cache, block, text)

    def _grouped(self, older: list[Past]) -> list[tuple[Group, list[Past]]]:
        """Frames by group, newest group first; cells are whole, so an odd oldest frame is left."""
        found: list[tuple[Group, list[Past]]] = []
        for group in self._groups:
            count = min(group.frames, len(older)) // group.time * group.time
            if count:
                found.append((group, older[-count:]))
                older = older[:-count]
        return found


def write(
    model: Transformer, cache: KVCache, block: Past, text: list[TextKeys] | None, first: bool = True
) -> None:
    """The clean pass of what is open in the cache; `first`: it is the block's only one."""
    cache.begin_pass(first=first, clean=True)
    levels = torch.zeros(block.latents.shape[:2], device=block.latents.device)
    model(block.latents, levels, cache, block.conditions, text)
    cache.commit()


def _offer(
    model: Transformer, cache: KVCache, past: Past, group: Group, text: list[TextKeys] | None
) -> None:
    """Encode frames coarsely, seeing each other alone, for the mid partition."""
    frames, patch = past.latents.shape[1], model.config.patch
    rows, columns = (length // patch for length in past.latents.shape[-2:])
    grid = group.grid(frames, rows, columns)
    cells = (len(grid.frames), len(grid.rows), len(grid.columns))
    pooled = adaptive_avg_pool3d(
        past.latents.transpose(1, 2), (cells[0], cells[1] * patch, cells[2] * patch)
    )
    tokens = model.embed(pooled.transpose(1, 2))
    if past.conditions is not None:
        maps = rearrange(past.conditions, "B T (h w) E -> B E T h w", h=rows)
        tokens = tokens + rearrange(adaptive_avg_pool3d(maps, cells), "B E T h w -> B T (h w) E")
    keys = packed_keys(model, tokens.flatten(1, 2), grid, text)
    cache.offer(range(cache.frames - frames, cache.frames), grid, keys.raw, keys.value)

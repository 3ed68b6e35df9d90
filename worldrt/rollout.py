"""Blocks of latents from a transformer behind a cache: the engine that a session drives.

A block is opened, denoised in a few steps and committed. Its clean pass runs in one forward with
the next block's first step where that is exact.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.config import Prediction
from worldrt.errors import CacheError
from worldrt.history import History, Past, write
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import SwitchMode
from worldrt.memory.slots import Note
from worldrt.model import TextKeys, Transformer
from worldrt.packing import packed_keys
from worldrt.sampler import Step, sample, to_clean

Draw = Callable[[int], Tensor]
"""Frames -> [B, frames, C, h, w] fresh standard noise."""
Pack = Callable[[Tensor], Tensor]
"""A block's clean latents [B, T, C, h, w] -> packed tokens [B, P, E]."""


MOST_GIVEN = 16
"""Latent frames that are kept to be given to another cache; one block always is."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a switch."""

    mode: SwitchMode
    block: int
    """The block, from 0, in which it took effect: the next one that is generated."""


@dataclass(frozen=True, slots=True)
class PolicyReceipt:
    """What became of a change of cache policy."""

    policy: str
    """As it was asked for."""
    block: int
    """The first block under it."""


class Told(NamedTuple):
    """What a block is told besides its noise; made once for all its passes."""

    conditions: Tensor | None = None
    """[B, T, F, E] from `Transformer.read_conditions`."""
    hint: Tensor | None = None
    """[B, T, C, h, w] what a residual is relative to."""
    notes: tuple[Note, ...] = ()
    """[T] what the cache may know of its frames."""


NOTHING = Told()


class Rollout:
    """A walk of latents; the model is shared, everything else is its own.

    Args:
        model: the transformer.
        cache: empty.
        steps: denoising steps, from sigma 1 down.
        prediction: what the model returns.
        text: the prompt, from `Transformer.read_text`; None: the model takes none.
        pack: the world's learned packer, where the cache was opened with one.
    """

    def __init__(
        self,
        model: Transformer,
        cache: KVCache,
        steps: Sequence[Step],
        prediction: Prediction,
        text: list[TextKeys] | None = None,
        pack: Pack | None = None,
    ) -> None:
        self.cache = cache
        self.blocks = 0
        """Blocks generated so far; given ones are not counted."""
        self._model, self._steps = model, tuple(steps)
        self._prediction: Prediction = prediction
        self._text, self._pack = self._narrowed(text), pack
        self._history = History(cache.policy, cache.shape.block_frames)
        most = max(1, MOST_GIVEN // cache.shape.block_frames)
        self._last: deque[Past] = deque(maxlen=most)  # finished blocks, for `under`
        self._open: Past | None = None
        self._late: Past | None = None

    def generate(self, draw: Draw, frames: int, told: Told = NOTHING) -> Tensor:
        """Denoise the next block; `commit` ends it.

        Args:
            draw: fresh noise; called once a step, in order.
            frames: latent frames of the block.
            told: conditions, hint and notes.

        Returns:
            [B, T, C, h, w] clean latents.

        Raises:
            CacheError: the block before was not committed.
        """
        if self._open is not None:
            raise CacheError("A generated block is open; commit it first.")
        state = self.cache.policy.state
        self._history.rebuild(self._model, self.cache, self._text)
        self.cache.open_block(frames, told.notes)
        conditions, hint = _repeat(told.conditions, state), _repeat(told.hint, state)

        passes = iter(range(len(self._steps)))

        def denoise(noisy: Tensor, step: Step, first: bool) -> Tensor:
            self.cache.begin_pass(first=first, progress=next(passes) / len(self._steps))
            output = self._pass(noisy, step.timestep, conditions)
            return to_clean(output, self._prediction, noisy, step.sigma, hint)

        latents = sample(denoise, self._steps, lambda: draw(state + frames))
        self._open = Past(latents, conditions, told.notes)
        self.blocks += 1
        return latents[:, state:]

    def commit(self) -> None:
        """Write the generated block's keys, or leave that for the next block's first step.

        Raises:
            CacheError: none was generated.
        """
        if self._open is None:
            raise CacheError("There is no generated block to commit; generate one first.")
        block, self._open = self._open, None
        shown = self._shown(block)
        self._offer(shown)
        if self.cache.fuses:
            self._late = block
            self.cache.commit(late=True)
        elif self.cache.policy.rebuild is not None:
            self.cache.commit(late=True)  # its keys are written when the context is rebuilt
        else:
            write(self._model, self.cache, block, self._text, first=False)
        self._history.keep(shown)
        self._last.append(shown)

    def give(self, latents: Tensor, told: Told = NOTHING) -> None:
        """Walk frames that are given: their clean pass alone, as if they had been generated.

        Args:
            latents: [B, T, C, h, w] clean.
            told: conditions and notes.
        """
        self.settle()
        state, given = self.cache.policy.state, Past(latents, told.conditions, told.notes)
        self.cache.open_block(latents.shape[1], told.notes)
        self._offer(given)
        block = Past(_with(latents, state), _repeat(told.conditions, state), told.notes)
        write(self._model, self.cache, block, self._text)
        self._history.keep(given)
        self._last.append(given)

    def under(self, cache: KVCache) -> "Rollout":
        """The same walk with another cache, which is given the last blocks; this one is over.

        They are the last MOST_GIVEN frames, without those that a switch has made forgotten. What an
        error leaves is this one, as it was.

        Args:
            cache: empty.

        Raises:
            CacheError: a generated block is open.
        """
        if self._open is not None:
            raise CacheError("A generated block is open; commit it first.")
        other = Rollout(self._model, cache, self._steps, self._prediction, self._text, self._pack)
        for past in self._last:
            other.give(past.latents, Told(past.conditions, notes=past.notes))
        other.blocks = self.blocks
        return other

    def give_sink(self, latents: Tensor, told: Told = NOTHING) -> None:
        """Write the sink anew from frames seen ahead, for a policy that looks ahead.

        Args:
            latents: [B, lookahead, C, h, w] clean.
            told: conditions.
        """
        self.settle()
        self.cache.open_sink()
        write(self._model, self.cache, Past(latents, told.conditions, ()), self._text)

    def recall(self, latents: Tensor, told: Told = NOTHING) -> None:
        """Bring past frames back into the context, in the place of those recalled before.

        Args:
            latents: [B, R, C, h, w] clean, in the order in which they are to stand; R = 0: none.
            told: conditions.

        Raises:
            CacheError: the cache was not opened for so many.
        """
        self.settle()
        self.cache.open_spatial(latents.shape[1])
        if latents.shape[1]:
            write(self._model, self.cache, Past(latents, told.conditions, ()), self._text)

    def switch(
        self, mode: SwitchMode, text: list[TextKeys] | None = None, note: Note | None = None
    ) -> Receipt:
        """Change prompt or scene between two blocks.

        Args:
            mode: what becomes of the cache.
            text: the new prompt, under which recalled frames are forgotten unless everything is
                kept; None: as before.
            note: of the scene to recall.

        Raises:
            ConfigError: the policy does not support the mode; nothing has changed.
        """
        self.cache.policy.check_switch(mode)
        self.settle()
        self._text = self._text if text is None else self._narrowed(text)
        self.cache.switch(mode, note)
        if mode in (SwitchMode.FLUSH, SwitchMode.CUT, SwitchMode.RECALL):
            self._forget(self.cache.policy.switches.kept(mode))
        if text is not None and mode is not SwitchMode.KEEP:
            self.cache.open_spatial(0)  # recalled keys were written under the old prompt
        if mode is SwitchMode.RECACHE:
            self._history.recache(self._model, self.cache, self._text)
        return Receipt(mode, self.blocks)

    def settle(self) -> None:
        """Run the clean pass that is still to run, under the prompt that its block had."""
        if self._late is not None:
            late, self._late = self._late, None
            self.cache.reopen_late()
            write(self._model, self.cache, late, self._text)

    # Inside.

    def _pass(self, noisy: Tensor, timestep: float, conditions: Tensor | None) -> Tensor:
        """One forward over a block, the late one's clean tokens before it; returns the block's."""
        late, self._late = self._late, None
        levels = torch.full(noisy.shape[:2], timestep, device=noisy.device)
        if late is None:
            return self._model(noisy, levels, self.cache, conditions, self._text)
        clean = torch.zeros(late.latents.shape[:2], device=noisy.device)
        if conditions is not None and late.conditions is not None:
            conditions = torch.cat([late.conditions, conditions], dim=1)
        output = self._model(
            torch.cat([late.latents, noisy], dim=1),
            torch.cat([clean, levels], dim=1),
            self.cache,
            conditions,
            self._text,
        )
        return output[:, late.latents.shape[1] :]

    def _narrowed(self, text: list[TextKeys] | None) -> list[TextKeys] | None:
        """The prompt, its words hidden where the policy passes over those that matter to none."""
        planes = self.cache.prompt_planes
        return text and [layer._replace(planes=planes) for layer in text]

    def _forget(self, kept: int) -> None:
        """Give another cache no block but those that the last `kept` frames are of."""
        while self._last and sum(past.latents.shape[1] for past in list(self._last)[1:]) >= kept:
            self._last.popleft()

    def _shown(self, block: Past) -> Past:
        """The block without its state frames."""
        state = self.cache.policy.state
        conditions = None if block.conditions is None else block.conditions[:, state:]
        return Past(block.latents[:, state:], conditions, block.notes)

    def _offer(self, block: Past) -> None:
        """Pack the block with the world's packer; its tokens lie ready for when it leaves."""
        packer = self.cache.packer
        if packer is not None and self._pack is not None:
            shape = self.cache.shape
            first, count = self.cache.frames, block.latents.shape[1]
            grid = packer.grid(count, shape.rows, shape.columns)
            tokens = self._pack(block.latents)
            keys = packed_keys(self._model, tokens, grid, self._text)
            self.cache.offer(range(first, first + count), grid, keys.raw, keys.value)


def _repeat(block: Tensor | None, state: int) -> Tensor | None:
    """State frames are told what the block's first frame is told, [B, state + T, ...]."""
    return None if block is None else _with(block, state)


def _with(block: Tensor, state: int) -> Tensor:
    if not state:
        return block
    return torch.cat([block[:, :1].expand(-1, state, *block.shape[2:]), block], dim=1)

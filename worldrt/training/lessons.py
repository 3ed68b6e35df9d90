"""Lessons for a packer: what a world makes of three blocks, and what is left without the first.

The world predicts the last block from pure noise in one step with both others as context: the
teacher. A student predicts it with something else in the first block's place. The second block's
keys stay as they were, because they are in the cache already when an older block is packed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.config import Prediction
from worldrt.kernels.attention import attend
from worldrt.kernels.rope import Rope, rotate
from worldrt.memory.compress import Grid
from worldrt.packing import BlockKeys, Overhearing
from worldrt.sampler import TIMESTEPS, to_clean
from worldrt.training.samples import BLOCKS, Sample
from worldrt.training.trainer import BlockCausalContext
from worldrt.world import World


class Answer(NamedTuple):
    """A predicted last block."""

    clean: Tensor
    """[B, T, C, h, w]"""
    mixed: Tensor
    """[N, B, L, H, D] what attention returned in every layer."""


class Lesson(NamedTuple):
    """The teacher's answer, and what it had to go by."""

    latents: Tensor
    """[B, T, C, h, w] clean, of the first block."""
    first: BlockKeys
    second: BlockKeys
    noise: Tensor
    """[B, T, C, h, w] that the last block is made of."""
    conditions: Tensor
    """[B, T, F, E] of the last block."""
    hint: Tensor
    """[B, T, C, h, w] of the last block."""
    truth: Tensor
    """[B, T, C, h, w] the last block as it was."""
    answer: Answer


class Teacher:
    """Gives lessons in a world.

    Args:
        world: unchanged but for its device.
        device: where lessons are given.
    """

    def __init__(self, world: World, device: torch.device) -> None:
        config = world.config
        self.model, self.codec = world.model.to(device), world.codec.to(device)
        self._size = config.block_frames
        self._kind: Prediction = config.sampler.prediction
        rope = Rope.of_grid(config.model.head_dim, *config.token_size)
        self._table = rope.table(range(BLOCKS * self._size), device)
        self._tokens = self._size * rope.tokens
        self._device = device

    @torch.no_grad()
    def teach(self, sample: Sample, generator: torch.Generator) -> Lesson:
        """Predict the last block of each sample from all that came before.

        Args:
            sample: a batch.
            generator: on the CPU, draws the noise.
        """
        size, tokens = self._size, self._tokens
        noise = torch.randn(sample.clean[:, -size:].shape, generator=generator)
        sample, noise = sample.to(self._device), noise.to(self._device)
        latents = torch.cat([sample.clean[:, :-size], noise], dim=1)
        levels = torch.zeros(latents.shape[:2], device=self._device)
        levels[:, -size:] = TIMESTEPS
        conditions = self.model.read_conditions(sample.camera, sample.spatial)
        assert conditions is not None  # a world's model takes both
        heard = Overhearing(BlockCausalContext(self._table, tokens))
        output = self.model(latents, levels, heard, conditions)[:, -size:]
        raw, value = heard.keys
        hint = sample.hint[:, -size:]
        return Lesson(
            latents=sample.clean[:, :size],
            first=BlockKeys(raw[:, :, :tokens], value[:, :, :tokens]),
            second=BlockKeys(raw[:, :, tokens:-tokens], value[:, :, tokens:-tokens]),
            noise=noise,
            conditions=conditions[:, -size:],
            hint=hint,
            truth=sample.clean[:, -size:],
            answer=Answer(
                to_clean(output, self._kind, noise, 1.0, hint), heard.mixed[:, :, -tokens:]
            ),
        )

    def ask(self, lesson: Lesson, first: BlockKeys | None, grid: Grid) -> Answer:
        """Predict the last blocks with something else in the first ones' place.

        Args:
            lesson: what was taught.
            first: keys and values; None: nothing.
            grid: where they stand.
        """
        second, own = self._table[self._tokens :].split(self._tokens)
        seen = [(rotate(lesson.second.raw, second), lesson.second.value)]
        if first is not None:
            rope = Rope(self.model.config.head_dim, grid.rows, grid.columns)
            packed = rope.table(grid.frames, self._device)
            seen.append((rotate(first.raw, packed), first.value))
        keys, values = (torch.cat(parts, dim=2) for parts in zip(*seen, strict=True))
        heard = Overhearing(_After(keys, values, own))
        levels = torch.full(lesson.noise.shape[:2], float(TIMESTEPS), device=self._device)
        output = self.model(lesson.noise, levels, heard, lesson.conditions)
        return Answer(to_clean(output, self._kind, lesson.noise, 1.0, lesson.hint), heard.mixed)


class _After:
    """A `Context` of finished blocks, already rotated, and the block itself.

    Args:
        keys, values: [N, B, S, H, D] of the finished blocks.
        table: [L, 1, D / 2] rotary table of the block.
    """

    def __init__(self, keys: Tensor, values: Tensor, table: Tensor) -> None:
        self._keys, self._values, self._table = keys, values, table

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        keys = torch.cat([self._keys[layer], rotate(key, self._table)], dim=1)
        values = torch.cat([self._values[layer], value], dim=1)
        return attend(rotate(query, self._table), keys, values)

"""The loop that one would write first, with the same weights: what ours is compared with.

As published loops do it: keys are kept per layer, everything in the context is put together anew in
each pass, rotation is done in float64, and the clean pass is a pass of its own.
"""

import torch
from torch import Tensor

from worldrt.bench.speed.subject import Subject
from worldrt.kernels.attention import attend
from worldrt.kernels.rope import Rope
from worldrt.rollout import Told
from worldrt.sampler import Step, sample, to_clean


class PlainContext:
    """Keys and values of the last frames, as lists that grow and are cut.

    Args:
        subject: whose layers they belong to.
        frames: latent frames that are kept besides the block.
    """

    def __init__(self, subject: Subject, frames: int) -> None:
        layers = subject.model.config.num_layers
        self._tokens = subject.rows * subject.columns
        self._most = frames * self._tokens
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._rope = Rope.of_grid(subject.model.config.head_dim, subject.rows, subject.columns)
        self._first = 0
        self._block = subject.block_frames
        self.clean = False
        """Whether the pass's keys stay."""

    def next_block(self) -> None:
        """The block is done."""
        self._first += self._block

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend; see `Context`."""
        table = self._rope.table(range(self._first, self._first + self._block), query.device)
        query, key = _rotate(query, table), _rotate(key, table)
        old_key, old_value = self._keys[layer], self._values[layer]
        keys = key if old_key is None else torch.cat([old_key, key], dim=1)
        values = value if old_value is None else torch.cat([old_value, value], dim=1)
        mixed = attend(query, keys, values)
        if self.clean:
            self._keys[layer] = keys[:, -self._most :].clone()
            self._values[layer] = values[:, -self._most :].clone()
        return mixed


class PlainLoop:
    """A walk of latents as one would write it first.

    Args:
        subject: model and steps.
        frames: latent frames of context.
    """

    def __init__(self, subject: Subject, frames: int) -> None:
        self._subject = subject
        self._context = PlainContext(subject, frames)
        self._text = None if subject.prompt is None else subject.model.read_text(subject.prompt)

    def block(self, told: Told) -> Tensor:
        """The next block's clean latents, [1, T, C, h, w]."""
        subject = self._subject

        def denoise(noisy: Tensor, step: Step, first: bool) -> Tensor:
            del first
            output = self._pass(noisy, step.timestep, told.conditions)
            return to_clean(output, subject.prediction, noisy, step.sigma, told.hint)

        clean = sample(denoise, subject.steps, lambda: subject.draw(subject.block_frames))
        self._context.clean = True
        self._pass(clean, 0.0, told.conditions)
        self._context.clean = False
        self._context.next_block()
        return clean

    def _pass(self, latents: Tensor, timestep: float, conditions: Tensor | None) -> Tensor:
        levels = torch.full(latents.shape[:2], timestep, device=latents.device)
        return self._subject.model(latents, levels, self._context, conditions, self._text)


def _rotate(raw: Tensor, table: Tensor) -> Tensor:
    """As `rope.rotate`, in float64."""
    pairs = torch.view_as_complex(raw.double().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table.to(torch.complex128)).flatten(-2).type_as(raw)

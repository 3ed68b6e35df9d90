"""Few-step flow matching: a block of noise becomes a block of clean latents.

A latent at noise level sigma is (1 - sigma) clean + sigma noise. Each step predicts the clean
block; all but the last mix it with fresh noise at the next level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worldrt.config import Prediction, SamplerConfig, check

TIMESTEPS = 1000
"""Timesteps of the training schedule; a timestep is 1000 sigma."""


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: what the model is told, and how much noise there is."""

    timestep: float
    sigma: float


MOST_STEPS = 100
"""Steps that may be asked for."""


def steps_of(config: SamplerConfig, count: int | None = None) -> tuple[Step, ...]:
    """The steps of a world of ours: timestep = 1000 sigma.

    Args:
        config: the world's own steps.
        count: other ones, 1 to MOST_STEPS, at even distances from 1 to 1 / count, which is the
            schedule of shift 1; None, or as many as the world has: its own.

    Raises:
        ConfigError: count is out of range.
    """
    sigmas = config.sigmas
    if count is not None:
        check(
            1 <= count <= MOST_STEPS,
            f"A block is denoised in 1 to {MOST_STEPS} steps, got {count}.",
        )
        if count != len(sigmas):
            sigmas = tuple((count - index) / count for index in range(count))
    return tuple(Step(TIMESTEPS * sigma, sigma) for sigma in sigmas)


class FlowSchedule:
    """Tables of shifted noise levels, in float32 as the published weights were trained with them.

    Args:
        shift: > 0; 1 is linear, 5 spends more steps at high noise.
        steps: number of levels.
        sigma_min: the last level before shifting.
        extra_step: whether the table stops one step short of sigma_min.

    Source: Wan2.1 and Self-Forcing (arXiv 2506.08009), released FlowMatchScheduler.
    """

    def __init__(
        self,
        shift: float,
        steps: int = TIMESTEPS,
        sigma_min: float = 0.0,
        extra_step: bool = True,
    ) -> None:
        count = steps + 1 if extra_step else steps
        linear = torch.linspace(1.0, sigma_min, count)[:steps]
        self.sigmas = shift * linear / (1 + (shift - 1) * linear)
        self.timesteps = self.sigmas * TIMESTEPS

    def index(self, timestep: Tensor) -> Tensor:
        """Nearest entry for each timestep, [...] -> [...] integers; 0 maps to the last one."""
        distance = (self.timesteps.double() - timestep.double().unsqueeze(-1)).abs()
        return distance.argmin(-1)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise level of each timestep, [...]."""
        return self.sigmas[self.index(timestep)]

    def warp(self, timesteps: Sequence[int]) -> Tensor:
        """Whole timesteps of an unshifted list (1000, 750, ...) to this schedule's, [n] float32."""
        table = torch.cat([self.timesteps, self.timesteps.new_zeros(1)])
        return table[TIMESTEPS - torch.tensor(timesteps)]

    def steps(self, timesteps: Sequence[int]) -> tuple[Step, ...]:
        """The denoising steps of a published list of timesteps, for example 1000, 750, 500, 250."""
        warped = self.warp(timesteps)
        pairs = zip(warped.tolist(), self.sigma(warped).tolist(), strict=True)
        return tuple(Step(timestep, sigma) for timestep, sigma in pairs)


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Mix to noise level `sigma` (broadcast to the latents)."""
    return (1 - sigma) * clean + sigma * noise


def flow_to_clean(noisy: Tensor, flow: Tensor, sigma: Tensor | float) -> Tensor:
    """Clean latents from a predicted flow (noise - clean), computed in float64."""
    return (noisy.double() - sigma * flow.double()).type_as(flow)


def clean_to_flow(noisy: Tensor, clean: Tensor, sigma: Tensor | float) -> Tensor:
    """Flow (noise - clean) from clean latents, computed in float64; sigma > 0."""
    return ((noisy.double() - clean.double()) / sigma).type_as(clean)


def to_clean(
    output: Tensor, prediction: Prediction, noisy: Tensor, sigma: float, hint: Tensor | None
) -> Tensor:
    """Clean latents from what the network returned.

    Args:
        output: [B, T, C, h, w].
        prediction: what the output is.
        noisy: [B, T, C, h, w] the network's input.
        sigma: its noise level.
        hint: [B, T, C, h, w] what a residual is relative to.
    """
    match prediction:
        case "flow":
            return flow_to_clean(noisy, output, sigma)
        case "clean":
            return output
        case "residual":
            assert hint is not None
            return output + hint


def sample(
    denoise: Callable[[Tensor, Step, bool], Tensor],
    steps: Sequence[Step],
    draw: Callable[[], Tensor],
) -> Tensor:
    """Denoise one block.

    Args:
        denoise: (noisy latents, step, whether it is the first) -> clean latents.
        steps: from pure noise (sigma 1) down.
        draw: fresh standard noise of the block's shape; called once a step, in order.

    Returns:
        [B, T, C, h, w] clean latents.

    Source: Self-Forcing (arXiv 2506.08009) algorithm 1, few-step sampling with re-noising.
    """
    clean = denoise(draw(), steps[0], True)
    for step in steps[1:]:
        clean = denoise(add_noise(clean, draw(), step.sigma), step, False)
    return clean

"""One step of a world's training: noise levels, loss, descent, and the averaged weights.

The loss is the squared error of the predicted clean latents, weighted back to image units. Context
blocks are clean or nearly so most of the time, as they are when the world runs; else every block is
a target, each at its own noise level.

Source: Flow Matching (arXiv 2210.02747); Diffusion Forcing (arXiv 2407.01392).
"""

import logging
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldrt.codec import Codec, unpack
from worldrt.config import WorldConfig
from worldrt.kernels.attention import attend
from worldrt.kernels.rope import Rope, rotate
from worldrt.model import Transformer
from worldrt.sampler import TIMESTEPS, add_noise, to_clean
from worldrt.training.curves import strip
from worldrt.training.loop import Effort, Progress, Stateful, load_state, save_state
from worldrt.training.recording import Recording
from worldrt.training.samples import BLOCKS, Sample

log = logging.getLogger(__name__)

FLOOR = 0.3
"""Noise level below which the loss is not weighted up any further."""


class WorldRecipe(Effort, frozen=True, kw_only=True):
    """All that decides a world's training."""

    world: WorldConfig
    recording: Recording
    codec: str
    """The trained codec's safetensors."""
    ema: float = 0.995
    """Decay of the averaged weights that are shipped."""


class BlockCausalContext:
    """Every block sees itself and those before it: a third less work than a mask over three blocks.

    Args:
        table: [L, 1, D / 2] rotary table of all tokens.
        size: tokens of a block.
    """

    def __init__(self, table: Tensor, size: int) -> None:
        self._table = table
        self._ends = range(size, len(table) + 1, size)
        self._size = size

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        del layer  # the same for all
        query, key = rotate(query, self._table), rotate(key, self._table)
        blocks = [
            attend(query[:, end - self._size : end], key[:, :end], value[:, :end])
            for end in self._ends
        ]
        return torch.cat(blocks, dim=1)


class Trainer:
    """The model, its average, its optimiser, and one step."""

    def __init__(self, recipe: WorldRecipe, codec: Codec, device: torch.device) -> None:
        world = recipe.world
        self.progress = Progress()
        self._recipe, self._device = recipe, device
        self._model = Transformer(world.model).to(device).train()
        init_weights(self._model)
        self.averaged = deepcopy(self._model).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01
        )
        frames = BLOCKS * world.block_frames
        rope = Rope.of_grid(world.model.head_dim, *world.token_size)
        self._context = BlockCausalContext(
            rope.table(range(frames), device), world.block_frames * rope.tokens
        )
        self._weight = (codec.component_scale.square() / codec.component_scale.square().mean()).to(
            device
        )[:, None, None]

    def step(self, sample: Sample, done: float) -> dict[str, float]:
        """One step of descent; `done` is the share of the time spent. Returns figures."""
        sample = sample.to(self._device)
        rate = self._recipe.rate(self.progress.step, done)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        generator = torch.Generator(self._device).manual_seed(
            self._recipe.seed * 1_000_003 + self.progress.step
        )
        sigma = self._noise_levels(len(sample.clean), generator)
        error = self._error(self._model, sample, sigma, generator)
        hole = F.avg_pool2d(sample.hole, self._recipe.world.model.patch)
        hole = F.interpolate(hole, sample.hole.shape[-2:])[:, :, None]
        scale = sigma.clamp_min(FLOOR).square()[..., None, None, None]
        target = (sigma > 0.05).float()[..., None, None, None]
        loss = (error * (0.5 + 1.5 * hole) * target / scale).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self.progress.step += 1
        if not torch.isfinite(norm):
            log.warning("step %s: the gradient is %s, left out", self.progress.step, norm.item())
            return {}
        self._optimiser.step()
        decay = min(self._recipe.ema, self.progress.step / (self.progress.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self._model.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        return {"loss": loss.item(), "gradient": norm.item(), "rate": rate}

    @torch.no_grad()
    def look(self, probe: list[Sample], codec: Codec, run: Path) -> dict[str, float]:
        """Held-out error of the last block from pure noise in one step, beside the plain filling.

        Errors are in units of the image's variance, split into cells mostly remembered and mostly
        not.
        """
        totals = {"held-out seen/network": [], "held-out seen/filling": []}
        totals |= {"held-out new/network": [], "held-out new/filling": []}
        rows = []
        size = self._recipe.world.block_frames
        for index, sample in enumerate(probe):
            sample = sample.to(self._device)
            sigma = torch.zeros(1, BLOCKS * size, device=self._device)
            sigma[:, -size:] = 1
            generator = torch.Generator(self._device).manual_seed(index)
            clean = self._predict(self.averaged, sample, sigma, generator)
            new = sample.hole[:, -size:, None] > 0.5
            for name, guess in (("network", clean), ("filling", sample.hint)):
                error = (guess - sample.clean)[:, -size:].square() * self._weight
                for part, chosen in (("seen", ~new), ("new", new)):
                    if chosen.any():
                        picked = error.masked_select(chosen.expand_as(error)).mean().item()
                        totals[f"held-out {part}/{name}"].append(picked)
            if index < 6:
                last = (sample.clean, sample.hint, clean)
                images = [unpack(codec.decode(x[0, -1:].cpu()), 1.0)[0][0] for x in last]
                rows.append(images)
        labels = ["truth", "filling", "network, 1 step"]
        columns = [list(column) for column in zip(*rows, strict=True)]
        strip(run / "strip.png", columns, labels)
        return {name: sum(v) / len(v) for name, v in totals.items() if v}

    def save(self, path: Path) -> None:
        """Write what a run needs to go on; see `save_state`."""
        save_state(path, self._parts, self.progress)

    def load(self, path: Path) -> None:
        """Take up the state that `save` wrote; see `load_state`."""
        self.progress = load_state(path, self._parts, self._device)

    @property
    def _parts(self) -> dict[str, Stateful]:
        return {"model": self._model, "averaged": self.averaged, "optimiser": self._optimiser}

    def _noise_levels(self, batch: int, generator: torch.Generator) -> Tensor:
        """[B, F] noise level of each frame, one for a block."""
        size = (batch, BLOCKS)

        def uniform() -> Tensor:
            return torch.rand(size, generator=generator, device=self._device)

        normal = torch.randn(size, generator=generator, device=self._device)
        full = torch.where(
            uniform() < 0.3, 0.98 + 0.02 * uniform(), torch.sigmoid(0.3 + 1.2 * normal)
        )
        nearly_clean = torch.where(
            uniform() < 0.6, torch.zeros(size, device=self._device), 0.25 * uniform()
        )
        as_context = uniform() < 0.6
        as_context[:, -1] = False
        sigma = torch.where(as_context, nearly_clean, full)
        return sigma.repeat_interleave(self._recipe.world.block_frames, dim=1)

    def _predict(
        self, model: Transformer, sample: Sample, sigma: Tensor, generator: torch.Generator
    ) -> Tensor:
        noise = torch.randn(sample.clean.shape, generator=generator, device=self._device)
        noisy = add_noise(sample.clean, noise, sigma[..., None, None, None])
        conditions = model.read_conditions(sample.camera, sample.spatial)
        output = model(noisy, TIMESTEPS * sigma, self._context, conditions)
        return to_clean(output, "residual", noisy, 1.0, sample.hint)

    def _error(
        self, model: Transformer, sample: Sample, sigma: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Squared error of the predicted clean latents in image units, [B, F, C, h, w]."""
        clean = self._predict(model, sample, sigma, generator)
        return (clean - sample.clean).square() * self._weight


def init_weights(model: Transformer) -> None:
    """Small weights; gates and the head begin at zero, so that the first guess is the hint.

    Source: DiT (arXiv 2212.09748) section 3.2, adaLN-zero.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.zeros_(model.levels.weight)
    nn.init.zeros_(model.head.out.weight)
    with torch.no_grad():
        model.head.modulation.zero_()
        for layer in model.each_layer():
            layer.modulation.zero_()

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

from worldrt.checkpoints.files import load_strict, read_tensors
from worldrt.codec import Codec, unpack
from worldrt.config import WorldConfig
from worldrt.kernels.rope import Rope
from worldrt.model import Transformer
from worldrt.sampler import TIMESTEPS, add_noise, to_clean
from worldrt.training.context import BlockCausalContext
from worldrt.training.curves import strip
from worldrt.training.loop import Effort, Progress, Stateful, load_state, save_state
from worldrt.training.recording import Recording
from worldrt.training.samples import BLOCKS, Sample

log = logging.getLogger(__name__)

WITHOUT_RECALLED = 0.3
"""Share of steps without recalled frames."""
WITHOUT_SPLAT = 0.35
"""Share of the other samples in which the last two blocks are told by recalled frames alone."""
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
    begin: str = ""
    """A model's safetensors to begin from; empty: from nothing."""
    own: float = 0.0
    """Share of steps in which the block before the last is the model's own output."""


class Trainer:
    """The model, its average, its optimiser, and one step."""

    def __init__(self, recipe: WorldRecipe, codec: Codec, device: torch.device) -> None:
        world = recipe.world
        self.progress = Progress()
        self._recipe, self._device = recipe, device
        self._model = Transformer(world.model).to(device).train()
        if recipe.begin:
            path = Path(recipe.begin)
            load_strict(self._model, read_tensors(path), path)
        else:
            init_weights(self._model)
        self.averaged = deepcopy(self._model).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=0.01
        )
        frames = BLOCKS * world.block_frames
        self._rope = Rope.of_grid(world.model.head_dim, *world.token_size)
        self._table = self._rope.table(range(world.memory.recalled + frames), device)
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
        sample, given = self._varied(sample, sigma, generator)
        error = self._error(self._model, sample, sigma, generator, given)
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
        totals: dict[str, list[float]] = {}
        rows = []
        size = self._recipe.world.block_frames
        for index, sample in enumerate(probe):
            sample = sample.to(self._device)
            sigma = torch.zeros(1, BLOCKS * size, device=self._device)
            sigma[:, -size:] = 1
            every = torch.ones(1, dtype=torch.bool, device=self._device)
            told = {
                "network": sample.alone(),
                "recalled": sample,
                "recalled alone": sample.forgetting(every, 2 * size),
                "neither": sample.alone().forgetting(every, 2 * size),
            }
            guesses = {
                name: self._predict(
                    self.averaged, each, sigma, torch.Generator(self._device).manual_seed(index)
                )
                for name, each in told.items()
                if name == "network" or self._recipe.world.memory.recalled
            }
            clean = guesses["network"]
            new = sample.hole[:, -size:, None] > 0.5
            for name, guess in (guesses | {"filling": sample.hint}).items():
                error = (guess - sample.clean)[:, -size:].square() * self._weight
                for part, chosen in (("seen", ~new), ("new", new)):
                    if chosen.any():
                        picked = error.masked_select(chosen.expand_as(error)).mean().item()
                        totals.setdefault(f"held-out {part}/{name}", []).append(picked)
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

    def _varied(
        self, sample: Sample, sigma: Tensor, generator: torch.Generator
    ) -> tuple[Sample, Tensor]:
        """A batch as the memory might have been: without recalled frames, or without the splat.

        Returns:
            The batch, and the latents [B, F, C, h, w] that its blocks are told of: now and then the
            block before the last is the model's own, as it is when the world runs.
        """
        size = self._recipe.world.block_frames
        chance = torch.rand(len(sample.clean) + 2, generator=generator, device=self._device)
        if self._recipe.world.memory.recalled:
            if chance[0] < WITHOUT_RECALLED:
                sample = sample.alone()
            else:
                sample = sample.forgetting(chance[2:] < WITHOUT_SPLAT, 2 * size)
        if chance[1] >= self._recipe.own:
            return sample, sample.clean
        sigma[:, :-size] = 0
        asked = sigma.clone()
        asked[:, -2 * size : -size] = 1
        with torch.no_grad():
            own = self._predict(self._model, sample, asked, generator)
        given = sample.clean.clone()
        given[:, -2 * size : -size] = own[:, -2 * size : -size]
        return sample, given

    def _predict(
        self,
        model: Transformer,
        sample: Sample,
        sigma: Tensor,
        generator: torch.Generator,
        given: Tensor | None = None,
    ) -> Tensor:
        """Clean latents [B, F, C, h, w] from noisy ones; the recalled frames are clean, before."""
        latents = sample.clean if given is None else given
        noise = torch.randn(latents.shape, generator=generator, device=self._device)
        noisy = add_noise(latents, noise, sigma[..., None, None, None])
        recalled = sample.recalled.shape[1]
        frames = recalled + noisy.shape[1]
        camera = torch.cat([sample.recalled_camera, sample.camera], dim=1)
        # Recalled frames are told by their latents alone.
        spatial = F.pad(sample.spatial, (0,) * 6 + (recalled, 0))
        context = BlockCausalContext(
            self._table[: frames * self._rope.tokens],
            self._recipe.world.block_frames * self._rope.tokens,
            recalled * self._rope.tokens,
        )
        output = model(
            torch.cat([sample.recalled, noisy], dim=1),
            TIMESTEPS * F.pad(sigma, (recalled, 0)),
            context,
            model.read_conditions(camera, spatial),
        )
        return to_clean(output[:, recalled:], "residual", noisy, 1.0, sample.hint)

    def _error(
        self,
        model: Transformer,
        sample: Sample,
        sigma: Tensor,
        generator: torch.Generator,
        given: Tensor,
    ) -> Tensor:
        """Squared error of the predicted clean latents in image units, [B, F, C, h, w]."""
        clean = self._predict(model, sample, sigma, generator, given)
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

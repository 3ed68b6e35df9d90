"""What is measured: a transformer of a known size, its cache, and what its blocks are told."""

from dataclasses import dataclass, replace
from types import MappingProxyType

import msgspec
import torch

from worldrt.config import ModelConfig, Prediction, check
from worldrt.errors import ConfigError
from worldrt.memory.cache import KVCache
from worldrt.memory.policy import Policy, find
from worldrt.memory.slots import CacheShape
from worldrt.model import Transformer
from worldrt.rollout import Rollout, Told
from worldrt.sampler import FlowSchedule, Step, steps_of
from worldrt.world import World

STRIDE = 8
"""Pixels a latent row or column of the Wan family's codec."""
SHIFT = 5.0
"""Of the Wan family's schedule of noise levels."""


def _wan(dim: int, num_heads: int, num_layers: int, ffn_dim: int) -> ModelConfig:
    return ModelConfig(
        dim=dim,
        num_heads=num_heads,
        num_layers=num_layers,
        ffn_dim=ffn_dim,
        in_channels=16,
        text_dim=4096,
    )


MODELS = MappingProxyType(
    {
        "wan-1.3b": _wan(1536, 12, 30, 8960),
        "wan-14b": _wan(5120, 40, 40, 13824),
        "small": ModelConfig(dim=384, num_heads=6, num_layers=6, ffn_dim=1536, in_channels=16),
    }
)
"""Sizes that are measured with random weights: weights do not matter for speed."""

BLOCK_FRAMES = 3
"""Latent frames of a block of the sizes in MODELS, as Self-Forcing's weights have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model with all that a block of it needs.

    Args:
        name: for the report.
        model: the transformer, on its device.
        rows, columns: token grid of a latent frame.
        block_frames: latent frames of a block.
        policy: of the cache.
        steps: denoising steps.
        prediction: what the model returns.
        prompt: [1, N, text_dim] rows of a prompt; None: the model takes no text.
    """

    name: str
    model: Transformer
    rows: int
    columns: int
    block_frames: int
    policy: Policy
    steps: tuple[Step, ...]
    prediction: Prediction
    prompt: torch.Tensor | None

    @property
    def device(self) -> torch.device:
        return self.model.patch.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.patch.weight.dtype

    @property
    def block_tokens(self) -> int:
        """L: tokens of a block."""
        return self.block_frames * self.rows * self.columns

    def cache(self) -> KVCache:
        """An empty cache of its policy."""
        config = self.model.config
        shape = CacheShape(
            layers=config.num_layers,
            heads=config.num_heads,
            head_dim=config.head_dim,
            rows=self.rows,
            columns=self.columns,
            block_frames=self.block_frames,
        )
        return KVCache(self.policy, shape, self.dtype, self.device)

    def rollout(self) -> Rollout:
        """A walk that has not begun."""
        text = None if self.prompt is None else self.model.read_text(self.prompt)
        return Rollout(self.model, self.cache(), self.steps, self.prediction, text)

    def twin(self) -> "Subject":
        """One with the same cache but for the width of its heads: its context tells ours."""
        config = msgspec.structs.replace(
            self.model.config, dim=8 * self.model.config.num_heads, ffn_dim=8, text_dim=0
        )
        return replace(self, model=Transformer(config).eval(), steps=self.steps[:1], prompt=None)

    def draw(self, frames: int) -> torch.Tensor:
        """[1, frames, C, h, w] noise."""
        config = self.model.config
        size = (self.rows * config.patch, self.columns * config.patch)
        shape = (1, frames, config.in_channels, *size)
        return torch.randn(shape, device=self.device)

    @torch.inference_mode()
    def told(self) -> Told:
        """Conditions and hint of a block, of the right shapes."""
        config, frames = self.model.config, self.block_frames
        noise = self.draw(frames)
        maps = [
            noise[:, :, :1].expand(-1, -1, channels, -1, -1) if channels else None
            for channels in (config.camera_channels, config.spatial_channels)
        ]
        return Told(self.model.read_conditions(*maps), noise)


def random_subject(
    name: str,
    size: tuple[int, int],
    *,
    policy: str,
    steps: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Subject:
    """A model of MODELS with random weights.

    Args:
        name: of MODELS.
        size: width and height of its frames in pixels, multiples of 16.
        policy: of the cache, `NAME` or `NAME:key=value,...`.
        steps: denoising steps, evenly spaced before the schedule's shift, 1 to 100.
        dtype: of weights, activations and keys.
        device: where it runs.

    Raises:
        ConfigError: an unknown name or policy, or a number out of range.
    """
    if name not in MODELS:
        raise ConfigError.unknown("model", name, MODELS)
    config = MODELS[name]
    cell = STRIDE * config.patch
    width, height = size
    check(
        min(size) >= cell and width % cell == 0 and height % cell == 0,
        f"Frames of {width}x{height} pixels can't be cut into tokens of {cell}x{cell}; ask for "
        "multiples of it, such as 832x480.",
    )
    check(1 <= steps <= 100, f"{steps} steps were asked for; 1 to 100 are possible.")
    torch.manual_seed(0)
    with torch.device(device):
        model = Transformer(config).to(dtype).eval().requires_grad_(False)
    times = [round(1000 * (1 - index / steps)) for index in range(steps)]
    rows = torch.randn(1, config.text_len, config.text_dim, device=device)
    return Subject(
        name=name,
        model=model,
        rows=height // cell,
        columns=width // cell,
        block_frames=BLOCK_FRAMES,
        policy=find(policy, BLOCK_FRAMES),
        steps=FlowSchedule(SHIFT).steps(times),
        prediction="flow",
        prompt=rows if config.text_dim else None,
    )


def world_subject(world: World, policy: str | None = None) -> Subject:
    """The transformer of a world, at its size and with its steps."""
    config = world.config
    rows, columns = config.token_size
    return Subject(
        name=config.name,
        model=world.model,
        rows=rows,
        columns=columns,
        block_frames=config.block_frames,
        policy=world.policy(policy or config.policy),
        steps=steps_of(config.sampler),
        prediction=config.sampler.prediction,
        prompt=None,
    )

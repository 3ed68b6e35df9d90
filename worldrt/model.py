"""The transformer: one class for the shipped world and for the Wan2.1 family.

Top down: patches become tokens, conditions are added, each layer attends (to a context that the
caller owns), reads the prompt, and mixes channels; a head turns tokens back into latents. The noise
level is given per latent frame, so that clean and noisy frames can stand in one pass.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from worldrt.config import ModelConfig
from worldrt.errors import ShapeError
from worldrt.kernels.attention import attend
from worldrt.kernels.rope import rotate
from worldrt.layer import Context, Head, Layer, TextKeys


class DenseContext:
    """No cache: the tokens of the pass see each other under a mask (training, one-shot models).

    Args:
        table: [L, 1, D / 2] rotary table of the tokens.
        mask: bool, broadcast to [B, H, L, L], True where a query sees a key; None: all see all.
    """

    def __init__(self, table: Tensor, mask: Tensor | None = None) -> None:
        self._table, self._mask = table, mask

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        del layer  # the same for all
        return attend(rotate(query, self._table), rotate(key, self._table), value, self._mask)


class Transformer(nn.Module):
    """A diffusion transformer over latent video, block-causal through its context.

    Args:
        config: its numbers.

    Source: Wan2.1 (arXiv 2503.20314) section 4.2; per-frame noise levels as in Diffusion Forcing
    (arXiv 2407.01392) and Self-Forcing (arXiv 2506.08009).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        cell = config.patch**2
        self.patch = nn.Linear(config.in_channels * cell, config.dim)
        if config.camera_channels:
            self.camera = nn.Linear(config.camera_channels * cell, config.dim)
        if config.spatial_channels:
            self.spatial = nn.Linear(config.spatial_channels * cell, config.dim)
        self.time = nn.Sequential(
            nn.Linear(config.freq_dim, config.dim), nn.SiLU(), nn.Linear(config.dim, config.dim)
        )
        self.levels = nn.Linear(config.dim, 6 * config.dim)
        if config.text_dim:
            self.text = nn.Sequential(
                nn.Linear(config.text_dim, config.dim),
                nn.GELU(approximate="tanh"),
                nn.Linear(config.dim, config.dim),
            )
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.head = Head(config)

    def read_text(self, prompt: Tensor) -> list[TextKeys]:
        """Prepare a prompt: every layer's cross-attention keys and values.

        Args:
            prompt: [B, N, text_dim] rows of the text encoder, padded with zeros to text_len rows
                (the padding is attended too: it is part of how these models were trained).

        Raises:
            ShapeError: the model takes no text, or rows of another width or number.
        """
        config = self.config
        expected = (config.text_len, config.text_dim)
        if not config.text_dim or prompt.shape[1:] != expected:
            raise ShapeError("prompt", prompt.shape, f"[B, {expected[0]}, {expected[1]}]")
        rows = self.text(prompt.type_as(self.patch.weight))
        return [layer.cross.keys(rows) for layer in self.each_layer()]

    def read_conditions(self, camera: Tensor | None, spatial: Tensor | None) -> Tensor | None:
        """Embed the conditions of a block: once, for all its passes.

        Args:
            camera: [B, T, camera_channels, h, w] ray maps at latent resolution.
            spatial: [B, T, spatial_channels, h, w] what is remembered of the view.

        Returns:
            [B, T, F, E] to be added to the tokens, or None without conditions.

        Raises:
            ShapeError: a condition that the model does not take, or one that it lacks.
        """
        config = self.config
        total = None
        for name, value, channels in (
            ("camera", camera, config.camera_channels),
            ("spatial", spatial, config.spatial_channels),
        ):
            if (0 if value is None else value.shape[2]) != channels:
                got = () if value is None else value.shape
                raise ShapeError(f"{name} condition", got, f"[B, T, {channels}, h, w]")
            if value is not None:
                projection = self.camera if name == "camera" else self.spatial
                embedded = projection(self._patches(value))
                total = embedded if total is None else total + embedded
        return total

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Context,
        conditions: Tensor | None = None,
        text: list[TextKeys] | None = None,
    ) -> Tensor:
        """One pass.

        Args:
            latents: [B, T, C, h, w].
            timesteps: [B, T] noise level of each frame, 0 (clean) to 1000 (noise).
            context: what the tokens attend to.
            conditions: [B, T, F, E] from `read_conditions`.
            text: from `read_text`.

        Returns:
            [B, T, C, h, w]: what the sampler takes it for (flow, clean latents or a residual), in
            the latents' dtype, whatever that of the weights.

        Raises:
            ShapeError: latents that do not fit the model.
        """
        cell = self.config.patch
        x = self.run_tokens(self.embed(latents, conditions), timesteps, context, text)
        output = rearrange(
            self.head(x, self._level(timesteps)),
            "B T (h w) (p q C) -> B T C (h p) (w q)",
            h=latents.shape[3] // cell,
            p=cell,
            q=cell,
        )
        return output.type_as(latents)

    def embed(self, latents: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Latents as tokens.

        Args:
            latents: [B, T, C, h, w].
            conditions: [B, T, F, E] from `read_conditions`.

        Returns:
            [B, T, F, E].

        Raises:
            ShapeError: latents that do not fit the model.
        """
        config = self.config
        if latents.ndim != 5 or latents.shape[2] != config.in_channels:
            raise ShapeError("latents", latents.shape, f"[B, T, {config.in_channels}, h, w]")
        if latents.shape[3] % config.patch or latents.shape[4] % config.patch:
            expected = f"h and w that are multiples of {config.patch}"
            raise ShapeError("latents", latents.shape, expected)
        x = self.patch(self._patches(latents))
        return x if conditions is None else x + conditions

    def run_tokens(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Context,
        text: list[TextKeys] | None = None,
    ) -> Tensor:
        """Take tokens through all layers: those of a block, or those that a packer made of it.

        Args:
            x: [B, T, F, E].
            timesteps: [B, T] noise level of each frame, 0 (clean) to 1000 (noise).
            context: what the tokens attend to.
            text: from `read_text`.

        Returns:
            [B, T, F, E] what the head reads.
        """
        levels = self.levels(F.silu(self._level(timesteps))).unflatten(-1, (6, -1))
        for index, layer in enumerate(self.each_layer()):
            x = layer(x, index, levels, context, text[index] if text else None)
        return x

    def _level(self, timesteps: Tensor) -> Tensor:
        """[B, T, E] what the network knows of each frame's noise."""
        return self.time(sinusoid(timesteps, self.config.freq_dim).type_as(self.patch.weight))

    def _patches(self, maps: Tensor) -> Tensor:
        """Squares of latents or maps as rows, in the dtype of the weights."""
        side, maps = self.config.patch, maps.type_as(self.patch.weight)
        return rearrange(maps, "B T C (h p) (w q) -> B T (h w) (C p q)", p=side, q=side)

    def each_layer(self) -> list[Layer]:
        """The layers in order, typed."""
        return list(self.layers)  # type: ignore[arg-type]  # ModuleList forgets what it holds


def sinusoid(timesteps: Tensor, channels: int) -> Tensor:
    """Embed noise levels, cosines first, in float64.

    Args:
        timesteps: [...] 0 to 1000.
        channels: even.

    Returns:
        [..., channels] float64.

    Source: Attention Is All You Need (arXiv 1706.03762) section 3.5, as in Wan2.1's code.
    """
    half = channels // 2
    steps = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
    angles = timesteps.double().unsqueeze(-1) * 10_000.0**-steps
    return torch.cat([angles.cos(), angles.sin()], dim=-1)

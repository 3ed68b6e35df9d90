"""The transformer: one class for the shipped world and for the Wan2.1 family.

Top down: patches become tokens, conditions are added, each layer attends (to a context that the
caller owns), reads the prompt, and mixes channels; a head turns tokens back into latents. The noise
level is given per latent frame, so that clean and noisy frames can stand in one pass.

The model knows no cache: `Context.attend` receives raw queries and keys and decides what else is
seen.
"""

from typing import NamedTuple, Protocol

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from worldrt.config import ModelConfig
from worldrt.errors import ShapeError
from worldrt.kernels.attention import attend
from worldrt.kernels.rope import rotate


class Context(Protocol):
    """What a pass attends to besides its own tokens."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend in one layer.

        Args:
            layer: index, from 0.
            query, key: [B, L, H, D] raw (after their norm, before rotation).
            value: [B, L, H, D].

        Returns:
            [B, L, H, D].
        """
        ...


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


class TextKeys(NamedTuple):
    """A prompt as one layer reads it: computed once a prompt, not once a pass."""

    key: Tensor  # [B, N, H, D]
    value: Tensor  # [B, N, H, D]


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis, in float32, weight applied after the cast back."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self._eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), x.shape[-1:], None, self._eps).type_as(x) * self.weight


class SelfAttention(nn.Module):
    """Queries, keys and values of one layer; the norm of q and k spans all heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)
        self.out = nn.Linear(config.dim, config.dim)
        self._heads = config.num_heads

    def forward(self, x: Tensor, layer: int, context: Context) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        heads = (self._heads, -1)
        mixed = context.attend(
            layer,
            self.norm_q(query).unflatten(-1, heads),
            self.norm_k(key).unflatten(-1, heads),
            value.unflatten(-1, heads),
        )
        return self.out(mixed.flatten(-2))


class CrossAttention(nn.Module):
    """Reads the prompt; its keys are computed once a prompt by `keys`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.q = nn.Linear(config.dim, config.dim)
        self.kv = nn.Linear(config.dim, 2 * config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)
        self.out = nn.Linear(config.dim, config.dim)
        self._heads = config.num_heads

    def keys(self, text: Tensor) -> TextKeys:
        key, value = self.kv(text).chunk(2, dim=-1)
        heads = (self._heads, -1)
        return TextKeys(self.norm_k(key).unflatten(-1, heads), value.unflatten(-1, heads))

    def forward(self, x: Tensor, text: TextKeys) -> Tensor:
        query = self.norm_q(self.q(x)).unflatten(-1, (self._heads, -1))
        return self.out(attend(query, text.key, text.value).flatten(-2))


class Layer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each frame modulated by its noise level."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(6, config.dim) / config.dim**0.5)
        self.attention = SelfAttention(config)
        if config.text_dim:
            self.cross_norm = (
                nn.LayerNorm(config.dim, config.eps) if config.cross_norm else nn.Identity()
            )
            self.cross = CrossAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(config.dim, config.ffn_dim),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.ffn_dim, config.dim),
        )
        self._eps = config.eps

    def forward(
        self, x: Tensor, index: int, levels: Tensor, context: Context, text: TextKeys | None
    ) -> Tensor:
        """One layer.

        Args:
            x: [B, T, F, E] tokens by frame.
            index: which layer this is.
            levels: [B, T, 6, E] modulation of each frame.
            context: what is attended to.
            text: the prompt's keys of this layer.

        Returns:
            [B, T, F, E].
        """
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (
            (self.modulation + levels).unsqueeze(3).unbind(2)
        )
        frames = x.shape[1]
        y = modulate(x, shift_a, scale_a, self._eps)
        mixed = self.attention(y.flatten(1, 2), index, context)
        x = x + gate_a * mixed.unflatten(1, (frames, -1))
        if text is not None:
            read = self.cross(self.cross_norm(x.flatten(1, 2)), text)
            x = x + read.unflatten(1, (frames, -1))
        return x + gate_f * self.ffn(modulate(x, shift_f, scale_f, self._eps))


class Head(nn.Module):
    """Tokens back to patches of latents."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(2, config.dim) / config.dim**0.5)
        self.out = nn.Linear(config.dim, config.in_channels * config.patch**2)
        self._eps = config.eps

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        shift, scale = (self.modulation + level.unsqueeze(2)).unsqueeze(3).unbind(2)
        return self.out(modulate(x, shift, scale, self._eps))


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
        rows = self.text(prompt)
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
            [B, T, C, h, w]: what the sampler takes it for (flow, clean latents or a residual).

        Raises:
            ShapeError: latents that do not fit the model.
        """
        config = self.config
        cell = config.patch
        if latents.ndim != 5 or latents.shape[2] != config.in_channels:
            raise ShapeError("latents", latents.shape, f"[B, T, {config.in_channels}, h, w]")
        if latents.shape[3] % cell or latents.shape[4] % cell:
            raise ShapeError("latents", latents.shape, f"h and w that are multiples of {cell}")
        rows, columns = latents.shape[3] // cell, latents.shape[4] // cell
        x = self.patch(self._patches(latents))
        if conditions is not None:
            x = x + conditions
        level = self.time(sinusoid(timesteps, config.freq_dim).type_as(x))
        levels = self.levels(F.silu(level)).unflatten(-1, (6, -1))
        for index, layer in enumerate(self.each_layer()):
            x = layer(x, index, levels, context, text[index] if text else None)
        return rearrange(
            self.head(x, level),
            "B T (h w) (p q C) -> B T C (h p) (w q)",
            h=rows,
            w=columns,
            p=cell,
            q=cell,
        )

    def _patches(self, maps: Tensor) -> Tensor:
        side = self.config.patch
        return rearrange(maps, "B T C (h p) (w q) -> B T (h w) (C p q)", p=side, q=side)

    def each_layer(self) -> list[Layer]:
        """The layers in order, typed."""
        return list(self.layers)  # type: ignore[arg-type]  # ModuleList forgets what it holds


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Layer norm without weights, then scale and shift by the frame's noise level."""
    return F.layer_norm(x, x.shape[-1:], None, None, eps) * (1 + scale) + shift


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

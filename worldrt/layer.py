"""One layer of the transformer: attention, the prompt, channels; and the head behind the last.

A layer knows no cache: `Context.attend` receives raw queries and keys and decides what else is
seen.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldrt.config import ModelConfig
from worldrt.kernels.attention import attend
from worldrt.memory.buckets import prompt_bias


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


class TextKeys(NamedTuple):
    """A prompt as one layer reads it: computed once a prompt, not once a pass."""

    key: Tensor  # [B, N, H, D]
    value: Tensor  # [B, N, H, D]
    planes: Tensor | None = None  # [R, H, D, bits]; words near no query are hidden, see buckets


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
        hidden = None if text.planes is None else prompt_bias(query, text.key, text.planes)
        return self.out(attend(query, text.key, text.value, hidden).flatten(-2))


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


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """Layer norm without weights, then scale and shift by the frame's noise level."""
    return F.layer_norm(x, x.shape[-1:], None, None, eps) * (1 + scale) + shift

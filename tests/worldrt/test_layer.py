"""The parts of a layer, from their definitions; test_model has the laws of the whole."""

import torch
from torch import Tensor

from worldrt.config import ModelConfig
from worldrt.layer import Head, Layer, RMSNorm, modulate

CONFIG = ModelConfig(dim=42, num_heads=3, num_layers=1, ffn_dim=30, in_channels=5)


class Unseen:
    """A context that must not matter."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        assert (layer, query.shape, key.shape) == (7, value.shape, value.shape)
        return torch.randn(value.shape, dtype=value.dtype)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_norm_of_a_row_is_its_weight() -> None:
    norm = RMSNorm(9, eps=0.0).double().requires_grad_(False)
    norm.weight.copy_(torch.arange(1.0, 10.0))
    x = 50 * normal(4, 9)
    rms = x.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(norm(x), x / rms * norm.weight, rtol=1e-5, atol=1e-6)


def test_modulation_by_zero_is_the_plain_norm() -> None:
    x = 3 + 2 * normal(2, 9)
    plain = modulate(x, torch.zeros(9), torch.zeros(9), 0.0)
    torch.testing.assert_close(plain.mean(-1), torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(plain.var(-1, unbiased=False), torch.ones(2, dtype=torch.float64))
    shift, scale = normal(9), normal(9)
    torch.testing.assert_close(modulate(x, shift, scale, 0.0), plain * (1 + scale) + shift)


def test_closed_gates_let_nothing_in() -> None:
    layer = Layer(CONFIG).double().requires_grad_(False)
    x, levels = normal(2, 3, 5, 42), -layer.modulation.expand(2, 3, 6, 42).clone()
    assert torch.equal(layer(x, 7, levels, Unseen(), None), x)
    levels[:, :, 5] += 1  # the gate of the feed-forward
    assert not torch.equal(layer(x, 7, levels, Unseen(), None), x)


def test_the_head_writes_a_patch_a_token() -> None:
    head = Head(CONFIG).double().requires_grad_(False)
    assert head(normal(2, 3, 7, 42), normal(2, 3, 42)).shape == (2, 3, 7, 5 * 4)

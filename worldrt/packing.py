"""Packed blocks as the transformer sees them: the low-resolution branch, and keys and values.

A packed block goes through the transformer's own layers, clean and by itself: one frame of a few
tokens at the cells' fractional positions, whose raw keys and values then stand for the block.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from worldrt.codec import Codec
from worldrt.config import Cells
from worldrt.kernels.rope import Rope
from worldrt.layer import Context, TextKeys
from worldrt.memory.compress import Grid
from worldrt.memory.learned import LearnedPacker
from worldrt.model import DenseContext, Transformer


class BlockKeys(NamedTuple):
    """A block, or a packed one, as every layer keeps it: before any rotation."""

    raw: Tensor
    """[N, B, L, H, D] raw keys."""
    value: Tensor
    """[N, B, L, H, D]"""


class Overhearing:
    """A context that passes on to another, and keeps what was said in each layer.

    Args:
        context: what is attended to.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._mixed: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed = self._context.attend(layer, query, key, value)
        self._keys.append(key)
        self._values.append(value)
        self._mixed.append(mixed)
        return mixed

    @property
    def keys(self) -> BlockKeys:
        """Raw keys and values of the pass."""
        return BlockKeys(torch.stack(self._keys), torch.stack(self._values))

    @property
    def mixed(self) -> Tensor:
        """[N, B, L, H, D] what attention returned."""
        return torch.stack(self._mixed)


def small_tokens(codec: Codec, model: Transformer, latents: Tensor, cells: Cells) -> Tensor:
    """A block at low resolution: decoded, averaged over areas, encoded and embedded again.

    Args:
        codec, model: the world's.
        latents: [B, T, C, h, w] clean.
        cells: frames, rows and columns of tokens that are left.

    Returns:
        [B, P, E].

    Source: PackForcing, the low-resolution branch.
    """
    side = codec.stride * model.config.patch
    images = codec.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
    size = (cells.time, cells.rows * side, cells.columns * side)
    pooled = adaptive_avg_pool3d(rearrange(images, "B T c Y X -> B c T Y X"), size)
    again = codec.encode(rearrange(pooled, "B c T Y X -> (B T) c Y X"))
    return model.embed(again.unflatten(0, (len(latents), -1))).flatten(1, 2)


def packed_tokens(
    packer: LearnedPacker, codec: Codec, model: Transformer, latents: Tensor
) -> Tensor:
    """Pack a block's clean latents [B, T, C, h, w] into tokens [B, P, E]."""
    small = small_tokens(codec, model, latents, packer.cells)
    return packer(latents, small.float()).type_as(small)


def packed_keys(
    model: Transformer, tokens: Tensor, grid: Grid, text: list[TextKeys] | None = None
) -> BlockKeys:
    """Run packed tokens through the layers at timestep 0, seeing each other alone.

    Args:
        model: the world's.
        tokens: [B, P, E].
        grid: where they stand, `LearnedPacker.grid` of the block.
        text: the prompt, for a model that takes one.
    """
    rope = Rope(model.config.head_dim, grid.rows, grid.columns)
    alone = Overhearing(DenseContext(rope.table(grid.frames, tokens.device)))
    levels = torch.zeros(len(tokens), len(grid.frames), device=tokens.device)
    frames = rearrange(tokens, "B (T F) E -> B T F E", T=len(grid.frames))
    model.run_tokens(frames, levels, alone, text)
    return alone.keys

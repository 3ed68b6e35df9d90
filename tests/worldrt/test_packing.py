"""Packed blocks in a tiny world: what the low-resolution branch sees, and whose keys are kept."""

import pytest
import torch
from torch import Tensor

from worldrt.config import Cells, PackerConfig
from worldrt.kernels.rope import Rope
from worldrt.memory.compress import Grid
from worldrt.memory.learned import LearnedPacker
from worldrt.model import DenseContext
from worldrt.packing import Overhearing, packed_keys, packed_tokens, small_tokens
from worldrt.world import World


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def latents_of(world: World, blocks: int = 2, frames: int = 4) -> Tensor:
    """Latents of real images: the codec is exact on none but its own."""
    image = world.codec.decode(normal(blocks * frames, world.config.codec.channels, 6, 8))
    return world.codec.encode(image).unflatten(0, (blocks, frames))


def test_a_small_block_with_a_cell_a_token_is_the_block(world: World) -> None:
    latents = latents_of(world)
    small = small_tokens(world.codec, world.model, latents, Cells(time=4, rows=3, columns=4))
    expected = world.model.embed(latents).flatten(1, 2)
    torch.testing.assert_close(small, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 3, 4, 8])
def test_a_still_block_is_one_of_its_frames(world: World, frames: int) -> None:
    still = latents_of(world, 1, 1).expand(1, frames, -1, -1, -1)
    small = small_tokens(world.codec, world.model, still, Cells(time=1, rows=3, columns=4))
    expected = world.model.embed(still[:, :1])[:, 0]
    torch.testing.assert_close(small, expected, atol=1e-4, rtol=1e-4)


def test_a_small_block_is_the_block_of_the_small_pictures(world: World) -> None:
    cells = Cells(time=1, rows=1, columns=2)
    latents = latents_of(world)
    images = world.codec.decode(latents.flatten(0, 1)).reshape(2, 4, 4, 16, 3, 32, 2)
    pictures = images.mean((1, 4, 6))  # pixels of 3 rows, 2 columns and 4 frames
    expected = world.model.embed(world.codec.encode(pictures)[:, None]).flatten(1, 2)
    small = small_tokens(world.codec, world.model, latents, cells)
    torch.testing.assert_close(small, expected, atol=1e-4, rtol=1e-4)


def test_packed_tokens_are_the_packers(world: World) -> None:
    cells, config = Cells(time=1, rows=2, columns=3), world.config
    packer = LearnedPacker(
        PackerConfig(width=4, cells=cells), config.codec.channels, config.model.dim
    )
    latents = latents_of(world)
    tokens = packed_tokens(packer, world.codec, world.model, latents)
    assert torch.equal(tokens, small_tokens(world.codec, world.model, latents, cells))


def test_the_keys_of_a_whole_block_are_those_of_its_clean_pass(world: World) -> None:
    """Packed to a token a token, a block by itself has the keys of a forward by itself."""
    latents, grid = latents_of(world), Grid(range(4), range(3), range(4))
    rope = Rope.of_grid(world.config.model.head_dim, 3, 4)
    heard = Overhearing(DenseContext(rope.table(range(4))))
    none = torch.zeros(2, 4, 12, world.config.model.dim)
    world.model(latents, torch.zeros(2, 4), heard, none)
    tokens = world.model.embed(latents).flatten(1, 2)
    keys = packed_keys(world.model, tokens, grid)
    assert keys.raw.shape == keys.value.shape == (2, 2, 48, 2, 24)
    torch.testing.assert_close(keys, heard.keys)


def test_where_packed_tokens_stand_matters_only_between_them(world: World) -> None:
    tokens = normal(2, 6, world.config.model.dim)
    here, later, wider = (
        packed_keys(world.model, tokens, Grid([first], rows, [0.8, 3.5, 6.2])).raw
        for first, rows in ((1.5, [1.0, 4.0]), (901.5, [1.0, 4.0]), (1.5, [1.0, 9.0]))
    )
    torch.testing.assert_close(later, here, atol=1e-4, rtol=1e-4)
    assert (wider[1] - here[1]).abs().max() > 1e-3


def test_gradients_reach_the_tokens_and_not_the_world(world: World) -> None:
    tokens = normal(1, 6, world.config.model.dim).requires_grad_(True)
    keys = packed_keys(world.model, tokens, Grid([1.5], [1, 4], [1, 4, 6]))
    keys.value[-1].sum().backward()
    assert tokens.grad is not None and tokens.grad.abs().max() > 0
    assert all(weight.grad is None for weight in world.model.parameters())


def test_what_is_overheard_changes_nothing(world: World) -> None:
    table = Rope.of_grid(24, 3, 4).table(range(2))
    plain, heard = DenseContext(table), Overhearing(DenseContext(table))
    query, key, value = normal(3, 2, 24, 2, 24)
    for layer in range(2):
        expected = plain.attend(layer, query + layer, key, value)
        assert torch.equal(heard.attend(layer, query + layer, key, value), expected)
        assert torch.equal(heard.mixed[layer], expected)
    assert torch.equal(heard.keys.raw[1], key) and torch.equal(heard.keys.value[0], value)

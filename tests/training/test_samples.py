"""Samples for training: right shapes, the right past, and holes where nothing is remembered."""

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.tiny import BLOCK, CAMERA
from worldrt.codec import Codec
from worldrt.conditioning import CAMERA_CHANNELS, spatial_channels, spatial_maps
from worldrt.config import MemoryUse
from worldrt.geometry.camera import Camera
from worldrt.training.samples import BLOCKS, Sample, SampleBuilder, Samples, held_out
from worldrt.training.trainer import WorldRecipe
from worldrt.world import World


class Corridor:
    """Episodes of a camera that slides along a painted wall two metres away."""

    frames = 40
    camera = Camera.centred(CAMERA)

    def read(
        self, episode: int, start: int, stop: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float64]]:
        moments = np.arange(start, stop)
        size = self.camera.height, self.camera.width
        shift = 0.25 * moments  # metres: 4 pixels
        columns = np.arange(size[1]) + shift[:, None] * self.camera.fx / 2
        phase = np.array([0.0, 2.0, 4.0]) + episode
        rows = np.cos(np.arange(size[0]) / 6)[None, :, None, None]
        rgb = 128 + 90 * np.sin(columns[:, None, :, None] / 8 + phase) * rows
        poses = np.tile(np.eye(4), (len(moments), 1, 1))
        poses[:, 0, 3] = shift
        return rgb.astype(np.uint8), np.full(rgb.shape[:3], 2, np.float16), poses


@pytest.fixture
def builder(world: World) -> SampleBuilder:
    return make(world)


def make(world: World) -> SampleBuilder:
    return SampleBuilder(Corridor(), world.config, world.codec)  # pyright: ignore[reportArgumentType]


def test_shapes_say_what_the_transformer_takes(world: World, builder: SampleBuilder) -> None:
    sample = builder.draw(0, np.random.default_rng(0))
    frames, channels = BLOCKS * BLOCK, world.config.codec.channels
    assert sample.clean.shape == sample.hint.shape == (frames, channels, 6, 8)
    assert sample.spatial.shape == (frames, spatial_channels(channels), 6, 8)
    assert sample.camera.shape == (frames, CAMERA_CHANNELS, 6, 8)
    assert sample.hole.shape == (frames, 6, 8)
    assert sample.recalled.shape == (2, channels, 6, 8)
    assert sample.recalled_camera.shape == (2, CAMERA_CHANNELS, 6, 8)
    assert 0 <= sample.hole.min() and sample.hole.max() <= 1
    assert all(torch.isfinite(tensor).all() for tensor in sample.tensors())


def test_a_world_that_recalls_nothing_has_samples_without(world: World) -> None:
    memory = msgspec.structs.replace(world.config.memory, use=MemoryUse.SPLAT, recalled=0)
    config = msgspec.structs.replace(world.config, memory=memory)
    builder = SampleBuilder(Corridor(), config, world.codec)  # pyright: ignore[reportArgumentType]
    sample = builder.draw(0, np.random.default_rng(0))
    assert sample.recalled.shape == (0, world.config.codec.channels, 6, 8)
    assert sample.recalled_camera.shape == (0, CAMERA_CHANNELS, 6, 8)


def test_the_same_generator_draws_the_same_sample(world: World) -> None:
    one, other = make(world), make(world)
    other.draw(3, np.random.default_rng(9))  # a past of its own must not matter
    pairs = zip(
        one.draw(1, np.random.default_rng(4)).tensors(),
        other.draw(1, np.random.default_rng(4)).tensors(),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_nothing_remembered_gives_a_hint_of_zero_and_a_hole_everywhere(
    builder: SampleBuilder,
) -> None:
    rng = np.random.default_rng(1)
    empty = [
        sample.hint[:BLOCK]
        for sample in (builder.draw(index, rng) for index in range(24))
        if sample.hole[:BLOCK].min() == 1
    ]
    assert empty and all((hint == 0).all() for hint in empty)


def test_what_is_remembered_is_near_the_truth_and_some_targets_are_new(
    builder: SampleBuilder,
) -> None:
    rng = np.random.default_rng(2)
    samples = [builder.draw(index, rng) for index in range(24)]
    holes = torch.stack([sample.hole.mean() for sample in samples])
    assert holes.min() < 0.2 and holes.max() > 0.6
    seen, new = [], []
    for sample in samples:
        error = (sample.hint - sample.clean).square().mean(1)
        seen.append(error[sample.hole < 0.05])
        new.append(error[sample.hole > 0.95])
    assert torch.cat(seen).mean() < 0.3 * torch.cat(new).mean()


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_is_its_samples(builder: SampleBuilder, count: int) -> None:
    rng = np.random.default_rng(3)
    samples = [builder.draw(index, rng) for index in range(count)]
    batch = Sample.stack(samples)
    for index, sample in enumerate(samples):
        pairs = zip(batch.tensors(), sample.tensors(), strict=True)
        assert all(torch.equal(many[index], one) for many, one in pairs)


def test_a_forgetting_batch_is_one_whose_memory_shows_nothing_of_the_end(
    world: World, builder: SampleBuilder
) -> None:
    rng = np.random.default_rng(5)
    batch = Sample.stack([builder.draw(index, rng) for index in range(3)])
    after = batch.forgetting(torch.tensor([True, False, True]), BLOCK)
    assert torch.equal(after.recalled, batch.recalled)
    for one, other in zip(batch.tensors()[:5], after.tensors(), strict=False):
        assert torch.equal(other[1], one[1])
        assert torch.equal(other[:, :-BLOCK], one[:, :-BLOCK])
    assert torch.equal(after.clean, batch.clean) and torch.equal(after.camera, batch.camera)
    nothing = torch.zeros(BLOCK, 1, 48, 64)
    empty = spatial_maps(world.codec, nothing.expand(-1, 4, -1, -1), nothing, nothing)
    for index in (0, 2):
        assert torch.equal(after.spatial[index, -BLOCK:], empty.maps)
        assert torch.equal(after.hint[index, -BLOCK:], empty.hint)
        assert (after.hole[index, -BLOCK:] == 1).all()


def test_batches_follow_from_the_seed(recipe: WorldRecipe, codec: Codec) -> None:
    first, again, other = (
        next(Samples(recipe.recording, recipe.world, codec, seed).batches(2, loaders=0))
        for seed in (0, 0, 1)
    )
    assert first.clean.shape[:2] == (2, BLOCKS * BLOCK)
    assert torch.equal(first.clean, again.clean) and not torch.equal(first.clean, other.clean)


def test_held_out_samples_are_always_the_same(recipe: WorldRecipe, codec: Codec) -> None:
    one, two = (held_out(recipe.recording, recipe.world, codec, each) for each in (1, 2))
    assert len(one) == recipe.recording.held_out and len(two) == 2 * len(one)
    assert all(torch.equal(a.clean, b.clean) for a, b in zip(one, two[::2], strict=True))
    assert not torch.equal(two[0].clean, two[1].clean)

"""One step of a world's training: it learns, and it is resumed to the bit."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from tests.tiny import BLOCK
from worldrt.checkpoints.files import read_tensors
from worldrt.codec import Codec
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope
from worldrt.model import DenseContext
from worldrt.training.samples import Sample, held_out
from worldrt.training.trainer import Trainer, WorldRecipe

CPU = torch.device("cpu")


def trainer(recipe: WorldRecipe, codec: Codec) -> Trainer:
    torch.manual_seed(recipe.seed)
    return Trainer(recipe, codec, CPU)


def weights(one: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in one.averaged.state_dict().items()}


def test_untrained_it_predicts_the_hint(recipe: WorldRecipe, codec: Codec, batch: Sample) -> None:
    model = trainer(recipe, codec).averaged
    frames = batch.clean.shape[1]
    context = DenseContext(Rope.of_grid(24, 3, 4).table(range(frames)))
    conditions = model.read_conditions(batch.camera, batch.spatial)
    output = model(batch.clean, torch.full((2, frames), 500.0), context, conditions)
    assert (output == 0).all()


def test_it_learns_a_batch_by_heart(recipe: WorldRecipe, codec: Codec, batch: Sample) -> None:
    one = trainer(recipe, codec)
    losses = [one.step(batch, 0.0)["loss"] for _ in range(160)]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


def test_the_same_seed_gives_the_same_weights(
    recipe: WorldRecipe, codec: Codec, batch: Sample
) -> None:
    one, other = trainer(recipe, codec), trainer(recipe, codec)
    for _ in range(3):
        one.step(batch, 0.0)
        other.step(batch, 0.0)
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_a_resumed_trainer_goes_on_as_the_unbroken_one(
    recipe: WorldRecipe, codec: Codec, batch: Sample, tmp_path: Path
) -> None:
    one, other = trainer(recipe, codec), trainer(recipe, codec)
    for _ in range(3):
        one.step(batch, 0.1)
    one.save(tmp_path / "state.pt")
    other.load(tmp_path / "state.pt")
    assert other.progress == one.progress
    for _ in range(2):
        one.step(batch, 0.1)
        other.step(batch, 0.1)
    assert all(torch.equal(value, weights(other)[name]) for name, value in weights(one).items())


def test_a_step_without_a_finite_gradient_changes_nothing(
    recipe: WorldRecipe, codec: Codec, batch: Sample
) -> None:
    one = trainer(recipe, codec)
    one.step(batch, 0.0)
    before = weights(one)
    nan = Sample(*(tensor * torch.nan for tensor in batch.tensors()))
    assert one.step(nan, 0.0) == {}
    assert all(torch.equal(value, weights(one)[name]) for name, value in before.items())


def test_it_begins_with_given_weights(
    recipe: WorldRecipe, codec: Codec, world_folder: Path
) -> None:
    path = world_folder / "model.safetensors"
    one = trainer(msgspec.structs.replace(recipe, begin=str(path)), codec)
    given = read_tensors(path)
    assert all(torch.equal(value, given[name]) for name, value in weights(one).items())


def test_its_own_block_is_told_and_the_last_one_alone_is_learned(
    recipe: WorldRecipe, codec: Codec, batch: Sample, world_folder: Path
) -> None:
    """With its own output before it, the true second block no longer matters to the loss."""
    begun = msgspec.structs.replace(recipe, begin=str(world_folder / "model.safetensors"))
    other = replace(batch, clean=batch.clean.clone())
    other.clean[:, BLOCK : 2 * BLOCK] += 1
    for own, same in ((0.0, False), (1.0, True)):
        chosen = msgspec.structs.replace(begun, own=own)
        losses = [trainer(chosen, codec).step(each, 0.0)["loss"] for each in (batch, other)]
        # To rounding: only the noise is added to a block that is asked for whole.
        assert (abs(losses[0] - losses[1]) < 1e-5) == same


def test_a_look_tells_what_recalled_frames_are_worth(
    recipe: WorldRecipe, codec: Codec, tmp_path: Path
) -> None:
    probe = held_out(recipe.recording, recipe.world, codec)
    names = {name.split("/")[1] for name in trainer(recipe, codec).look(probe, codec, tmp_path)}
    assert names == {"network", "recalled", "recalled alone", "neither", "filling"}


@pytest.mark.parametrize("field", ["minutes", "batch", "learning_rate", "threads"])
def test_a_recipe_refuses_zero(recipe: WorldRecipe, field: str) -> None:
    with pytest.raises(ConfigError, match="positive"):
        WorldRecipe(**{**msgspec.structs.asdict(recipe), field: 0})


def test_the_block_of_the_recipe_is_the_block_of_the_samples(batch: Sample) -> None:
    assert batch.clean.shape[1] == 3 * BLOCK

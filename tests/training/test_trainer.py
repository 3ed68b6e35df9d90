"""One step of a world's training: it learns, and it is resumed to the bit."""

from pathlib import Path

import msgspec
import pytest
import torch

from tests.tiny import BLOCK
from worldrt.codec import Codec
from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope
from worldrt.model import DenseContext
from worldrt.training.samples import Sample
from worldrt.training.trainer import BlockCausalContext, Trainer, WorldRecipe

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


def test_block_causal_attention_is_the_masked_one() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3 * 10, 2, 12, generator=generator) for _ in range(3))
    table = Rope.of_grid(12, 1, 5).table(range(6))
    block = torch.arange(30) // 10
    dense = DenseContext(table, block[:, None] >= block[None])
    blocks = BlockCausalContext(table, 10)
    expected = dense.attend(0, query, key, value)
    torch.testing.assert_close(blocks.attend(0, query, key, value), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("field", ["minutes", "batch", "learning_rate", "threads"])
def test_a_recipe_refuses_zero(recipe: WorldRecipe, field: str) -> None:
    with pytest.raises(ConfigError, match="positive"):
        WorldRecipe(**{**msgspec.structs.asdict(recipe), field: 0})


def test_the_block_of_the_recipe_is_the_block_of_the_samples(batch: Sample) -> None:
    assert batch.clean.shape[1] == 3 * BLOCK

"""Training of a generator: it learns, and a kill costs nothing but time."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.tiny import BLOCK, CAMERA, tiny_config, write_recording
from worldrt.codec import Codec
from worldrt.config import WorldConfig, load
from worldrt.errors import ConfigError, CorruptFile, InputError
from worldrt.kernels.rope import Rope
from worldrt.model import DenseContext, Transformer
from worldrt.training.recording import Recording
from worldrt.training.samples import Sample, SampleBuilder
from worldrt.training.trainer import BlockCausalContext, Trainer, WorldRecipe
from worldrt.training.world import train
from worldrt.world import World

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, world_folder: Path) -> WorldRecipe:
    """A recipe that trains for seconds on turns in the room."""
    recording = Recording(
        folder=str(tmp_path_factory.mktemp("recording") / "room"),
        episodes=4,
        held_out=1,
        frames=30,
        camera=CAMERA,
    )
    write_recording(recording)
    return WorldRecipe(
        world=tiny_config(),
        recording=recording,
        codec=str(world_folder / "codec.safetensors"),
        minutes=0.03,
        batch=2,
        learning_rate=3e-3,
        report_seconds=0.5,
        loaders=0,
    )


@pytest.fixture(scope="module")
def codec(world_folder: Path) -> Codec:
    return World.load(str(world_folder)).codec


@pytest.fixture(scope="module")
def batch(recipe: WorldRecipe, codec: Codec) -> Sample:
    builder = SampleBuilder(recipe.recording.open(), recipe.world, codec)
    rng = np.random.default_rng(0)
    return Sample.stack([builder.draw(episode, rng) for episode in (0, 1)])


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


def test_a_run_writes_what_it_promises_and_goes_on(recipe: WorldRecipe, tmp_path: Path) -> None:
    first = train(recipe, tmp_path / "run")
    assert isinstance(first, Transformer)
    names = {
        "state.pt",
        "model.safetensors",
        "world.toml",
        "curves.jsonl",
        "curves.png",
        "strip.png",
    }
    assert names <= {path.name for path in (tmp_path / "run").iterdir()}
    assert load(tmp_path / "run" / "world.toml", WorldConfig) == recipe.world
    lines = (tmp_path / "run" / "curves.jsonl").read_text().splitlines()
    longer = msgspec.structs.replace(recipe, minutes=2 * recipe.minutes)
    train(longer, tmp_path / "run")
    after = (tmp_path / "run" / "curves.jsonl").read_text().splitlines()
    assert after[: len(lines)] == lines and len(after) > len(lines)
    figures = msgspec.json.decode(after[-1])[1]
    assert figures["held-out new/filling"] > 0


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_a_damaged_state_is_named(recipe: WorldRecipe, tmp_path: Path, cut: int) -> None:
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04" + bytes(cut))
    with pytest.raises(CorruptFile, match="state.pt"):
        train(recipe, tmp_path)


def test_a_missing_codec_is_named(recipe: WorldRecipe, tmp_path: Path) -> None:
    lost = msgspec.structs.replace(recipe, codec=str(tmp_path / "none.safetensors"))
    with pytest.raises(InputError, match="none.safetensors"):
        train(lost, tmp_path)


@pytest.mark.parametrize("field", ["minutes", "batch", "learning_rate", "threads"])
def test_a_recipe_refuses_zero(recipe: WorldRecipe, field: str) -> None:
    with pytest.raises(ConfigError, match="positive"):
        WorldRecipe(**{**msgspec.structs.asdict(recipe), field: 0})


def test_the_block_of_the_recipe_is_the_block_of_the_samples(batch: Sample) -> None:
    assert batch.clean.shape[1] == 3 * BLOCK

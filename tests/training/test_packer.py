"""A packer's training: it learns, is resumed to the bit, and ends as a file that a world loads."""

import shutil
from pathlib import Path

import msgspec
import pytest
import torch

from tests.tiny import BLOCK
from worldrt.config import Cells, PackerConfig
from worldrt.errors import ConfigError, CorruptFile
from worldrt.training import curves
from worldrt.training.packer import PackerRecipe, PackerTrainer, train
from worldrt.training.samples import Sample
from worldrt.training.trainer import WorldRecipe
from worldrt.world import World

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lesson_plan(recipe: WorldRecipe, world_folder: Path) -> PackerRecipe:
    return PackerRecipe(
        world=str(world_folder),
        packer=PackerConfig(width=6, cells=Cells(time=1, rows=1, columns=2)),
        recording=recipe.recording,
        minutes=0.03,
        batch=2,
        learning_rate=1e-2,
        blind=1.0,
        report_seconds=0.5,
        loaders=0,
    )


def trainer(recipe: PackerRecipe) -> PackerTrainer:
    torch.manual_seed(recipe.seed)
    return PackerTrainer(recipe, World.load(recipe.world), CPU)


def weights(one: PackerTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in one.packer.state_dict().items()}


def test_it_learns_a_batch_by_heart(lesson_plan: PackerRecipe, batch: Sample) -> None:
    one = trainer(lesson_plan)
    losses = [one.step(batch, 0.0)["loss"] for _ in range(150)]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])


def test_it_changes_the_packer_and_not_the_world(lesson_plan: PackerRecipe, batch: Sample) -> None:
    world = World.load(lesson_plan.world)
    before = {name: value.clone() for name, value in world.model.state_dict().items()}
    one = PackerTrainer(lesson_plan, world, CPU)
    untrained = weights(one)
    for _ in range(2):
        one.step(batch, 0.0)
    after = weights(one)
    assert all(not torch.equal(value, after[name]) for name, value in untrained.items())
    assert all(torch.equal(value, before[name]) for name, value in world.model.state_dict().items())


def test_a_resumed_trainer_goes_on_as_the_unbroken_one(
    lesson_plan: PackerRecipe, batch: Sample, tmp_path: Path
) -> None:
    one, other = trainer(lesson_plan), trainer(lesson_plan)
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
    lesson_plan: PackerRecipe, batch: Sample
) -> None:
    one = trainer(lesson_plan)
    one.step(batch, 0.0)
    before = weights(one)
    nan = Sample(*(tensor * torch.nan for tensor in batch.tensors()))
    assert one.step(nan, 0.0) == {}
    assert all(torch.equal(value, weights(one)[name]) for name, value in before.items())


def test_figures_untrained_are_those_of_the_small_block(
    lesson_plan: PackerRecipe, batch: Sample
) -> None:
    one = trainer(lesson_plan)
    probe = [Sample(*(tensor[:1] for tensor in batch.tensors()))]
    figures = one.look(probe)
    assert one.look(probe) == figures
    lines = {"nothing", "pooled keys", "small block", "packed"}
    for case in ("remembered", "blind"):
        for figure, more in (("truth", {"whole"}), ("teacher", set())):
            panel = f"{case}, from the {figure}/"
            assert {name for name in lines | more if panel + name in figures} == lines | more
            assert figures[panel + "packed"] == figures[panel + "small block"] > 0
    assert not any(name.endswith("teacher/whole") for name in figures)


def test_a_run_is_resumed_and_its_files_make_a_world_with_a_packer(
    lesson_plan: PackerRecipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(lesson_plan, run)
    rows = curves.read(run / "curves.jsonl")
    longer = msgspec.structs.replace(lesson_plan, minutes=2 * lesson_plan.minutes)
    packer = train(longer, run)
    after = curves.read(run / "curves.jsonl")
    assert after[: len(rows)] == rows and after[-1][0] > rows[-1][0]
    names = {"state.pt", "curves.jsonl", "curves.png", "packer.safetensors", "world.toml"}
    assert {path.name for path in run.iterdir()} == names
    folder = shutil.copytree(lesson_plan.world, tmp_path / "world")
    for name in ("packer.safetensors", "world.toml"):
        shutil.copy(run / name, folder / name)
    world = World.load(str(folder))
    assert world.packer is not None and not world.packer.training
    assert not any(weight.requires_grad for weight in world.packer.parameters())
    latents, small = torch.ones(1, BLOCK, 16, 6, 8), torch.zeros(1, 2, 48)
    with torch.inference_mode():
        torch.testing.assert_close(
            world.packer(latents, small), packer(latents, small), atol=1e-2, rtol=1e-2
        )


@pytest.mark.parametrize("cut", [0, 100])
def test_a_damaged_state_is_named(lesson_plan: PackerRecipe, tmp_path: Path, cut: int) -> None:
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04" + bytes(cut))
    with pytest.raises(CorruptFile, match="state.pt"):
        train(lesson_plan, tmp_path)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"minutes": 0}, "positive minutes"),
        ({"blind": 1.5}, "a share blind from 0 to 1 .* got 1.5 and 0.1"),
        ({"matching": -1.0}, "got 1.0 and -1.0"),
    ],
)
def test_a_recipe_refuses_nonsense(
    lesson_plan: PackerRecipe, change: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PackerRecipe(**{**msgspec.structs.asdict(lesson_plan), **change})

"""The commands that train: their recipes are sound, and a kill in the middle costs only time."""

from pathlib import Path

import pytest

from worldrt.codec import build
from worldrt.config import load
from worldrt.errors import WorldrtError
from worldrt.model import Transformer
from worldrt.training import launch
from worldrt.training.codec import CodecRecipe
from worldrt.training.packer import PackerRecipe
from worldrt.training.trainer import WorldRecipe


def test_the_shipped_recipes_fit_each_other() -> None:
    codec = load(launch.RECIPES / "codec.toml", CodecRecipe)
    world = load(launch.RECIPES / "maze.toml", WorldRecipe)
    assert codec.codec == world.world.codec
    assert codec.recording == world.recording
    assert world.recording.camera == world.world.camera
    packer = load(launch.RECIPES / "packer.toml", PackerRecipe)
    assert packer.recording == world.recording and packer.world == world.world.name
    assert build(codec.codec).channels == Transformer(world.world.model).config.in_channels


def test_the_smoke_recipe_is_the_shipped_one_made_small(tmp_path: Path) -> None:
    small = launch._smoke_recipe(tmp_path)
    full = load(launch.RECIPES / "maze.toml", WorldRecipe)
    assert small.world.camera == full.world.camera and small.world.sampler == full.world.sampler
    assert small.world.model.spatial_channels - small.world.model.in_channels == (
        full.world.model.spatial_channels - full.world.model.in_channels
    )
    assert small.minutes < 1 and small.recording.episodes < 20


def test_a_training_that_ends_by_itself_is_no_kill(tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text("nonsense = 1\n")
    with pytest.raises(WorldrtError, match="ended by itself, code 2"):
        launch._until_killed(tmp_path, tmp_path / "world" / "state.pt", began=1e18)


@pytest.mark.slow
def test_it_trains_is_killed_resumes_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("vizdoom")
    launch.smoke(tmp_path)
    said = capsys.readouterr().err
    assert "killed with a checkpoint" in said and "resumed and ended" in said
    assert (tmp_path / "world" / "model.safetensors").exists()

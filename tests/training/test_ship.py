"""A finished run becomes a world that loads."""

import shutil
from pathlib import Path

import pytest
import torch

from worldrt.errors import InputError
from worldrt.training.ship import STARTS, ship
from worldrt.world import World


def test_what_is_shipped_loads_and_has_its_starts(world_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    shutil.copytree(world_folder, tmp_path / "run")
    ship(tmp_path / "run", tmp_path / "run" / "codec.safetensors", tmp_path / "out")
    shipped, trained = World.load(str(tmp_path / "out")), World.load(str(world_folder))
    assert shipped.config == trained.config
    pairs = zip(shipped.model.parameters(), trained.model.parameters(), strict=True)
    assert all(torch.allclose(half, whole, atol=1e-3) for half, whole in pairs)
    for name, seed in STARTS.items():
        start = shipped.start(name, context_frames=96)
        assert start.maze == seed and len(start.poses) == 97


def test_an_unfinished_run_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="world.toml"):
        ship(tmp_path, tmp_path / "codec.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()

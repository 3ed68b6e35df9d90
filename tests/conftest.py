"""What all tests share: one thread, unhurried hypothesis, golden numbers, and a world to walk."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file
from torch import Tensor

from tests.tiny import room_start, write_world
from worldrt.checkpoints import files, keymap
from worldrt.config import ModelConfig
from worldrt.model import Transformer
from worldrt.starts import Start
from worldrt.world import World

GOLDEN = Path(__file__).parent / "golden"

# A shared machine can pause any test for seconds.
settings.register_profile("worldrt", deadline=None)
settings.load_profile("worldrt")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Sums in one order, so that equal inputs give equal bits."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """Reads a file of tests/golden/ by its stem."""
    return lambda stem: load_file(GOLDEN / f"{stem}.safetensors")


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """The shape of the model that computed the golden numbers."""
    return ModelConfig(
        dim=96, num_heads=4, num_layers=3, ffn_dim=128, in_channels=16, text_dim=32, text_len=16
    )


@pytest.fixture(scope="session")
def tiny(golden: Callable[[str], dict[str, Tensor]], tiny_config: ModelConfig) -> Transformer:
    """The model that computed the golden numbers; no test may change it."""
    tensors = golden("weights")
    published = {name: value for name, value in tensors.items() if name != "prompt"}
    model = Transformer(tiny_config).eval().requires_grad_(False)
    files.load_strict(model, keymap.from_wan(published), GOLDEN / "weights.safetensors")
    return model


@pytest.fixture(scope="session")
def prompt(golden: Callable[[str], dict[str, Tensor]]) -> Tensor:
    """[1, 16, 32] rows of the prompt behind the golden numbers."""
    return golden("weights")["prompt"]


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world on disk, with random weights; no test may change it."""
    return write_world(tmp_path_factory.mktemp("world") / "tiny")


@pytest.fixture(scope="session")
def world(world_folder: Path) -> World:
    """The tiny world; sessions leave it as it is."""
    return World.load(str(world_folder))


@pytest.fixture(scope="session")
def start() -> Start:
    """Two and a half blocks of real frames of a room."""
    return room_start(10)

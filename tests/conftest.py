"""What all tests share: one thread, unhurried hypothesis, the golden numbers and their model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file
from torch import Tensor

from worldrt.checkpoints import files, keymap
from worldrt.config import ModelConfig
from worldrt.model import Transformer

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

"""A training run: what it leaves, how it goes on, and what it refuses."""

from pathlib import Path

import msgspec
import pytest

from worldrt.config import WorldConfig, load
from worldrt.errors import CorruptFile, InputError
from worldrt.model import Transformer
from worldrt.training.trainer import WorldRecipe
from worldrt.training.world import train


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

"""Low-rank changes: merged as the paper says, whatever their names."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.published import diffusers, write_lora
from worldrt.checkpoints.keymap import Place
from worldrt.checkpoints.lora import Lora
from worldrt.checkpoints.source import open_source
from worldrt.errors import CheckpointError

LAYER = "blocks.2.cross_attn.k"
PLACE = Place("layers.2.cross.kv.weight", 0, 2)


def factors(rank: int = 3, out: int = 5, into: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = (rank, into), (out, rank)
    down, up = (torch.randn(shape, generator=generator) for shape in shapes)
    return down, up


def written(folder: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, folder / "lora.safetensors")
    return folder / "lora.safetensors"


@pytest.mark.parametrize(
    "down, up",
    [
        (f"base_model.model.{LAYER}.lora_A.weight", f"base_model.model.{LAYER}.lora_B.weight"),
        (f"{LAYER}.lora_A.default.weight", f"{LAYER}.lora_B.default.weight"),
        (f"diffusion_model.{LAYER}.lora_down.weight", f"diffusion_model.{LAYER}.lora_up.weight"),
        (
            "transformer.blocks.2.attn2.to_k.lora_A.weight",
            "transformer.blocks.2.attn2.to_k.lora_B.weight",
        ),
    ],
)
@pytest.mark.parametrize("alpha, scale", [(None, 1.0), (6.0, 2.0), (1.5, 0.5)])
def test_a_change_is_alpha_over_rank_times_up_times_down(
    tmp_path: Path, down: str, up: str, alpha: float | None, scale: float
) -> None:
    a, b = factors()
    lora = Lora(open_source(written(tmp_path, {down: a, up: b})), alpha)
    weight = torch.ones(5, 7)
    assert lora.places == {PLACE}
    expected = weight.double() + scale * (b.double() @ a.double())
    assert torch.allclose(lora.merge(PLACE, weight).double(), expected, atol=1e-6)
    assert lora.merge(Place("layers.2.cross.kv.weight", 1, 2), weight) is weight


def test_alpha_is_taken_from_the_user_then_the_file_then_the_settings(tmp_path: Path) -> None:
    a, b = factors()
    names = {f"{LAYER}.lora_down.weight": a, f"{LAYER}.lora_up.weight": b}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 12, "r": 3}))

    def scale(tensors: dict[str, Tensor], alpha: float | None = None) -> float:
        lora = Lora(open_source(written(tmp_path, tensors)), alpha)
        change = lora.merge(PLACE, torch.zeros(5, 7))
        return float(change.norm() / (b @ a).norm())

    assert scale(names) == pytest.approx(4)
    assert scale(names | {f"{LAYER}.alpha": torch.tensor(1.5)}) == pytest.approx(0.5)
    assert scale(names, alpha=9.0) == pytest.approx(3)


def test_half_precision_is_merged_in_float32(tmp_path: Path) -> None:
    a, b = (factor.bfloat16() for factor in factors())
    tensors = {f"{LAYER}.lora_A.weight": a, f"{LAYER}.lora_B.weight": b}
    merged = Lora(open_source(written(tmp_path, tensors))).merge(PLACE, torch.ones(5, 7).bfloat16())
    assert torch.equal(merged, torch.ones(5, 7) + b.float() @ a.float())


def test_every_published_linear_layer_has_a_place(tmp_path: Path) -> None:
    """Original names and diffusers' give the same places."""
    layers = [f"blocks.1.{x}_attn.{y}" for x in ("self", "cross") for y in "qkvo"]
    layers += ["blocks.1.ffn.0", "blocks.1.ffn.2"]
    named = {f"{layer}.weight": torch.empty(0) for layer in layers}
    places = []
    for index, names in enumerate((named, diffusers(named))):
        path = tmp_path / f"{index}.safetensors"
        write_lora(path, {name.removesuffix(".weight"): (5, 7) for name in names}, 2)
        places.append(Lora(open_source(path)).places)
    assert places[0] == places[1] and len(places[0]) == 10


@pytest.mark.parametrize(
    "tensors, says",
    [
        (
            {"text_model.q.lora_A.weight": torch.ones(2, 2)},
            "lora.safetensors: 'text_model.q.lora_A.weight' is no factor of a layer of a Wan "
            "transformer; it is a LoRA of another model.",
        ),
        (
            {f"{LAYER}.diff_b": torch.ones(2), f"{LAYER}.lora_A.weight": torch.ones(2, 2)},
            f"lora.safetensors: '{LAYER}.diff_b' is no factor",
        ),
        (
            {f"{LAYER}.lora_A.weight": torch.ones(2, 2)},
            "lora.safetensors: the LoRA of 'layers.2.cross.kv.weight' has 1 of 2 factors, down; it "
            "is incomplete.",
        ),
        (
            {
                f"{LAYER}.lora_A.weight": torch.ones(2, 7),
                f"{LAYER}.lora_B.weight": torch.ones(5, 3),
            },
            "lora.safetensors: the LoRA of 'layers.2.cross.kv.weight' has factors of [2, 7] and "
            "[5, 3], which can't be multiplied; it is damaged.",
        ),
        (
            {
                f"{LAYER}.lora_A.weight": torch.full((2, 7), torch.nan),
                f"{LAYER}.lora_B.weight": torch.ones(5, 2),
            },
            f"lora.safetensors: '{LAYER}.lora_A.weight' has 14 of 14 values that are not finite; "
            "the file is damaged.",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Tensor], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(tensors, "lora.safetensors")
    with pytest.raises(CheckpointError) as caught:
        Lora(open_source(Path("lora.safetensors")))
    assert str(caught.value).startswith(says)


def test_a_change_of_another_size(tmp_path: Path) -> None:
    a, b = factors()
    tensors = {f"{LAYER}.lora_A.weight": a, f"{LAYER}.lora_B.weight": b}
    lora = Lora(open_source(written(tmp_path, tensors)))
    with pytest.raises(CheckpointError, match=r"a matrix of \[5, 7\], it has \[5, 6\]"):
        lora.merge(PLACE, torch.ones(5, 6))


@pytest.mark.parametrize("rule", [{"use_rslora": True}, {"alpha_pattern": {"q": 3}}])
def test_another_rule_of_scale(tmp_path: Path, rule: dict[str, object]) -> None:
    a, b = factors()
    tensors = {f"{LAYER}.lora_A.weight": a, f"{LAYER}.lora_B.weight": b}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 3} | rule))
    with pytest.raises(CheckpointError, match="merge it with PEFT first"):
        Lora(open_source(written(tmp_path, tensors)))

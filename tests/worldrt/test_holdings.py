"""What weights lie somewhere, without reading them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.published import original, write_clone, write_lora
from worldrt.checkpoints.source import Source
from worldrt.holdings import survey

pytest.importorskip("diffusers")

Golden = Callable[[str], dict[str, Tensor]]


@pytest.fixture
def wan(golden: Golden) -> dict[str, Tensor]:
    return original(golden("weights"))


@pytest.fixture
def clone(tmp_path: Path, golden: Golden) -> Path:
    return write_clone(tmp_path / "Wan2.1-T2V-tiny", golden("weights"), golden("umt5"))


def unread(*_: object) -> None:
    raise AssertionError("a tensor was read")


def test_a_survey_reads_heads_only(
    clone: Path, wan: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lora(clone / "lora.pt", {"blocks.0.self_attn.q": (96, 96)}, 2)
    save_file({"conv.weight": torch.ones(3)}, clone / "clip.safetensors")
    (clone / "half.pth").write_bytes((clone / "Wan2.1_VAE.pth").read_bytes()[:999])
    monkeypatch.setattr(Source, "read", unread)
    holdings = {Path(one.place).name: one for one in survey(clone)}
    transformer = holdings["diffusion_pytorch_model-00001-of-00002.safetensors"]
    assert transformer.what == "transformer, original" and transformer.usable and transformer.fits
    assert transformer.detail == "Wan width 96, 3 layers, 4 heads of 24, 16 channels"
    assert transformer.parameters == sum(tensor.numel() for tensor in wan.values())
    assert transformer.types == ["float32"]
    assert holdings["Wan2.1_VAE.pth"].detail == "Wan2.1's codec, 16 channels"
    assert holdings["models_t5_umt5-xxl-enc-bf16.pth"].detail == "umT5, 2 layers of 32, 64 tokens"
    assert holdings["lora.pt"].detail == "2 tensors, from 'generator_lora'"
    assert not holdings["clip.safetensors"].usable and not holdings["half.pth"].usable
    assert holdings["half.pth"].detail.endswith("copy or download it again.")
    assert (
        "holds 1 tensors, first 'conv.weight', and none of" in holdings["clip.safetensors"].detail
    )

"""What weights are, told by names and shapes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.published import diffusers, original, write_lora, write_settings
from worldrt.checkpoints.families import EncoderConfig, WanCodecConfig, identify, size_name
from worldrt.checkpoints.heads import Entry
from worldrt.checkpoints.source import Source, open_source
from worldrt.config import ModelConfig
from worldrt.errors import CheckpointError

Golden = Callable[[str], dict[str, Tensor]]


@pytest.fixture
def wan(golden: Golden) -> dict[str, Tensor]:
    return original(golden("weights"))


def opened(folder: Path, tensors: dict[str, Tensor], **settings: object) -> Source:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "w.bin")
    if settings:
        write_settings(folder, **settings)
    return open_source(folder / "w.bin")


def shapes_only(shapes: dict[str, tuple[int, ...]], **settings: object) -> Source:
    """A source of a size that no test could write."""
    entries = {
        name: Entry(Path("x"), 0, 2, torch.bfloat16, shape, (1,), 0)
        for name, shape in shapes.items()
    }
    return Source(Path("x"), (Path("x"),), entries, "", settings)


def wan_shapes(dim: int, ffn: int, layers: int, channels: int = 16) -> dict[str, tuple[int, ...]]:
    block = {
        "self_attn.q.weight": (dim, dim),
        "ffn.0.weight": (ffn, dim),
        "norm3.weight": (dim,),
    }
    return {
        "patch_embedding.weight": (dim, channels, 1, 2, 2),
        "text_embedding.0.weight": (dim, 4096),
        "time_embedding.0.weight": (dim, 256),
        "head.head.weight": (64, dim),
        **{f"blocks.{i}.{name}": shape for i in range(layers) for name, shape in block.items()},
    }


@pytest.mark.parametrize("naming", [lambda t: t, diffusers], ids=["original", "diffusers"])
def test_a_transformer_s_numbers_come_from_its_shapes(
    tmp_path: Path,
    wan: dict[str, Tensor],
    tiny_config: ModelConfig,
    naming: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    source = opened(tmp_path, naming(wan), num_heads=4, text_len=16, model_type="t2v")
    card = identify(source)
    assert card.component == "transformer" and card.config == tiny_config


@pytest.mark.parametrize(
    "dim, ffn, layers, heads, size",
    [(1536, 8960, 30, 12, "1.3B"), (5120, 13824, 40, 40, "14B")],
)
def test_published_sizes_need_no_settings(
    dim: int, ffn: int, layers: int, heads: int, size: str
) -> None:
    config = identify(shapes_only(wan_shapes(dim, ffn, layers))).config
    assert config == ModelConfig(
        dim=dim,
        num_heads=heads,
        num_layers=layers,
        ffn_dim=ffn,
        in_channels=16,
        text_dim=4096,
    )
    assert isinstance(config, ModelConfig) and size_name(config) == size


def test_a_lora_is_one(tmp_path: Path) -> None:
    write_lora(tmp_path / "lora.pt", {"blocks.0.self_attn.q": (6, 6)}, 2, "base_model.model.")
    card = identify(open_source(tmp_path / "lora.pt"))
    assert (card.component, card.config) == ("lora", None)


def test_umt5_xxl() -> None:
    block = "blocks.{}."
    shapes = {"token_embedding.weight": (256384, 4096)}
    for i in range(24):
        shapes |= {
            f"{block.format(i)}attn.q.weight": (4096, 4096),
            f"{block.format(i)}pos_embedding.embedding.weight": (32, 64),
            f"{block.format(i)}ffn.gate.0.weight": (10240, 4096),
        }
    expected = EncoderConfig(
        vocab=256384,
        dim=4096,
        ffn_dim=10240,
        num_heads=64,
        head_dim=64,
        num_layers=24,
        buckets=32,
    )
    card = identify(shapes_only(shapes))
    assert (card.component, card.layout, card.config) == ("text", "original", expected)


@pytest.mark.parametrize(
    "layout, sign, first, quant",
    [
        ("original", "decoder.middle.0.residual.0.gamma", "encoder.conv1", "conv2"),
        (
            "diffusers",
            "decoder.mid_block.resnets.0.norm1.gamma",
            "encoder.conv_in",
            "post_quant_conv",
        ),
    ],
)
def test_the_codec(layout: str, sign: str, first: str, quant: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        sign: (384, 1, 1, 1),
        f"{first}.weight": (96, 3, 3, 3, 3),
        f"{quant}.weight": (16, 16, 1, 1, 1),
    }
    card = identify(shapes_only(shapes))
    assert (card.component, card.layout) == ("codec", layout)
    assert card.config == WanCodecConfig(dim=96, channels=16)
    wide = shapes | {f"{quant}.weight": (48, 48, 1, 1, 1)}
    with pytest.raises(CheckpointError, match="latents of 48 channels, Wan2.1's codec has 16"):
        identify(shapes_only(wide))


LARGE = wan_shapes(1536, 8960, 30)


@pytest.mark.parametrize(
    "shapes, settings, says",
    [
        (
            {"conv.weight": (3, 3)},
            {},
            "x holds 1 tensors, first 'conv.weight', and none of 'blocks.0.self_attn.q.weight', ",
        ),
        (
            wan_shapes(1536, 8960, 29),
            {},
            "x has 29 layers of width 1536, Wan 1.3B has 30; it is incomplete.",
        ),
        (
            {name: shape for name, shape in LARGE.items() if "blocks.7." not in name},
            {},
            "x has 29 layers up to number 29 and lacks layer 7; it is incomplete.",
        ),
        (
            LARGE,
            {"num_layers": 40, "num_heads": 12},
            "config.json beside x says num_layers 40, the tensors make it 30; they belong to "
            "different models, or one is incomplete.",
        ),
        (
            wan_shapes(96, 128, 2),
            {},
            "x does not say its number of heads and width 96 is no multiple of 128; put the "
            "model's config.json beside it.",
        ),
        (
            wan_shapes(1536, 8960, 30, channels=36),
            {},
            "x takes 36 channels and returns 16: it needs an image or a rendering beside the "
            "noise, for which there is no module here; take a text-to-video model.",
        ),
        (
            LARGE | {"patch_embedding_wancamctrl.weight": (1536, 1536)},
            {},
            "x is LingBot-World: 'patch_embedding_wancamctrl.weight' is one of its 95 tensors, and "
            "there is no module for it here; take a text-to-video model.",
        ),
        (
            LARGE | {"blocks.3.action_model.t_qkv.weight": (3072, 1024)},
            {},
            "x is Matrix-Game: 'blocks.3.action_model.t_qkv.weight' is one of its 95 tensors",
        ),
        (
            {name: shape for name, shape in LARGE.items() if name != "head.head.weight"},
            {},
            "x lacks 'head.out.weight' among its 93 tensors; it is incomplete.",
        ),
        (
            LARGE | {"patch_embedding.weight": (1536, 64)},
            {},
            "x: 'patch.weight' has shape [1536, 64], expected 5 axes; it is damaged or belongs to "
            "another model.",
        ),
        (
            LARGE | {"patch_embedding.weight": (1536, 16, 2, 2, 2)},
            {},
            "x: a patch of 2x2x2 and 64 outputs can't be cut into tokens of 1xNxN; it belongs to "
            "another model.",
        ),
    ],
)
def test_what_is_refused(
    shapes: dict[str, tuple[int, ...]], settings: dict[str, object], says: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        identify(shapes_only(shapes, **settings))
    assert str(caught.value).startswith(says)


def test_settings_beside_are_read(tmp_path: Path, wan: dict[str, Tensor]) -> None:
    source = opened(tmp_path, wan, num_attention_heads=2, eps=1e-5)
    assert json.loads((tmp_path / "config.json").read_text()) == source.settings
    config = identify(source).config
    assert isinstance(config, ModelConfig)
    assert (config.num_heads, config.eps, config.text_len) == (2, 1e-5, 512)

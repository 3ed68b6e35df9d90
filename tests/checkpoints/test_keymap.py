"""Published names: every tensor finds its place, and what finds none says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.published import diffusers, original
from worldrt.checkpoints.files import load_strict
from worldrt.checkpoints.keymap import (
    DIFFUSERS,
    WAN,
    KeyMap,
    Place,
    fold,
    from_wan,
    strip_wrappers,
)
from worldrt.config import ModelConfig
from worldrt.errors import CheckpointError, MissingTensor, ShapeMismatch, UnexpectedTensor
from worldrt.model import Transformer

Golden = Callable[[str], dict[str, Tensor]]
FILE = Path("wan.safetensors")


@pytest.fixture
def published(golden: Golden) -> dict[str, Tensor]:
    return {name: value for name, value in golden("weights").items() if name != "prompt"}


def load(tensors: dict[str, Tensor], config: ModelConfig) -> Transformer:
    model = Transformer(config)
    load_strict(model, from_wan(tensors), FILE)
    return model


def test_every_published_tensor_is_in_the_model(
    published: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    """Loaded values are the published ones, all of them: sums and counts agree."""
    state = load(published, tiny_config).state_dict()
    assert sum(t.numel() for t in state.values()) == sum(t.numel() for t in published.values())
    for ours, parts in {
        "patch.weight": ["patch_embedding.weight"],
        "levels.bias": ["time_projection.1.bias"],
        "layers.2.modulation": ["blocks.2.modulation"],
        "layers.1.attention.qkv.weight": [f"blocks.1.self_attn.{x}.weight" for x in "qkv"],
        "layers.1.attention.qkv.bias": [f"blocks.1.self_attn.{x}.bias" for x in "qkv"],
        "layers.0.attention.out.weight": ["blocks.0.self_attn.o.weight"],
        "layers.0.cross.kv.weight": [f"blocks.0.cross_attn.{x}.weight" for x in "kv"],
        "layers.0.cross.norm_q.weight": ["blocks.0.cross_attn.norm_q.weight"],
        "layers.0.cross_norm.bias": ["blocks.0.norm3.bias"],
        "layers.1.ffn.2.weight": ["blocks.1.ffn.2.weight"],
        "head.out.weight": ["head.head.weight"],
        "head.modulation": ["head.modulation"],
    }.items():
        joined = torch.cat([published[f"model.{part}"].flatten() for part in parts])
        assert torch.equal(state[ours].flatten(), joined), ours


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "model.",
        "model._fsdp_wrapped_module.",
        "_orig_mod.model._fsdp_wrapped_module._checkpoint_wrapped_module.",
    ],
)
def test_prefixes_of_trainers_carry_no_meaning(published: dict[str, Tensor], prefix: str) -> None:
    wrapped = {prefix + name.removeprefix("model."): t for name, t in published.items()}
    plain, found = from_wan(published), from_wan(wrapped)
    assert plain.keys() == found.keys()
    assert all(torch.equal(plain[name], found[name]) for name in plain)


def test_wrappers_inside_a_name_go_too() -> None:
    name = "model.blocks.3._fsdp_wrapped_module.ffn.0.weight"
    assert strip_wrappers(name) == "blocks.3.ffn.0.weight"
    assert strip_wrappers("blocks.3.model.ffn") == "blocks.3.model.ffn"


def test_order_in_the_file_does_not_matter(published: dict[str, Tensor]) -> None:
    plain, back = from_wan(published), from_wan(dict(reversed(published.items())))
    assert all(torch.equal(plain[name], back[name]) for name in plain)


def test_an_unknown_tensor_names_itself(
    published: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    published["model.blocks.0.img_attn.k.weight"] = torch.zeros(2)
    with pytest.raises(UnexpectedTensor, match="1 tensors beyond .*'blocks.0.img_attn.k.weight'"):
        load(published, tiny_config)


def test_any_missing_tensor_names_its_place(
    published: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    """Whichever tensor a file lacks, loading it fails and says where."""
    places, model = from_wan(published).keys(), Transformer(tiny_config)
    for gone in (name for name in published if ".0." not in name and ".2." not in name):
        rest = {name: tensor for name, tensor in published.items() if name != gone}
        with pytest.raises((MissingTensor, ShapeMismatch)) as caught:
            load_strict(model, from_wan(rest), FILE)
        assert any(f"'{place}'" in str(caught.value) for place in places)


def test_a_misshapen_tensor_names_itself(
    published: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    published["model.blocks.1.ffn.0.weight"] = torch.zeros(128, 95)
    with pytest.raises(ShapeMismatch, match=r"'layers.1.ffn.0.weight' .*\[128, 95\].*\[128, 96\]"):
        load(published, tiny_config)


def test_parts_that_can_not_be_stacked_name_themselves(published: dict[str, Tensor]) -> None:
    published["model.blocks.1.self_attn.k.weight"] = torch.zeros(96, 95)
    with pytest.raises(CheckpointError, match=r"'layers.1.attention.qkv.weight'.*\[96, 95\]"):
        from_wan(published)


def test_a_model_of_another_depth_is_refused(published: dict[str, Tensor]) -> None:
    shallow = ModelConfig(
        dim=96, num_heads=4, num_layers=2, ffn_dim=128, in_channels=16, text_dim=32, text_len=16
    )
    with pytest.raises(UnexpectedTensor, match="layers.2"):
        load(published, shallow)


def test_rows_that_share_a_name_are_stacked_in_their_order() -> None:
    keymap = KeyMap([("a", "x"), (r"b\.(\d)", r"y.\1"), ("c", "x")])
    assert keymap.place("a") == Place("x", 0, 2) and keymap.place("c") == Place("x", 1, 2)
    assert keymap.place("b.3") == Place("y.3", 0, 1)
    assert keymap.place("b") is None and keymap.place("aa") is None


def test_both_layouts_have_the_same_places(published: dict[str, Tensor]) -> None:
    names = original(published)
    for one, other in zip(names, diffusers(names), strict=True):
        assert WAN.place(one) == DIFFUSERS.place(other) is not None


def test_diffusers_own_model_reads_these_names_and_gives_the_golden_flow(golden: Golden) -> None:
    """So the names are right, not only equal to themselves."""
    models = pytest.importorskip("diffusers")
    tensors = golden("bidirectional")
    model = models.WanTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=24,
        in_channels=4,
        out_channels=4,
        text_dim=32,
        freq_dim=256,
        ffn_dim=128,
        num_layers=2,
        cross_attn_norm=True,
    ).eval()
    model.load_state_dict(diffusers(original(tensors)), strict=True)
    assert all(DIFFUSERS.place(name) for name in model.state_dict())
    with torch.no_grad():
        flow = model(
            tensors["x"].transpose(1, 2), tensors["t"], tensors["context"], return_dict=False
        )[0]
    assert torch.allclose(flow.transpose(1, 2), tensors["flow"], atol=1.5e-5, rtol=0)


@pytest.mark.parametrize(
    "name, shape, folded",
    [
        ("patch.weight", (96, 16, 1, 2, 2), (96, 64)),
        ("patch.weight", (96, 64), (96, 64)),
        ("patch.weight", (), ()),
        ("layers.3.modulation", (1, 6, 96), (6, 96)),
        ("head.modulation", (2, 96), (2, 96)),
        ("head.modulation", (2, 2, 96), (2, 2, 96)),
        ("layers.0.ffn.0.weight", (1, 96), (1, 96)),
    ],
)
def test_shapes_that_are_kept_otherwise(
    name: str, shape: tuple[int, ...], folded: tuple[int, ...]
) -> None:
    assert fold(name, shape) == folded

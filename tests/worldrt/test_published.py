"""Published weights: a converted copy is the same model, or is not there at all."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.peak import peak
from tests.published import (
    diffusers,
    linear_layers,
    original,
    write_clone,
    write_lora,
    write_settings,
    write_shards,
)
from worldrt import published
from worldrt.checkpoints import budget
from worldrt.checkpoints.families import identify
from worldrt.checkpoints.loading import load
from worldrt.checkpoints.source import Source, open_source
from worldrt.config import ModelConfig
from worldrt.config import load as load_config
from worldrt.errors import (
    CheckpointError,
    CorruptFile,
    InputError,
    MissingTensor,
    OutputError,
)
from worldrt.model import Transformer
from worldrt.published import MANIFEST, Manifest, convert
from worldrt.text import load_encoder
from worldrt.wan_codec import WanCodec

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

Golden = Callable[[str], dict[str, Tensor]]


@pytest.fixture
def wan(golden: Golden) -> dict[str, Tensor]:
    return original(golden("weights"))


@pytest.fixture
def clone(tmp_path: Path, golden: Golden) -> Path:
    return write_clone(tmp_path / "Wan2.1-T2V-tiny", golden("weights"), golden("umt5"))


def unread(*_: object) -> None:
    raise AssertionError("a tensor was read")


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    source = open_source(folder)
    card = identify(source)
    assert isinstance(card.config, ModelConfig)
    with torch.device("meta"):
        model = Transformer(card.config)
    load(model, source, card.keymap, dtype=dtype)
    return model


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_clone_of_the_published_folder(clone: Path, tmp_path: Path, tiny: Transformer) -> None:
    told = list[tuple[int, int]]()
    out = tmp_path / "out"
    manifest = convert(
        clone, out, dtype=torch.float32, tell=lambda done, total: told.append((done, total))
    )
    model = loaded(out / "transformer")
    assert model.config == tiny.config and same(model.state_dict(), tiny.state_dict())
    codec = WanCodec(open_source(out / "codec"), dtype=torch.float32)
    first = WanCodec(open_source(clone / "Wan2.1_VAE.pth"), dtype=torch.float32)
    assert same(codec.model.state_dict(), first.model.state_dict())
    t5 = clone / "models_t5_umt5-xxl-enc-bf16.pth"
    encoders = [
        load_encoder(open_source(place), dtype=torch.float32)
        for place in (out / "text_encoder", t5)
    ]
    assert same(encoders[0].state_dict(), encoders[1].state_dict())
    assert (out / "tokenizer.json").read_text() == "{}"
    assert load_config(out / MANIFEST, Manifest) == manifest
    total = told[-1][1]
    assert told == [(done, total) for done in range(1, total + 1)]
    assert {origin.file: origin.sha256 for origin in manifest.origins} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in clone.iterdir()
        if path.suffix in (".safetensors", ".pth")
    }
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_every_layout_converts_to_the_same_bytes(tmp_path: Path, wan: dict[str, Tensor]) -> None:
    places = [tmp_path / name for name in "abc"]
    for place in places:
        place.mkdir()
        write_settings(place, num_heads=4, text_len=16)
    save_file(wan, places[0] / "diffusion_pytorch_model.safetensors")
    write_shards(places[1], diffusers(wan), 3)
    wrapped = {f"model._fsdp_wrapped_module.{name}": tensor for name, tensor in wan.items()}
    torch.save({"generator_ema": wrapped, "critic": wan}, places[2] / "self_forcing_dmd.pt")
    digests, parts = set(), list[str]()
    for place in places:
        manifest = convert(place, tmp_path / f"{place.name}.out")
        parts += {origin.part for origin in manifest.origins}
        file = tmp_path / f"{place.name}.out" / "transformer" / "model.safetensors"
        digests.add(hashlib.sha256(file.read_bytes()).hexdigest())
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.bfloat16}
    assert len(digests) == 1
    assert parts == ["", "", "generator_ema"]


def test_a_lora_is_in_the_copy(tmp_path: Path, wan: dict[str, Tensor]) -> None:
    base = tmp_path / "longlive_base.pt"
    torch.save({"generator": {f"model.{name}": t for name, t in wan.items()}}, base)
    write_settings(tmp_path, num_heads=4, text_len=16)
    changes = write_lora(tmp_path / "lora.pt", linear_layers(wan), 8, "base_model.model.")
    out = tmp_path / "out"
    manifest = convert(base, out, lora=tmp_path / "lora.pt", alpha=4, dtype=torch.float32)
    by_hand = {name: tensor.clone() for name, tensor in wan.items()}
    for layer, change in changes.items():
        by_hand[f"{layer}.weight"] += 0.5 * change
    (tmp_path / "hand").mkdir()
    save_file(by_hand, tmp_path / "hand" / "w.safetensors")
    write_settings(tmp_path / "hand", num_heads=4, text_len=16)
    found, expected = (loaded(place) for place in (out / "transformer", tmp_path / "hand"))
    for name, value in found.state_dict().items():
        assert torch.allclose(value, expected.state_dict()[name], atol=1e-6), name
    digest = hashlib.sha256((tmp_path / "lora.pt").read_bytes()).hexdigest()
    assert [(o.component, o.sha256) for o in manifest.origins][1] == ("lora", digest)


def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    """What a copy takes is its largest tensor, and what looks at it; not the sum of all.

    The measure counts the model on the meta device, too, which has no memory.
    """
    config = ModelConfig(
        dim=192, num_heads=4, num_layers=8, ffn_dim=768, in_channels=16, text_dim=32, text_len=16
    )
    with torch.random.fork_rng():
        model = Transformer(config)
    (tmp_path / "a").mkdir()
    save_file(model.state_dict(), tmp_path / "a" / "model.safetensors")
    (tmp_path / "a" / "config.json").write_text(
        json.dumps({name: getattr(config, name) for name in config.__struct_fields__})
    )
    total = sum(tensor.nbytes for tensor in model.state_dict().values())
    largest = max(tensor.nbytes for tensor in model.state_dict().values())
    with peak() as found:
        convert(tmp_path / "a", tmp_path / "b", dtype=torch.float32)
    assert total <= found.bytes < total + 3 * largest < 1.2 * total
    assert same(loaded(tmp_path / "b" / "transformer").state_dict(), dict(model.state_dict()))


@pytest.mark.parametrize("failure", ["nan", "missing", "truncated", "disk"])
def test_a_failure_leaves_nothing_behind(
    clone: Path,
    tmp_path: Path,
    wan: dict[str, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
) -> None:
    error: type[Exception] = CheckpointError
    if failure == "nan":
        write_shards(clone, wan | {"blocks.2.ffn.2.bias": torch.full((96,), torch.nan)}, 2)
    elif failure == "missing":
        error = MissingTensor
        write_shards(clone, {n: t for n, t in wan.items() if n != "blocks.1.self_attn.k.bias"}, 2)
    elif failure == "truncated":
        error = CorruptFile
        path = clone / "Wan2.1_VAE.pth"
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        error = OutputError
        usage = SimpleNamespace(free=1000)
        monkeypatch.setattr(published.shutil, "disk_usage", lambda path: usage)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error):
        convert(clone, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_no_room_is_said_before_anything_is_written(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "free_host", lambda: 1000)
    monkeypatch.setattr(Source, "read", unread)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match="MiB of memory to load, this machine has 0 MiB"):
        convert(clone, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_what_can_not_be_converted(clone: Path, tmp_path: Path, wan: dict[str, Tensor]) -> None:
    with pytest.raises(OutputError, match="is there already; name a folder that is not"):
        convert(clone, clone)
    with pytest.raises(OutputError, match="absent does not exist; make it first"):
        convert(clone, tmp_path / "absent" / "out")
    write_lora(tmp_path / "lora.pt", {"blocks.0.self_attn.q": (96, 96)}, 2)
    with pytest.raises(InputError, match="is a LoRA of 2 tensors; name its base, and this with"):
        convert(tmp_path / "lora.pt", tmp_path / "out")
    with pytest.raises(InputError, match="holds 1 components, none of them a transformer"):
        convert(clone / "Wan2.1_VAE.pth", tmp_path / "out", lora=tmp_path / "lora.pt")
    convert(clone, tmp_path / "copy")
    with pytest.raises(InputError, match="is a converted copy, whose 78 tensors are stacked; merg"):
        convert(tmp_path / "copy", tmp_path / "out", lora=tmp_path / "lora.pt")
    save_file(wan, clone / "second.safetensors")
    with pytest.raises(InputError, match="holds 2 sets of weights of one component, transformer"):
        convert(clone, tmp_path / "out")


def test_a_converted_transformer_without_its_numbers(tmp_path: Path, tiny: Transformer) -> None:
    save_file(tiny.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not tell the model's 78 tensors .*convert it"):
        identify(open_source(tmp_path))

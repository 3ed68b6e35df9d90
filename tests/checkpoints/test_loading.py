"""Published weights in a module: every layout gives the same bits, what does not fit is refused."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.peak import peak
from tests.published import diffusers, linear_layers, original, write_lora, write_shards
from worldrt.checkpoints import budget
from worldrt.checkpoints.families import HEAD_DIM, identify
from worldrt.checkpoints.keymap import DIFFUSERS, SAME, WAN, KeyMap
from worldrt.checkpoints.loading import load, passing, settle
from worldrt.checkpoints.lora import Lora
from worldrt.checkpoints.source import open_source
from worldrt.config import ModelConfig
from worldrt.errors import (
    CheckpointError,
    MissingTensor,
    ShapeMismatch,
    UnexpectedTensor,
)
from worldrt.kernels.rope import Rope
from worldrt.model import DenseContext, Transformer

Golden = Callable[[str], dict[str, Tensor]]
MIB = 2**20


@pytest.fixture
def wan(golden: Golden) -> dict[str, Tensor]:
    return original(golden("weights"))


def empty(config: ModelConfig) -> Transformer:
    with torch.device("meta"):
        return Transformer(config)


def loaded(
    place: Path, config: ModelConfig, keymap: KeyMap = WAN, lora: Lora | None = None
) -> Transformer:
    model = empty(config)
    load(model, open_source(place), keymap, dtype=torch.float32, lora=lora)
    return model.eval().requires_grad_(False)


def same(one: nn.Module, two: nn.Module) -> bool:
    states = one.state_dict(), two.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


def wrap(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def write_layouts(folder: Path, wan: dict[str, Tensor]) -> dict[str, tuple[Path, KeyMap]]:
    """The same weights in every published layout."""
    made = {name: folder / name for name in ("wan", "diffusers", "causvid", "krea", "trainers")}
    for path in made.values():
        path.mkdir()
    write_shards(made["wan"], wan, 3)
    write_shards(made["diffusers"], diffusers(wan), 2)
    torch.save({"generator": wrap(wan, "model.")}, made["causvid"] / "model.pt")
    save_file(wrap(wan, "model."), made["krea"] / "krea-realtime-video-14b.safetensors")
    ema = wrap(wan, "model._fsdp_wrapped_module.")
    zeros = {name: torch.zeros_like(tensor) for name, tensor in ema.items()}
    spare = {"_cls_pred_branch.0.weight": torch.ones(3), "_register_tokens": torch.ones(1, 2)}
    torch.save(
        {"generator": zeros, "generator_ema": ema | spare, "critic": zeros, "step": 600},
        made["trainers"] / "self_forcing_dmd.pt",
    )
    torch.save(wan, folder / "bare.pth")
    found = {name: (path, DIFFUSERS if name == "diffusers" else WAN) for name, path in made.items()}
    return found | {"bare": (folder / "bare.pth", WAN)}


def test_every_layout_gives_the_published_output_bit_for_bit(
    tmp_path: Path, wan: dict[str, Tensor], tiny: Transformer, tiny_config: ModelConfig
) -> None:
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(1, 2, 16, 4, 6, generator=generator)
    text = torch.randn(1, 16, 32, generator=generator)

    def flow(model: Transformer) -> Tensor:
        context = DenseContext(Rope.of_grid(24, 2, 3).table([0, 1]))
        times = torch.tensor([[900.0, 500.0]])
        return model(latents, times, context, None, model.read_text(text))

    expected = flow(tiny)
    for name, (place, keymap) in write_layouts(tmp_path, wan).items():
        model = loaded(place, tiny_config, keymap)
        assert same(model, tiny), name
        assert torch.equal(flow(model), expected), name


def test_a_file_of_our_own_names(tmp_path: Path, tiny: Transformer) -> None:
    save_file(tiny.state_dict(), tmp_path / "model.safetensors")
    assert same(loaded(tmp_path, tiny.config, SAME), tiny)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_type_that_is_asked_for(
    tmp_path: Path, wan: dict[str, Tensor], tiny: Transformer, dtype: torch.dtype
) -> None:
    save_file(wan, tmp_path / "w.safetensors")
    model = empty(tiny.config)
    load(model, open_source(tmp_path), WAN, dtype=dtype)
    for name, value in model.state_dict().items():
        assert torch.equal(value, tiny.state_dict()[name].to(dtype)), name


def test_a_lora_is_merged_in_every_layer(
    tmp_path: Path, wan: dict[str, Tensor], tiny: Transformer
) -> None:
    """LongLive's form: the names of the base without its `model.`, rank and alpha equal."""
    torch.save({"generator": wrap(wan, "model.")}, tmp_path / "base.pt")
    layers = linear_layers(wan)
    changes = write_lora(tmp_path / "lora.pt", layers, 8, "base_model.model.")
    assert len(layers) == 3 * 10
    merged = loaded(tmp_path / "base.pt", tiny.config, lora=Lora(open_source(tmp_path / "lora.pt")))
    by_hand = {name: tensor.clone() for name, tensor in wan.items()}
    for layer, change in changes.items():
        by_hand[f"{layer}.weight"] += change
    save_file(by_hand, tmp_path / "by_hand.safetensors")
    assert same(merged, loaded(tmp_path / "by_hand.safetensors", tiny.config))
    assert not same(merged, tiny)


def test_a_lora_of_a_deeper_model(
    tmp_path: Path, wan: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    save_file(wan, tmp_path / "w.safetensors")
    write_lora(tmp_path / "lora.pt", {"blocks.3.self_attn.q": (96, 96)}, 2)
    with pytest.raises(UnexpectedTensor, match=r"'layers\.3\.attention\.qkv\.weight'"):
        loaded(
            tmp_path / "w.safetensors",
            tiny_config,
            lora=Lora(open_source(tmp_path / "lora.pt")),
        )


@pytest.mark.parametrize(
    "change, error, says",
    [
        (
            {"blocks.1.self_attn.k.weight": None},
            MissingTensor,
            "w.bin lacks 1 of 78 tensors, first 'layers.1.attention.qkv.weight'; it belongs to "
            "another model or is incomplete.",
        ),
        (
            {"blocks.0.extra.weight": torch.ones(2)},
            UnexpectedTensor,
            "w.bin holds 1 tensors beyond the 78 of this model, first 'blocks.0.extra.weight'; it "
            "belongs to another model.",
        ),
        (
            {"blocks.1.ffn.0.weight": torch.ones(128, 95)},
            ShapeMismatch,
            "w.bin: 'blocks.1.ffn.0.weight' has shape [128, 95], the model needs [128, 96]; check "
            "that world.toml belongs to these weights.",
        ),
        (
            {"blocks.1.self_attn.v.bias": torch.ones(95)},
            ShapeMismatch,
            "w.bin: 'blocks.1.self_attn.v.bias' has shape [95], the model needs [96]; check that "
            "world.toml belongs to these weights.",
        ),
        (
            {"blocks.2.ffn.2.bias": torch.ones(96).to(torch.float8_e4m3fn)},
            CheckpointError,
            "w.bin: 'blocks.2.ffn.2.bias' is float8_e4m3fn, weights are float32, bfloat16, "
            "float16; take the file that is not quantised.",
        ),
        (
            {"blocks.2.ffn.2.weight": torch.full((96, 128), torch.nan)},
            CheckpointError,
            "w.bin: 'blocks.2.ffn.2.weight' has 12288 of 12288 values that are not finite; the "
            "file is damaged.",
        ),
    ],
)
def test_what_does_not_fit_names_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wan: dict[str, Tensor],
    tiny_config: ModelConfig,
    change: dict[str, Tensor | None],
    error: type[CheckpointError],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = {name: value for name, value in (wan | change).items() if value is not None}
    save_file(changed, "w.bin")
    with pytest.raises(error) as caught:
        loaded(Path("w.bin"), tiny_config)
    assert str(caught.value) == says


def test_what_does_not_fit_is_refused_before_anything_is_allocated(
    tmp_path: Path, wan: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    save_file(wan | {"extra": torch.ones(1)}, tmp_path / "w.bin")
    source, model = open_source(tmp_path / "w.bin"), empty(tiny_config)
    with peak() as found, pytest.raises(UnexpectedTensor):
        load(model, source, WAN)
    assert found.bytes == 0


def test_too_little_memory_is_said_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wan: dict[str, Tensor], tiny: Transformer
) -> None:
    save_file(wan, tmp_path / "w.bin")
    source, model = open_source(tmp_path / "w.bin"), empty(tiny.config)
    stays = 2 * sum(tensor.numel() for tensor in wan.values())
    needed = stays + passing(source, torch.bfloat16)
    monkeypatch.setattr(budget, "free_host", lambda: needed - 1)
    with peak() as found, pytest.raises(CheckpointError, match="of memory to load, this machine"):
        load(model, source, WAN)
    assert found.bytes == 0
    monkeypatch.setattr(budget, "free_host", lambda: needed)
    load(model, source, WAN)


class Wide(nn.Module):
    """Layers without meaning, large enough to be measured."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(512, 512, bias=False) for _ in range(layers))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_memory_at_the_peak(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    """At most 1.1 times the largest file beside what stays; in truth a tensor and its copy."""
    layers = 12
    tensors = {f"layers.{i}.weight": torch.full((512, 512), float(i)) for i in range(layers)}
    if suffix == "pt":
        torch.save(tensors, tmp_path / "w.pt")
        shard = layers * MIB
    else:
        write_shards(tmp_path, tensors, 4)
        shard = layers * MIB // 4
    source = open_source(tmp_path)
    with torch.device("meta"):
        module = Wide(layers)
    with peak() as found:
        load(module, source, SAME, dtype=dtype)
    stays = layers * 512 * 512 * dtype.itemsize
    assert found.left == pytest.approx(stays, abs=4096)
    assert found.bytes <= stays + 1.1 * shard
    assert found.bytes <= stays + passing(source, dtype) + 8 * MIB // 2
    for name, value in module.state_dict().items():
        assert torch.equal(value, tensors[name].to(dtype))


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from torch import nn
from worldrt.checkpoints.keymap import SAME
from worldrt.checkpoints.loading import load
from worldrt.checkpoints.source import open_source
from worldrt.errors import CheckpointError

torch.set_num_threads(1)
source = open_source(Path(sys.argv[1]))
with torch.device("meta"):
    module = nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(24)))
torch.ones(2**21).bfloat16()  # what torch takes for itself, once
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
for spare in (50, 80):
    resource.setrlimit(resource.RLIMIT_AS, (taken + spare * 2**20, resource.RLIM_INFINITY))
    try:
        load(module, source, SAME)
    except CheckpointError as error:
        print(error)
print(float(module[23].weight[5, 7]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory")
def test_a_set_larger_than_memory_loads(tmp_path: Path) -> None:
    """96 MiB of float32 in two files, 48 MiB of bfloat16 that stay: too much for 50, not for 80."""
    tensors = {f"{i}.weight": torch.full((1024, 1024), float(i)) for i in range(24)}
    write_shards(tmp_path, tensors, 2)
    run = [sys.executable, "-c", LIMITED, str(tmp_path)]
    result = subprocess.run(run, capture_output=True, text=True)
    refusal, value = result.stdout.splitlines() or (result.stderr, "")
    assert re.search(r"needs 54 MiB of memory to load, this machine has (50|4\d) MiB free", refusal)
    assert value == "23.0", result.stderr


def test_only_a_head_is_needed_to_settle(
    tmp_path: Path, wan: dict[str, Tensor], tiny_config: ModelConfig
) -> None:
    """Rows of stacked tensors follow one another and cover each of ours exactly once."""
    save_file(wan, tmp_path / "w.bin")
    own = empty(tiny_config).state_dict()
    targets = settle(open_source(tmp_path / "w.bin"), WAN, own)
    covered = {name: torch.zeros(value.shape) for name, value in own.items()}
    for target in targets.values():
        covered[target.place.name][target.first : target.first + target.shape[0]] += 1
    assert all(bool((value == 1).all()) for value in covered.values())


def test_identified_numbers_build_the_model(tmp_path: Path, wan: dict[str, Tensor]) -> None:
    """Without config.json a width of 128 a head is taken, as all published models have."""
    save_file(wan, tmp_path / "w.bin")
    (tmp_path / "config.json").write_text('{"num_heads": 4, "text_len": 16}')
    source = open_source(tmp_path / "w.bin")
    card = identify(source)
    assert isinstance(card.config, ModelConfig) and card.config.head_dim != HEAD_DIM
    load(empty(card.config), source, card.keymap)

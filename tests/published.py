"""Small files in the layouts in which weights are published, written from golden numbers."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

RENAMED = (
    ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
    ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
    ("time_projection.1.", "condition_embedder.time_proj."),
    ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
    ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
    ("head.modulation", "scale_shift_table"),
    ("head.head.", "proj_out."),
    (".modulation", ".scale_shift_table"),
    (".self_attn.", ".attn1."),
    (".cross_attn.", ".attn2."),
    (".q.", ".to_q."),
    (".k.", ".to_k."),
    (".v.", ".to_v."),
    (".o.", ".to_out.0."),
    (".norm3.", ".norm2."),
    (".ffn.0.", ".ffn.net.0.proj."),
    (".ffn.2.", ".ffn.net.2."),
)
"""What diffusers' own converter replaces in the names of the original."""


def original(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The transformer's tensors of a golden file under their original names, without prefix."""
    return {
        name.removeprefix("model."): tensor.clone()
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }


def diffusers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as diffusers names them."""
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def write_settings(folder: Path, **settings: Any) -> None:
    """Write `config.json`."""
    (folder / "config.json").write_text(json.dumps(settings))


def write_shards(folder: Path, tensors: Mapping[str, Tensor], number: int) -> list[Path]:
    """Write a sharded set with its index, as diffusers names the files."""
    stem = "diffusion_pytorch_model"
    names = sorted(tensors)
    paths, table = [], {}
    for index in range(number):
        path = folder / f"{stem}-{index + 1:05}-of-{number:05}.safetensors"
        mine = names[index::number]
        save_file({name: tensors[name].contiguous() for name in mine}, path)
        table |= dict.fromkeys(mine, path.name)
        paths.append(path)
    index = {"metadata": {"total_size": 1}, "weight_map": table}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    return paths


def write_lora(
    path: Path, layers: Mapping[str, tuple[int, int]], rank: int, prefix: str = ""
) -> dict[str, Tensor]:
    """Write random factors in PEFT's names.

    Args:
        path: a .safetensors file, or a .pt file with them under `generator_lora`.
        layers: name to (out, in) of each layer that changes.
        rank: of each change.
        prefix: of the names.

    Returns:
        up @ down by layer, in float32.
    """
    generator = torch.Generator().manual_seed(5)
    tensors, changes = {}, {}
    for layer, (out, into) in layers.items():
        down = torch.randn(rank, into, generator=generator)
        up = torch.randn(out, rank, generator=generator)
        tensors |= {f"{prefix}{layer}.lora_A.weight": down, f"{prefix}{layer}.lora_B.weight": up}
        changes[layer] = up @ down
    if path.suffix == ".pt":
        torch.save({"generator_lora": tensors}, path)
    else:
        save_file(tensors, path)
    return changes


def linear_layers(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """Layers of the blocks that LongLive's LoRA changes, with (out, in)."""
    return {
        name.removesuffix(".weight"): (tensor.shape[0], tensor.shape[1])
        for name, tensor in tensors.items()
        if re.fullmatch(r"blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])\.weight", name)
    }


RESIDUAL = (
    (".norm1.", ".residual.0."),
    (".conv1.", ".residual.2."),
    (".norm2.", ".residual.3."),
    (".conv2.", ".residual.6."),
    (".conv_shortcut.", ".shortcut."),
)
"""Parts of a residual module of the codec: diffusers' names and the original ones."""
ENDS = (
    (".conv_in.", ".conv1."),
    (".norm_out.", ".head.0."),
    (".conv_out.", ".head.2."),
    (".mid_block.resnets.0.", ".middle.0."),
    (".mid_block.attentions.0.", ".middle.1."),
    (".mid_block.resnets.1.", ".middle.2."),
    (".down_blocks.", ".downsamples."),
)
"""The other parts of the codec."""


def original_codec(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The codec's tensors by the names of `Wan2.1_VAE.pth`, from those of diffusers."""
    outer = {"quant_conv": "conv1", "post_quant_conv": "conv2"}
    renamed = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if first in outer:
            renamed[f"{outer[first]}.{rest}"] = tensor
            continue
        for old, new in (*RESIDUAL, *ENDS):
            name = name.replace(old, new)
        match = re.match(r"decoder\.up_blocks\.(\d)\.(?:resnets\.(\d)|upsamplers\.0)", name)
        if match:
            index = 4 * int(match[1]) + int(match[2] or 3)
            name = f"decoder.upsamples.{index}{name[match.end() :]}"
        renamed[name] = tensor
    return renamed


def write_codec(folder: Path) -> Path:
    """Write a small codec with seeded weights: `Wan2.1_VAE.pth` and diffusers' `vae`.

    Returns:
        The file in the original layout.
    """
    from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoencoderKLWan(base_dim=4, z_dim=16)
    tensors = model.state_dict()
    (folder / "vae").mkdir(parents=True)
    save_file(tensors, folder / "vae" / "diffusion_pytorch_model.safetensors")
    torch.save(original_codec(tensors), folder / "Wan2.1_VAE.pth")
    return folder / "Wan2.1_VAE.pth"


def write_clone(folder: Path, weights: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> Path:
    """Write a folder as one gets it by cloning Wan2.1-T2V, of golden weights.

    Args:
        folder: to make.
        weights: the transformer's, of four heads and prompts of 16 rows.
        encoder: the text encoder's.

    Returns:
        The folder.
    """
    (folder / "google" / "umt5-xxl").mkdir(parents=True)
    (folder / "google" / "umt5-xxl" / "tokenizer.json").write_text("{}")
    write_shards(folder, original(weights), 2)
    write_settings(folder, num_heads=4, text_len=16, model_type="t2v")
    write_codec(folder / "codec").replace(folder / "Wan2.1_VAE.pth")
    shutil.rmtree(folder / "codec")
    torch.save(original(encoder), folder / "models_t5_umt5-xxl-enc-bf16.pth")
    return folder

"""Published names of tensors to ours: a renamed tensor is a line here, an unknown one an error."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from worldrt.errors import CheckpointError

# Prefixes that trainers leave behind; they carry no meaning.
WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")

# Original Wan2.1 name, ours. Tensors that map to one name are stacked in the order of this table.
WAN = (
    (r"patch_embedding\.(weight|bias)", r"patch.\1"),
    (r"time_embedding\.(0|2)\.(weight|bias)", r"time.\1.\2"),
    (r"time_projection\.1\.(weight|bias)", r"levels.\1"),
    (r"text_embedding\.(0|2)\.(weight|bias)", r"text.\1.\2"),
    (r"blocks\.(\d+)\.modulation", r"layers.\1.modulation"),
    (r"blocks\.(\d+)\.self_attn\.q\.(weight|bias)", r"layers.\1.attention.qkv.\2"),
    (r"blocks\.(\d+)\.self_attn\.k\.(weight|bias)", r"layers.\1.attention.qkv.\2"),
    (r"blocks\.(\d+)\.self_attn\.v\.(weight|bias)", r"layers.\1.attention.qkv.\2"),
    (r"blocks\.(\d+)\.self_attn\.o\.(weight|bias)", r"layers.\1.attention.out.\2"),
    (r"blocks\.(\d+)\.self_attn\.norm_(q|k)\.weight", r"layers.\1.attention.norm_\2.weight"),
    (r"blocks\.(\d+)\.norm3\.(weight|bias)", r"layers.\1.cross_norm.\2"),
    (r"blocks\.(\d+)\.cross_attn\.q\.(weight|bias)", r"layers.\1.cross.q.\2"),
    (r"blocks\.(\d+)\.cross_attn\.k\.(weight|bias)", r"layers.\1.cross.kv.\2"),
    (r"blocks\.(\d+)\.cross_attn\.v\.(weight|bias)", r"layers.\1.cross.kv.\2"),
    (r"blocks\.(\d+)\.cross_attn\.o\.(weight|bias)", r"layers.\1.cross.out.\2"),
    (r"blocks\.(\d+)\.cross_attn\.norm_(q|k)\.weight", r"layers.\1.cross.norm_\2.weight"),
    (r"blocks\.(\d+)\.ffn\.(0|2)\.(weight|bias)", r"layers.\1.ffn.\2.\3"),
    (r"head\.modulation", r"head.modulation"),
    (r"head\.head\.(weight|bias)", r"head.out.\1"),
)


def strip_wrappers(name: str) -> str:
    """`name` without the prefixes of trainers and without a leading `model.`."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name.removeprefix("model.")


def from_wan(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename, stack and flatten the tensors of an original Wan2.1 transformer.

    Args:
        tensors: by published name, with or without trainers' prefixes.

    Returns:
        By the names of `worldrt.model.Transformer`; names that the table does not know are kept, so
        that strict loading reports them.

    Raises:
        CheckpointError: parts of one of our tensors have different widths.
    """
    parts: dict[str, list[tuple[int, Tensor]]] = {}
    for published, tensor in tensors.items():
        name = strip_wrappers(published)
        for order, (pattern, ours) in enumerate(WAN):
            match = re.fullmatch(pattern, name)
            if match:
                parts.setdefault(match.expand(ours), []).append((order, tensor))
                break
        else:
            parts[name] = [(0, tensor)]
    return {name: _shape(name, _stack(name, pieces)) for name, pieces in parts.items()}


def _stack(name: str, pieces: list[tuple[int, Tensor]]) -> Tensor:
    ordered = [tensor for _, tensor in sorted(pieces, key=lambda piece: piece[0])]
    if len({tensor.shape[1:] for tensor in ordered}) > 1:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in ordered)
        raise CheckpointError(
            f"The parts of {name!r} have shapes {shapes} and can't be stacked; the file is damaged "
            "or belongs to another model."
        )
    return ordered[0] if len(ordered) == 1 else torch.cat(ordered)


def _shape(name: str, tensor: Tensor) -> Tensor:
    if name == "patch.weight":  # [E, C, 1, p, q]: a convolution whose kernel is its stride
        return tensor.flatten(1)
    if name.endswith("modulation"):  # [1, 6, E]
        return tensor.squeeze(0)
    return tensor

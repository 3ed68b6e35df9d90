"""Published names of tensors to ours: a renamed tensor is a line here, an unknown one an error."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.errors import CheckpointError

WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")
"""Prefixes that trainers leave behind; they carry no meaning."""

DOWNSAMPLES, UPSAMPLES = 11, 15
"""Modules of Wan's encoder and decoder, four stages each; the last stage changes no resolution."""
STAGE = 4
"""Modules of one stage of the decoder: three residual ones, and one that enlarges."""


class Place(NamedTuple):
    """Where a published tensor belongs."""

    name: str
    """Ours."""
    part: int
    """Which of `parts` it is, stacked along the first axis."""
    parts: int


class KeyMap:
    """Published names to ours.

    Args:
        rows: patterns of whole published names, and our names. Where several rows have one name of
            ours, their tensors are stacked in the order of the rows.
    """

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        names = [ours for _, ours in rows]
        self._rows = [
            (re.compile(pattern), ours, names[:index].count(ours), names.count(ours))
            for index, (pattern, ours) in enumerate(rows)
        ]

    def place(self, published: str) -> Place | None:
        """Where the tensor belongs; None: the map does not know it."""
        for pattern, ours, part, parts in self._rows:
            match = pattern.fullmatch(published)
            if match:
                return Place(match.expand(ours), part, parts)
        return None


def _attention(published: str, parts: str, ours: str, stacked: str) -> list[tuple[str, str]]:
    """Rows of an attention: a stack for several letters that share one of our names."""
    rows = [
        (rf"blocks\.(\d+)\.{published}\.{part}\.(weight|bias)", rf"layers.\1.{ours}.{stack}.\2")
        for part, stack in zip(parts.split(), stacked.split(), strict=True)
    ]
    norms = rf"blocks\.(\d+)\.{published}\.norm_(q|k)\.weight"
    return [*rows, (norms, rf"layers.\1.{ours}.norm_\2.weight")]


WAN = KeyMap(
    [
        (r"patch_embedding\.(weight|bias)", r"patch.\1"),
        (r"time_embedding\.(0|2)\.(weight|bias)", r"time.\1.\2"),
        (r"time_projection\.1\.(weight|bias)", r"levels.\1"),
        (r"text_embedding\.(0|2)\.(weight|bias)", r"text.\1.\2"),
        (r"blocks\.(\d+)\.modulation", r"layers.\1.modulation"),
        *_attention("self_attn", "q k v o", "attention", "qkv qkv qkv out"),
        (r"blocks\.(\d+)\.norm3\.(weight|bias)", r"layers.\1.cross_norm.\2"),
        *_attention("cross_attn", "q k v o", "cross", "q kv kv out"),
        (r"blocks\.(\d+)\.ffn\.(0|2)\.(weight|bias)", r"layers.\1.ffn.\2.\3"),
        (r"head\.modulation", r"head.modulation"),
        (r"head\.head\.(weight|bias)", r"head.out.\1"),
    ]
)
"""Original Wan2.1 transformer, and all that were trained from its code."""

DIFFUSERS = KeyMap(
    [
        (r"patch_embedding\.(weight|bias)", r"patch.\1"),
        (r"condition_embedder\.time_embedder\.linear_1\.(weight|bias)", r"time.0.\1"),
        (r"condition_embedder\.time_embedder\.linear_2\.(weight|bias)", r"time.2.\1"),
        (r"condition_embedder\.time_proj\.(weight|bias)", r"levels.\1"),
        (r"condition_embedder\.text_embedder\.linear_1\.(weight|bias)", r"text.0.\1"),
        (r"condition_embedder\.text_embedder\.linear_2\.(weight|bias)", r"text.2.\1"),
        (r"blocks\.(\d+)\.scale_shift_table", r"layers.\1.modulation"),
        *_attention("attn1", r"to_q to_k to_v to_out\.0", "attention", "qkv qkv qkv out"),
        (r"blocks\.(\d+)\.norm2\.(weight|bias)", r"layers.\1.cross_norm.\2"),
        *_attention("attn2", r"to_q to_k to_v to_out\.0", "cross", "q kv kv out"),
        (r"blocks\.(\d+)\.ffn\.net\.0\.proj\.(weight|bias)", r"layers.\1.ffn.0.\2"),
        (r"blocks\.(\d+)\.ffn\.net\.2\.(weight|bias)", r"layers.\1.ffn.2.\2"),
        (r"scale_shift_table", r"head.modulation"),
        (r"proj_out\.(weight|bias)", r"head.out.\1"),
    ]
)
"""The same transformer as diffusers names it."""

UMT5 = KeyMap(
    [
        (r"token_embedding\.weight", r"shared.weight"),
        (r"blocks\.(\d+)\.norm1\.weight", r"encoder.block.\1.layer.0.layer_norm.weight"),
        (
            r"blocks\.(\d+)\.attn\.(q|k|v|o)\.weight",
            r"encoder.block.\1.layer.0.SelfAttention.\2.weight",
        ),
        (
            r"blocks\.(\d+)\.pos_embedding\.embedding\.weight",
            r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.weight",
        ),
        (r"blocks\.(\d+)\.norm2\.weight", r"encoder.block.\1.layer.1.layer_norm.weight"),
        *(
            (
                rf"blocks\.(\d+)\.ffn\.{published}\.weight",
                rf"encoder.block.\1.layer.1.DenseReluDense.{ours}.weight",
            )
            for published, ours in ((r"gate\.0", "wi_0"), ("fc1", "wi_1"), ("fc2", "wo"))
        ),
        (r"norm\.weight", r"encoder.final_layer_norm.weight"),
    ]
)
"""Wan's umT5 encoder to the names of transformers."""

RESIDUAL = (
    (r"residual\.0\.gamma", "norm1.gamma"),
    (r"residual\.2\.(weight|bias)", r"conv1.\1"),
    (r"residual\.3\.gamma", "norm2.gamma"),
    (r"residual\.6\.(weight|bias)", r"conv2.\1"),
    (r"shortcut\.(weight|bias)", r"conv_shortcut.\1"),
)
"""Parts of a residual module of Wan's codec."""
SAMPLING = (
    (r"resample\.1\.(weight|bias)", r"resample.1.\1"),
    (r"time_conv\.(weight|bias)", r"time_conv.\1"),
)
"""Parts of a module of Wan's codec that changes the resolution."""


def _codec_rows(side: str) -> list[tuple[str, str]]:
    """Rows that encoder and decoder have in common."""
    middle = [
        (rf"{side}\.middle\.{published}\.{part}", f"{side}.mid_block.resnets.{ours}.{to}")
        for published, ours in ((0, 0), (2, 1))
        for part, to in RESIDUAL
    ]
    return [
        (rf"{side}\.conv1\.(weight|bias)", rf"{side}.conv_in.\1"),
        (rf"{side}\.head\.0\.gamma", f"{side}.norm_out.gamma"),
        (rf"{side}\.head\.2\.(weight|bias)", rf"{side}.conv_out.\1"),
        (rf"{side}\.middle\.1\.norm\.gamma", f"{side}.mid_block.attentions.0.norm.gamma"),
        (
            rf"{side}\.middle\.1\.(to_qkv|proj)\.(weight|bias)",
            rf"{side}.mid_block.attentions.0.\1.\2",
        ),
        *middle,
    ]


def _downsample_rows() -> list[tuple[str, str]]:
    """The encoder's modules: diffusers numbers them as they are."""
    return [
        (rf"encoder\.downsamples\.{index}\.{part}", f"encoder.down_blocks.{index}.{to}")
        for index in range(DOWNSAMPLES)
        for part, to in (*RESIDUAL, *SAMPLING)
    ]


def _upsample_rows() -> list[tuple[str, str]]:
    """The decoder's modules: diffusers cuts their flat list into stages."""
    rows = []
    for index in range(UPSAMPLES):
        stage, rest = divmod(index, STAGE)
        enlarges = rest == STAGE - 1
        ours = f"decoder.up_blocks.{stage}." + ("upsamplers.0" if enlarges else f"resnets.{rest}")
        for part, to in SAMPLING if enlarges else RESIDUAL:
            rows.append((rf"decoder\.upsamples\.{index}\.{part}", f"{ours}.{to}"))
    return rows


CODEC = KeyMap(
    [
        (r"conv1\.(weight|bias)", r"quant_conv.\1"),
        (r"conv2\.(weight|bias)", r"post_quant_conv.\1"),
        *_codec_rows("encoder"),
        *_codec_rows("decoder"),
        *_downsample_rows(),
        *_upsample_rows(),
    ]
)
"""Wan2.1's codec to the names of diffusers."""

SAME = KeyMap([(r"(.*)", r"\1")])
"""A file that already has our names, or those of the library that runs it."""


def strip_wrappers(name: str) -> str:
    """`name` without the prefixes of trainers and without a leading `model.`."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name.removeprefix("model.")


def fold(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Shape in which a published tensor is kept under our `name`."""
    if (
        name == "patch.weight" and len(shape) > 1
    ):  # [E, C, 1, p, q]: a convolution whose kernel is its stride
        return shape[0], torch.Size(shape[1:]).numel()
    if name.endswith("modulation") and shape[:1] == (1,):  # [1, 6, E]
        return tuple(shape[1:])
    return tuple(shape)


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
        place = WAN.place(name) or Place(name, 0, 1)
        folded = tensor.reshape(fold(place.name, tensor.shape))
        parts.setdefault(place.name, []).append((place.part, folded))
    return {name: _stack(name, pieces) for name, pieces in parts.items()}


def _stack(name: str, pieces: list[tuple[int, Tensor]]) -> Tensor:
    ordered = [tensor for _, tensor in sorted(pieces, key=lambda piece: piece[0])]
    if len({tensor.shape[1:] for tensor in ordered}) > 1:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in ordered)
        raise CheckpointError(
            f"The parts of {name!r} have shapes {shapes} and can't be stacked; the file is damaged "
            "or belongs to another model."
        )
    return ordered[0] if len(ordered) == 1 else torch.cat(ordered)

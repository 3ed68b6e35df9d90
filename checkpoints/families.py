"""What published weights are, told by the names and shapes of their tensors."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from worldrt.checkpoints.keymap import (
    CODEC,
    DIFFUSERS,
    SAME,
    UMT5,
    WAN,
    KeyMap,
)
from worldrt.checkpoints.source import Source
from worldrt.config import Config, ModelConfig
from worldrt.errors import CheckpointError

Component = Literal["transformer", "codec", "text", "lora"]

HEAD_DIM = 128
"""Channels of a head in every published Wan transformer."""
SIZES = {1536: ("1.3B", 30), 3072: ("5B", 30), 5120: ("14B", 40)}
"""Published size and number of layers by width."""
LATENTS = 16
"""Channels of the codec's latents."""


class Layout(NamedTuple):
    """A way to name the tensors of a component."""

    component: Component
    name: str
    sign: str
    """A tensor that this layout has and no other."""
    keymap: KeyMap


LAYOUTS = (
    Layout("transformer", "original", "blocks.0.self_attn.q.weight", WAN),
    Layout("transformer", "diffusers", "blocks.0.attn1.to_q.weight", DIFFUSERS),
    Layout("transformer", "worldrt", "layers.0.attention.qkv.weight", SAME),
    Layout("codec", "original", "decoder.middle.0.residual.0.gamma", CODEC),
    Layout("codec", "diffusers", "decoder.mid_block.resnets.0.norm1.gamma", SAME),
    Layout("text", "original", "blocks.0.pos_embedding.embedding.weight", UMT5),
    Layout("text", "transformers", "encoder.block.0.layer.0.SelfAttention.q.weight", SAME),
)
"""All that can be loaded, besides a LoRA."""

ADAPTERS = (
    (r"patch_embedding_wancamctrl\..*", "LingBot-World"),
    (r"blocks\.\d+\.attn1\.to_out_prope\..*", "HY-WorldPlay"),
    (r"blocks\.\d+\.action_model\..*", "Matrix-Game"),
    (r"control_adapter\..*", "Magic-World"),
    (r"img_emb\..*|condition_embedder\.image_embedder\..*", "an image-to-video model"),
)
"""Modules that the transformer here lacks, and whose they are."""
LORA = re.compile(r".*\.lora_(A|B|down|up)\b.*")


class EncoderConfig(Config, frozen=True, kw_only=True):
    """The umT5 encoder's shape; umT5-xxl: dim 4096, ffn 10240, 64 heads, 24 layers."""

    vocab: int
    dim: int
    ffn_dim: int
    num_heads: int
    head_dim: int
    num_layers: int
    buckets: int
    """Distances that the attention tells apart."""


class WanCodecConfig(Config, frozen=True, kw_only=True):
    """The video codec's shape; Wan2.1: dim 96, 16 channels."""

    dim: int
    """Channels at full resolution."""
    channels: int
    """Of the latents."""


class Card(NamedTuple):
    """What a source is."""

    component: Component
    layout: str
    keymap: KeyMap
    config: ModelConfig | WanCodecConfig | EncoderConfig | None
    """Its numbers; None for a LoRA, which has those of its base."""


def identify(source: Source) -> Card:
    """Tell what weights are.

    Raises:
        CheckpointError: they are none of what is known, or their shapes contradict each other or
            the `config.json` beside them.
    """
    names = source.entries
    if any(LORA.fullmatch(name) for name in names):
        return Card("lora", "peft", SAME, None)
    for layout in LAYOUTS:
        if layout.sign in names:
            shapes = _Shapes(source, layout.keymap)
            kinds = {"transformer": _transformer, "codec": _codec, "text": _text}
            config = kinds[layout.component](source, shapes)
            return Card(layout.component, layout.name, layout.keymap, config)
    raise CheckpointError(
        f"{source.place} holds {len(names)} tensors, first {min(names)!r}, and none of "
        f"{', '.join(repr(layout.sign) for layout in LAYOUTS)}; it is no transformer, codec, text "
        "encoder or LoRA of the Wan2.1 family."
    )


def size_name(config: ModelConfig) -> str:
    """Published name of a transformer's size."""
    return SIZES[config.dim][0] if config.dim in SIZES else f"width {config.dim}"


class _Shapes:
    """Shapes of a source by our names; asking for one that is missing is an error."""

    def __init__(self, source: Source, keymap: KeyMap) -> None:
        self._source = source
        self._shapes: dict[str, tuple[int, ...]] = {}
        for published, entry in source.entries.items():
            place = keymap.place(published)
            if place is not None:
                self._shapes[place.name] = entry.shape

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def of(self, name: str, axes: int) -> tuple[int, ...]:
        """Shape of a tensor that must have so many axes."""
        if name not in self._shapes:
            raise CheckpointError(
                f"{self._source.place} lacks {name!r} among its {len(self._shapes)} tensors; it is "
                "incomplete."
            )
        shape = self._shapes[name]
        if len(shape) != axes:
            raise CheckpointError(
                f"{self._source.place}: {name!r} has shape {list(shape)}, expected {axes} axes; it "
                "is damaged or belongs to another model."
            )
        return shape

    def count(self, pattern: str) -> int:
        """Layers of the names that `pattern` finds; all numbers from 0 on must be there."""
        found = {int(match[1]) for name in self._shapes if (match := re.match(pattern, name))}
        for index in range(len(found)):
            if index not in found:
                raise CheckpointError(
                    f"{self._source.place} has {len(found)} layers up to number {max(found)} and "
                    f"lacks layer {index}; it is incomplete."
                )
        return len(found)


def _transformer(source: Source, shapes: _Shapes) -> ModelConfig:
    if "layers.0.attention.qkv.weight" in source.entries:
        return _converted(source)
    for name in source.entries:
        for pattern, whose in ADAPTERS:
            if re.fullmatch(pattern, name):
                raise CheckpointError(
                    f"{source.place} is {whose}: {name!r} is one of its {len(source.entries)} "
                    "tensors, and there is no module for it here; take a text-to-video model."
                )
    dim, channels, depth, rows, columns = shapes.of("patch.weight", 5)
    cell = depth * rows * columns
    out, _ = shapes.of("head.out.weight", 2)
    if (depth, rows) != (1, columns) or out % cell:
        raise CheckpointError(
            f"{source.place}: a patch of {depth}x{rows}x{columns} and {out} outputs can't be cut "
            "into tokens of 1xNxN; it belongs to another model."
        )
    if out // cell != channels:
        raise CheckpointError(
            f"{source.place} takes {channels} channels and returns {out // cell}: it needs an "
            "image or a rendering beside the noise, for which there is no module here; take a "
            "text-to-video model."
        )
    layers = shapes.count(r"layers\.(\d+)\.")
    told = {
        "dim": dim,
        "in_dim": channels,
        "in_channels": channels,
        "ffn_dim": shapes.of("layers.0.ffn.0.weight", 2)[0],
        "freq_dim": shapes.of("time.0.weight", 2)[1],
        "text_dim": shapes.of("text.0.weight", 2)[1],
        "num_layers": layers,
    }
    _check_settings(source, told)
    settings = source.settings
    heads = settings.get("num_heads", settings.get("num_attention_heads"))
    if heads is None:
        if dim in SIZES and layers != SIZES[dim][1]:
            size, expected = SIZES[dim]
            raise CheckpointError(
                f"{source.place} has {layers} layers of width {dim}, Wan {size} has {expected}; it "
                "is incomplete."
            )
        if dim % HEAD_DIM:
            raise CheckpointError(
                f"{source.place} does not say its number of heads and width {dim} is no multiple "
                f"of {HEAD_DIM}; put the model's config.json beside it."
            )
        heads = dim // HEAD_DIM
    return ModelConfig(
        dim=dim,
        num_heads=heads,
        num_layers=layers,
        ffn_dim=told["ffn_dim"],
        in_channels=channels,
        patch=rows,
        freq_dim=told["freq_dim"],
        text_dim=told["text_dim"],
        text_len=settings.get("text_len", 512),
        cross_norm="layers.0.cross_norm.weight" in shapes,
        eps=settings.get("eps", 1e-6),
    )


def _converted(source: Source) -> ModelConfig:
    """Numbers that `worldrt convert` has left beside what it wrote."""
    try:
        return msgspec.convert(dict(source.settings), ModelConfig)
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"config.json beside {source.place} does not tell the model's {len(source.entries)} "
            f"tensors ({error}); convert it again."
        ) from error


def _check_settings(source: Source, told: Mapping[str, int]) -> None:
    """Raise CheckpointError where config.json says otherwise than the tensors."""
    for name, value in told.items():
        if source.settings.get(name, value) != value:
            raise CheckpointError(
                f"config.json beside {source.place} says {name} {source.settings[name]}, the "
                f"tensors make it {value}; they belong to different models, or one is incomplete."
            )


def _codec(source: Source, shapes: _Shapes) -> WanCodecConfig:
    dim = shapes.of("encoder.conv_in.weight", 5)[0]
    channels = shapes.of("post_quant_conv.weight", 5)[0]
    if channels != LATENTS:
        raise CheckpointError(
            f"{source.place} has latents of {channels} channels, Wan2.1's codec has {LATENTS}; "
            "take Wan2.1_VAE.pth."
        )
    return WanCodecConfig(dim=dim, channels=channels)


def _text(source: Source, shapes: _Shapes) -> EncoderConfig:
    first = "encoder.block.0.layer."
    vocab, dim = shapes.of("shared.weight", 2)
    buckets, heads = shapes.of(f"{first}0.SelfAttention.relative_attention_bias.weight", 2)
    return EncoderConfig(
        vocab=vocab,
        dim=dim,
        ffn_dim=shapes.of(f"{first}1.DenseReluDense.wi_0.weight", 2)[0],
        num_heads=heads,
        head_dim=shapes.of(f"{first}0.SelfAttention.q.weight", 2)[0] // heads,
        num_layers=shapes.count(r"encoder\.block\.(\d+)\."),
        buckets=buckets,
    )

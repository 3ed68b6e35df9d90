"""What published weights lie somewhere: told by their heads, in the time that it takes to ask."""

from pathlib import Path

import msgspec
import torch

from worldrt.checkpoints.budget import GIB, free_host
from worldrt.checkpoints.families import (
    Card,
    EncoderConfig,
    WanCodecConfig,
    identify,
    size_name,
)
from worldrt.checkpoints.loading import passing
from worldrt.checkpoints.source import Source, find_sets, open_set, total_bytes
from worldrt.config import ModelConfig
from worldrt.errors import WorldrtError


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Weights that were found."""

    place: str
    """Its file, or the first of several."""
    what: str
    """Component and layout; empty where that can't be told."""
    detail: str
    """Its numbers, or why it can't be used."""
    usable: bool
    parameters: int
    types: list[str]
    disk_gib: float
    needs_gib: float
    """Memory to load it in bfloat16."""
    fits: bool
    """Whether this machine's memory has room for that now."""


def survey(place: Path) -> list[Holding]:
    """What weights lie at a place; their heads are read and no tensor is.

    Raises:
        InputError: nothing is there.
    """
    free = free_host()
    return [_look(place, files, free) for files in find_sets(place)]


def _look(place: Path, files: list[Path], free: int) -> Holding:
    parameters = needs = 0
    what, types = "", set[torch.dtype]()
    try:
        source = open_set(place, files)
        types = {entry.dtype for entry in source.entries.values()}
        parameters, needs = source.numel, 2 * source.numel + passing(source, torch.bfloat16)
        card = identify(source)
        what, detail = f"{card.component}, {card.layout}", _detail(card, source)
    except WorldrtError as error:
        detail = str(error)
    return Holding(
        place=str(files[0]),
        what=what,
        detail=detail,
        usable=what != "",
        parameters=parameters,
        types=sorted(str(dtype).removeprefix("torch.") for dtype in types),
        disk_gib=round(total_bytes(files) / GIB, 2),
        needs_gib=round(needs / GIB, 2),
        fits=needs <= free,
    )


def _detail(card: Card, source: Source) -> str:
    part = f"from {source.part!r}" if source.part else ""
    match card.config:
        case ModelConfig() as config:
            told = (
                f"Wan {size_name(config)}, {config.num_layers} layers, {config.num_heads} heads of "
                f"{config.head_dim}, {config.in_channels} channels"
            )
        case EncoderConfig() as config:
            told = f"umT5, {config.num_layers} layers of {config.dim}, {config.vocab} tokens"
        case WanCodecConfig() as config:
            told = f"Wan2.1's codec, {config.channels} channels"
        case _:
            told = f"{len(source.entries)} tensors"
    return ", ".join(filter(None, (told, part)))

"""Published weights copied into one folder: whole, checked, and as the runtime takes them.

A converted folder holds one subfolder a component, each with a `model.safetensors`: the transformer
by our names with its LoRA merged, the codec by those of diffusers, the text encoder by those of
transformers; the tokenizer beside them, and `weights.toml`, which says where all came from.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor, nn

import worldrt
from worldrt.checkpoints.budget import GIB, check_room
from worldrt.checkpoints.families import (
    Card,
    Component,
    EncoderConfig,
    WanCodecConfig,
    identify,
)
from worldrt.checkpoints.files import write_bytes, write_rows
from worldrt.checkpoints.loading import Target, own_tensors, passing, pieces, settle
from worldrt.checkpoints.lora import Lora
from worldrt.checkpoints.source import (
    Source,
    open_all,
    open_source,
)
from worldrt.config import Config, ModelConfig, dump
from worldrt.errors import InputError, OutputError
from worldrt.model import Transformer
from worldrt.text import blank_encoder
from worldrt.wan_codec import blank_codec

MANIFEST = "weights.toml"
FOLDERS: dict[Component, str] = {
    "transformer": "transformer",
    "codec": "codec",
    "text": "text_encoder",
}
"""Subfolder of each component."""
TOKENIZERS = (
    "google/umt5-xxl/tokenizer.json",
    "tokenizer/tokenizer.json",
    "tokenizer.json",
)
"""Where publishers put the tokenizer."""

Tell = Callable[[int, int], None]
"""Told the tensors that are written and how many there are."""


class Origin(Config, frozen=True, kw_only=True):
    """A file that went into a converted folder."""

    component: Component
    file: str
    bytes: int
    sha256: str
    part: str
    """Key of a nested pickle that was taken; empty: none."""


class Manifest(Config, frozen=True, kw_only=True):
    """`weights.toml`: what a converted folder was made of."""

    worldrt: str
    dtype: str
    origins: list[Origin]


class _Job(NamedTuple):
    """A component that is to be written."""

    source: Source
    card: Card
    own: dict[str, Tensor]
    """What it is to hold, on the meta device."""
    targets: dict[str, Target]
    lora: Lora | None


def convert(
    place: Path,
    out: Path,
    *,
    lora: Path | None = None,
    alpha: float | None = None,
    dtype: torch.dtype = torch.bfloat16,
    tell: Tell = lambda done, total: None,
) -> Manifest:
    """Copy published weights into one folder: verified, renamed, of one type, the LoRA merged.

    Every byte is read once; in memory there is one tensor at a time. Everything is settled from the
    heads before the first byte is written, and a failure leaves nothing behind.

    Args:
        place: a file, or a folder with any of transformer, codec and text encoder.
        out: folder to make.
        lora: of the transformer.
        alpha: see `Lora`.
        dtype: of all weights.
        tell: told how it goes.

    Raises:
        InputError: a file is missing, there are several of one component, or a LoRA without a base.
        CheckpointError: a file is damaged, or no weights of this family.
        OutputError: the folder is there already, or there is no room for it.
    """
    if out.exists():
        raise OutputError(f"{out} is there already; name a folder that is not.")
    jobs = _jobs(place, lora, alpha)
    needed = sum(tensor.numel() for job in jobs for tensor in job.own.values()) * dtype.itemsize
    _check_disk(out, needed)
    for job in jobs:
        room = passing(job.source, dtype, job.lora)
        check_room(str(job.source.place), 0, room, torch.device("cpu"))
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        done, total = count(1), sum(len(job.source.entries) for job in jobs)
        origins = list[Origin]()
        for job in jobs:
            origins += _write(job, part, dtype, lambda: tell(next(done), total))
        _copy_tokenizer(place, part)
        manifest = Manifest(
            worldrt=worldrt.__version__,
            dtype=str(dtype).removeprefix("torch."),
            origins=origins,
        )
        write_bytes(part / MANIFEST, dump(manifest).encode())
        part.rename(out)
    except OSError as error:
        raise OutputError(f"{out} can't be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _jobs(place: Path, lora: Path | None, alpha: float | None) -> list[_Job]:
    """What there is to write, every tensor's place settled."""
    jobs: dict[Component, _Job] = {}
    for source in open_all(place):
        card = identify(source)
        if card.component in jobs:
            first = jobs[card.component].source.place
            raise InputError(
                f"{place} holds 2 sets of weights of one component, {card.component}: {first} and "
                f"{source.place}; name one of them."
            )
        if card.config is None:
            raise InputError(
                f"{source.place} is a LoRA of {len(source.entries)} tensors; name its base, and "
                "this with --lora."
            )
        own = own_tensors(_blank(card.config))
        jobs[card.component] = _Job(source, card, own, settle(source, card.keymap, own), None)
    if lora is not None:
        if "transformer" not in jobs:
            raise InputError(
                f"{place} holds {len(jobs)} components, none of them a transformer that {lora} "
                "could change; name its base."
            )
        if jobs["transformer"].card.layout == "worldrt":
            raise InputError(
                f"{place} is a converted copy, whose {len(jobs['transformer'].own)} tensors are "
                f"stacked; merge {lora} into the published weights."
            )
        change = Lora(open_source(lora), alpha)
        jobs["transformer"] = jobs["transformer"]._replace(lora=change)
    return list(jobs.values())


def _blank(config: ModelConfig | WanCodecConfig | EncoderConfig) -> nn.Module:
    match config:
        case ModelConfig():
            with torch.device("meta"):
                return Transformer(config)
        case WanCodecConfig():
            return blank_codec(config)
        case EncoderConfig():
            return blank_encoder(config)


def _check_disk(out: Path, needed: int) -> None:
    if not out.absolute().parent.is_dir():
        raise OutputError(f"The folder {out.absolute().parent} does not exist; make it first.")
    free = shutil.disk_usage(out.absolute().parent).free
    if needed > free:
        raise OutputError(
            f"{out} needs {needed / GIB:.2f} GiB of disk, {free / GIB:.2f} GiB are free; make "
            "room, or name a folder elsewhere."
        )


def _write(job: _Job, part: Path, dtype: torch.dtype, advance: Callable[[], None]) -> list[Origin]:
    """Write a component into its subfolder."""
    source, card = job.source, job.card
    folder = part / FOLDERS[card.component]
    folder.mkdir()
    digests: dict[Path, str] = {}

    def rows() -> Iterator[tuple[str, int, Tensor]]:
        for piece in pieces(source, job.targets, dtype, job.lora, digests):
            yield piece.name, piece.first, piece.tensor
            del piece  # before the next is read
            advance()

    shapes = {name: tuple(tensor.shape) for name, tensor in job.own.items()}
    write_rows(folder / "model.safetensors", shapes, dtype, rows())
    if isinstance(card.config, ModelConfig):
        write_bytes(folder / "config.json", msgspec.json.encode(card.config))
    origins = [_origin(card.component, path, digests[path], source.part) for path in source.files]
    if job.lora is not None:
        part_of = job.lora.source.part
        origins += [_origin("lora", *pair, part_of) for pair in job.lora.digests.items()]
    return origins


def _origin(component: Component, path: Path, sha256: str, part: str) -> Origin:
    size = path.stat().st_size
    return Origin(component=component, file=path.name, bytes=size, sha256=sha256, part=part)


def _copy_tokenizer(place: Path, part: Path) -> None:
    """Take the tokenizer along, where the publisher has put it beside the weights."""
    folder = place if place.is_dir() else place.parent
    for name in TOKENIZERS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, part / "tokenizer.json")
            return

"""Published weights into a module: every place settled first, then filled tensor by tensor."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldrt.checkpoints.budget import check_room
from worldrt.checkpoints.keymap import KeyMap, Place, fold
from worldrt.checkpoints.lora import Lora
from worldrt.checkpoints.source import Source
from worldrt.errors import CheckpointError, MissingTensor, ShapeMismatch, UnexpectedTensor

TYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Element types of weights that are loaded; all else is a quantised file, or no weights."""
SPARE = re.compile(
    r"(_cls_pred_branch|_register_tokens|_gan_ca_blocks)\b.*|encoder\.embed_tokens\.weight"
)
"""Tensors that are passed over: heads of a trainer's discriminator, which generators may carry and
never run, and the second name of umT5's `shared.weight`."""


class Target(NamedTuple):
    """Where a published tensor goes."""

    place: Place
    first: int
    """Row of the module's tensor from which on it stands."""
    shape: tuple[int, ...]
    """That it has there."""


class Piece(NamedTuple):
    """A published tensor as the module takes it."""

    name: str
    """The module's."""
    first: int
    """Row of the module's tensor from which on it stands."""
    tensor: Tensor


def settle(source: Source, keymap: KeyMap, own: Mapping[str, Tensor]) -> dict[str, Target]:
    """Find the place of every tensor of a source, from heads alone.

    Args:
        source: published weights.
        keymap: from their names to the module's.
        own: the module's tensors by name, on any device.

    Returns:
        By published name.

    Raises:
        MissingTensor, UnexpectedTensor, ShapeMismatch: the two don't belong together.
        CheckpointError: a tensor of a type that holds no weights.
    """
    targets: dict[str, Target] = {}
    left = {name: set[int]() for name in own}
    unknown = []
    for published, entry in source.entries.items():
        if SPARE.fullmatch(published):
            continue
        place = keymap.place(published)
        if place is None or place.name not in own:
            unknown.append(published)
            continue
        if entry.dtype not in TYPES:
            known = ", ".join(_short(dtype) for dtype in TYPES)
            raise CheckpointError(
                f"{entry.path}: {published!r} is {_short(entry.dtype)}, weights are {known}; take "
                "the file that is not quantised."
            )
        whole = tuple(own[place.name].shape)
        rows = whole[0] // place.parts
        expected = (rows, *whole[1:])
        if fold(place.name, entry.shape) != expected:
            raise ShapeMismatch(entry.path, published, entry.shape, expected)
        left[place.name].add(place.part)
        targets[published] = Target(place, place.part * rows, expected)
    if unknown:
        raise UnexpectedTensor(source.place, unknown, len(own))
    parts = {target.place.name: target.place.parts for target in targets.values()}
    missing = [name for name, found in left.items() if len(found) < parts.get(name, 1)]
    if missing:
        raise MissingTensor(source.place, missing, len(own))
    return targets


def pieces(
    source: Source,
    targets: Mapping[str, Target],
    dtype: torch.dtype,
    lora: Lora | None = None,
    digests: dict[Path, str] | None = None,
) -> Iterator[Piece]:
    """Read settled weights, in the order of their files.

    Args:
        source: published weights.
        targets: from `settle`.
        dtype: that the pieces get.
        lora: merged into them, in float32 before they get it.
        digests: see `Source.read`.

    Raises:
        CheckpointError: values that are not finite, or a LoRA of another model.
        CorruptFile: a file ends early.
    """
    if lora is not None:
        _check_lora(lora, targets)
    for published, tensor in source.read(targets.keys(), digests):
        place, first, shape = targets[published]
        shaped = tensor.reshape(shape)
        if lora is not None:
            shaped = lora.merge(place, shaped)
        yield Piece(place.name, first, shaped.to(dtype))
        del tensor, shaped  # before the next is read: one at a time in memory


def passing(source: Source, dtype: torch.dtype, lora: Lora | None = None) -> int:
    """Bytes of host memory that reading takes at its peak, beside what stays."""
    largest = max(entry.numel for entry in source.entries.values())
    converted = largest * dtype.itemsize
    if lora is None:
        return source.largest + converted
    merging = 3 * largest * torch.float32.itemsize  # the weight, its change and their sum
    return source.largest + converted + merging + lora.source.numel * torch.float32.itemsize


def load(
    module: nn.Module,
    source: Source,
    keymap: KeyMap,
    *,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
    lora: Lora | None = None,
) -> None:
    """Fill a module that was built on the meta device.

    Host memory at the peak is that of one tensor of the source, beside what stays.

    Args:
        module: without memory yet; `torch.device("meta")` as a context makes it so.
        source: published weights.
        keymap: from their names to the module's.
        dtype: of all weights. The published pipelines run in bfloat16.
        device: where the weights stay.
        lora: merged into them.

    Raises:
        MissingTensor, UnexpectedTensor, ShapeMismatch: the two don't belong together.
        CheckpointError: no room for them, types or values that are no weights.
        CorruptFile: a file ends early.
    """
    unique = own_tensors(module)
    targets = settle(source, keymap, unique)
    stays = sum(tensor.numel() for tensor in unique.values()) * dtype.itemsize
    check_room(str(source.place), stays, passing(source, dtype, lora), torch.device(device))
    filled = {
        name: torch.empty(tensor.shape, dtype=dtype, device=device)
        for name, tensor in unique.items()
    }
    for piece in pieces(source, targets, dtype, lora):
        rows = slice(piece.first, piece.first + len(piece.tensor))
        filled[piece.name][rows].copy_(piece.tensor)
        del piece  # before the next is read
    names = {id(tensor): name for name, tensor in unique.items()}
    own = module.state_dict(keep_vars=True)
    values = {name: filled[names[id(tensor)]] for name, tensor in own.items()}
    module.load_state_dict(values, assign=True)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module, each under the first of its names."""
    first: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        first.setdefault(id(tensor), (name, tensor))
    return dict(first.values())


def _check_lora(lora: Lora, targets: Mapping[str, Target]) -> None:
    """Raise UnexpectedTensor unless every weight that a LoRA changes is there."""
    there = {target.place for target in targets.values()}
    beyond = [place.name for place in lora.places - there]
    if beyond:
        raise UnexpectedTensor(lora.source.place, beyond, len(there))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

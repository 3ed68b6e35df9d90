"""Weights on disk: opened with care, loaded strictly, written whole: a kill leaves the old file."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from worldrt.errors import (
    CorruptFile,
    InputError,
    MissingTensor,
    OutputError,
    ShapeMismatch,
    UnexpectedTensor,
)

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
"""Types that are written row by row, as safetensors calls them."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        InputError: there is no such file.
        CorruptFile: the file is truncated or no safetensors file.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; restore it, or name another world.")
    try:
        return load_file(path)
    except (SafetensorError, json.JSONDecodeError, ValueError) as error:
        raise CorruptFile(path, str(error)) from error


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy `tensors` into `module`; every name and shape must fit.

    Args:
        module: receives the values, in its own dtype.
        tensors: by the module's names.
        path: where they came from, for the sentence of an error.

    Raises:
        MissingTensor, UnexpectedTensor, ShapeMismatch: the module is left as it was.
    """
    own = module.state_dict()
    if missing := own.keys() - tensors.keys():
        raise MissingTensor(path, missing, len(own))
    if unexpected := tensors.keys() - own.keys():
        raise UnexpectedTensor(path, unexpected, len(own))
    for name, place in own.items():
        if place.shape != tensors[name].shape:
            raise ShapeMismatch(path, name, tensors[name].shape, place.shape)
    module.load_state_dict(dict(tensors))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        OutputError: the folder is missing or the disk is full; an older file stays as it was.
    """
    write_bytes(path, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def write_rows(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    dtype: torch.dtype,
    rows: Iterable[tuple[str, int, Tensor]],
) -> None:
    """Write a safetensors file whole or not at all, without ever holding more than one piece of it.

    Args:
        path: the file.
        shapes: of its tensors, none of them a scalar.
        dtype: of all of them.
        rows: name, first row and the rows from there on, in any order; together all rows of all
            tensors.

    Raises:
        OutputError: the folder is missing or the disk is full; an older file stays as it was.
    """
    head: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begins, end = {}, 0
    for name, shape in sorted(shapes.items()):
        begins[name], end = end, end + torch.Size(shape).numel() * dtype.itemsize
        told = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [begins[name], end]}
        head[name] = told
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with _whole(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        file.truncate(start + end)
        for name, first, tensor in rows:
            assert tensor.dtype == dtype
            file.seek(start + begins[name] + first * tensor[0].nbytes)
            file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
            del tensor  # before the next is made


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file, flushed to disk, then renamed.

    Raises:
        OutputError: the folder is missing or the disk is full; an older file stays as it was.
    """
    with _whole(path) as file:
        file.write(content)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` once it is complete on disk, or is gone."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} can't be written ({error.strerror}).") from error
    finally:
        part.unlink(missing_ok=True)

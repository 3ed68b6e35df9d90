"""Weights on disk: opened with care, loaded strictly, written whole: a kill leaves the old file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary file, flushed to disk, then renamed.

    Raises:
        OutputError: the folder is missing or the disk is full; an older file stays as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path} can't be written ({error.strerror}).") from error

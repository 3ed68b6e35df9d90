"""What a published file holds, told by its head: no tensor is read and nothing in it is run."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from worldrt.errors import CheckpointError, CorruptFile, InputError

PARTS = ("generator_ema", "generator", "model", "state_dict", "generator_lora")
"""Where trainers keep the weights inside a pickle, the best first."""
MOST_PICKLE = 2**26
"""Bytes of names and shapes in a pickle; the largest known have 2**20."""
LOCAL_HEADER = 30
"""Bytes before the name of a record inside a zip file."""
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Element types of safetensors files."""


class Entry(NamedTuple):
    """A tensor in a file: a view of bytes that are not read yet."""

    path: Path
    offset: int
    """Bytes from the start of the file to those that the tensor views."""
    size: int
    """How many bytes these are; other tensors may view the same."""
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    """In elements."""
    first: int
    """Element at which the view begins."""

    def view(self, content: Tensor) -> Tensor:
        """The tensor, given its bytes as uint8 [size]."""
        elements = content.view(self.dtype)
        return elements.as_strided(self.shape, self.stride, self.first)

    @property
    def numel(self) -> int:
        return torch.Size(self.shape).numel()


class Head(NamedTuple):
    """What a file says that it holds."""

    entries: dict[str, Entry]
    """By the names in the file."""
    part: str
    """Key of a nested pickle under which they were found; empty: none."""


def read_head(path: Path) -> Head:
    """The tensors of a safetensors file or of a torch pickle, told apart by their content.

    Args:
        path: the file, whatever its name ends in.

    Raises:
        InputError: there is no such file.
        CorruptFile: it is truncated or of neither kind.
        CheckpointError: it would run code, or holds something else than tensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise InputError(f"{path} can't be opened ({error.strerror}).") from error
    if start[8:9] == b"{":  # before all else: the length ahead of it can look like anything
        return Head(_safetensors_head(path), "")
    if start.startswith(b"PK\x03\x04"):
        return _pickle_head(path)
    if start.startswith(b"version https://"):
        size = path.stat().st_size
        raise CorruptFile(path, f"{size} bytes that point to the file, as Git LFS leaves them")
    if start[:1] == b"\x80":
        raise CheckpointError(
            f"{path} is a pickle of before torch 1.6, which can't be read in parts; save it again "
            "with torch, or take it as safetensors."
        )
    raise CorruptFile(path, f"its first bytes {start[:8].hex(' ')} are those of no known file")


def _safetensors_head(path: Path) -> dict[str, Entry]:
    try:
        # It refuses a head that does not cover the file exactly, tensor after tensor.
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.offset_keys()}
            told = {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
        with path.open("rb") as file:
            offset = 8 + int.from_bytes(file.read(8), "little")
    except (SafetensorError, ValueError, OSError) as error:
        raise CorruptFile(path, str(error)) from error
    entries = {}
    for name, (kind, shape) in told.items():
        if kind not in TYPES:
            raise CheckpointError(
                f"{path}: {name!r} is of type {kind}, known are {', '.join(TYPES)}; take the file "
                "that is not quantised."
            )
        dtype = TYPES[kind]
        size = torch.Size(shape).numel() * dtype.itemsize
        stride = torch.empty(shape, device="meta").stride()
        entries[name] = Entry(path, offset, size, dtype, shape, stride, 0)
        offset += size
    return entries


def _pickle_head(path: Path) -> Head:
    records = _records(path)
    try:
        # By the open file: a name that ends in .safetensors would be read as what it says.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = torch.load(file, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = _calls(path)
        if not asked:
            raise CorruptFile(path, "its pickle is damaged") from error
        raise CheckpointError(
            f"{path} asks to call {', '.join(asked)} when it is opened; nothing of it was run. "
            "Take the weights as safetensors, or from their publisher."
        ) from error
    # A damaged pickle is a program gone wrong: what it raises can be anything.
    except Exception as error:
        raise CorruptFile(path, f"its pickle is damaged: {error!r}"[:200]) from error
    part, tensors = _unwrap(path, tree)
    entries = {}
    for name, tensor in tensors.items():
        entry = _pickled(path, name, tensor)
        if records.get(entry.offset) != entry.size:
            raise CorruptFile(
                path,
                f"{name!r} needs {entry.size} bytes at {entry.offset}, there are "
                f"{records.get(entry.offset, 0)}",
            )
        entries[name] = entry
    return Head(entries, part)


def _records(path: Path) -> dict[int, int]:
    """Bytes of every record of a zip file, by where it begins."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            found = {}
            for record in archive.infolist():
                if record.compress_type != zipfile.ZIP_STORED:
                    raise CorruptFile(path, f"{record.filename!r} is compressed, torch stores it")
                if record.filename.endswith("data.pkl") and record.file_size > MOST_PICKLE:
                    raise CorruptFile(
                        path, f"{record.file_size} bytes of names, at most {MOST_PICKLE} make sense"
                    )
                file.seek(record.header_offset + LOCAL_HEADER - 4)
                name, extra = file.read(2), file.read(2)
                lengths = int.from_bytes(name, "little") + int.from_bytes(extra, "little")
                found[record.header_offset + LOCAL_HEADER + lengths] = record.file_size
            return found
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise CorruptFile(path, str(error)) from error


def _calls(path: Path) -> list[str]:
    """What a pickle would call that a file of weights has no reason to; nothing is called."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # as above: the program is damaged, and asks for nothing that can be told
        return []


def _unwrap(path: Path, tree: Any) -> tuple[str, dict[str, Tensor]]:
    """The part of a pickle that holds the weights, and its name."""
    if not isinstance(tree, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(tree).__name__}, not tensors by name; it is no checkpoint."
        )
    part = next((key for key in PARTS if isinstance(tree.get(key), Mapping)), "")
    found = dict(_leaves(path, tree[part] if part else tree))
    if not found:
        raise CheckpointError(
            f"{path} holds no tensors at its top or under {', '.join(PARTS)}; it has "
            f"{', '.join(map(repr, list(tree)[:8])) or 'nothing'}."
        )
    return part, found


def _leaves(path: Path, tree: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in tree.items():
        if isinstance(value, Tensor) and isinstance(name, str):
            yield name, value
        elif not isinstance(value, (int, float, str, type(None))):  # counters and notes
            raise CheckpointError(
                f"{path}: {name!r} is a {type(value).__name__}, not a tensor; it is no checkpoint "
                "of a single model."
            )


def _pickled(path: Path, name: str, tensor: Tensor) -> Entry:
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise CheckpointError(
            f"{path}: {name!r} is {re.sub('^torch.', '', str(tensor.layout))} or quantised, not a "
            "dense tensor; take the file that is neither."
        )
    storage = tensor.untyped_storage()
    offset, size, first = storage._checkpoint_offset, storage.nbytes(), int(tensor.storage_offset())
    assert offset is not None  # torch gives it on the meta device
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = first + sum((length - 1) * stride for length, stride in steps)
    if tensor.numel() and (last + 1) * tensor.dtype.itemsize > size:
        raise CorruptFile(path, f"{name!r} reaches to element {last} of a storage of {size} bytes")
    return Entry(path, offset, size, tensor.dtype, tuple(tensor.shape), tensor.stride(), first)

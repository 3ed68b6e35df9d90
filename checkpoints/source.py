"""Published weights as one set of tensors, however many files they lie in; read once, in order."""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import torch
from torch import Tensor

from worldrt.checkpoints.heads import Entry, read_head
from worldrt.checkpoints.keymap import strip_wrappers
from worldrt.errors import CheckpointError, CorruptFile, InputError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""What the names of files with weights end in."""
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.\w+)")
SPAN = 2**20
"""Bytes at each end of a file that tell it from another, and bytes passed over at a time."""


@dataclass(frozen=True)
class Source:
    """Published weights whose heads are read and whose tensors are not.

    Args:
        place: the file or folder that was named.
        files: all of its files, in order.
        entries: where each tensor lies, by its published name without trainers' prefixes.
        part: key of a nested pickle under which they were found; empty: none.
        settings: `config.json` beside them; empty: there is none.
    """

    place: Path
    files: tuple[Path, ...]
    entries: Mapping[str, Entry]
    part: str
    settings: Mapping[str, Any]

    @property
    def numel(self) -> int:
        """Numbers in all tensors."""
        return sum(entry.numel for entry in self.entries.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest piece that is read at a time."""
        return max(entry.size for entry in self.entries.values())

    def read(
        self, names: Collection[str], digests: dict[Path, str] | None = None
    ) -> Iterator[tuple[str, Tensor]]:
        """Read tensors one after the other, each byte of a file at most once and in its order.

        Args:
            names: which.
            digests: receives the SHA-256 of every file, wholly read for that; None: what lies
                between the tensors is passed over.

        Returns:
            Name and tensor, on the CPU; a tensor that is dropped before the next is asked for
            makes room for it.

        Raises:
            CorruptFile: a file ends before its tensors do.
            CheckpointError: a tensor holds values that are not finite.
        """
        for path in self.files:
            with path.open("rb", buffering=0) as file:
                digest = None if digests is None else hashlib.sha256()
                wanted = [(name, self.entries[name]) for name in names]
                here = [pair for pair in wanted if pair[1].path == path]
                for offset, views in _by_offset(here):
                    _pass_over(file, path, offset, digest)
                    content = _take(file, path, views[0][1].size)
                    if digest is not None:
                        digest.update(content.numpy().data)
                    for name, entry in views:
                        _check_finite(path, name, entry.view(content))
                        yield name, entry.view(content)
                    del content  # before the next is made: one at a time in memory
                if digest is not None and digests is not None:
                    _pass_over(file, path, path.stat().st_size, digest)
                    digests[path] = digest.hexdigest()

    def fingerprint(self) -> str:
        """SHA-256 of the files' sizes and of their first and last bytes: whose they are, quickly.

        It tells one published file from another; it does not tell a damaged one.
        """
        digest = hashlib.sha256()
        for path in self.files:
            size = path.stat().st_size
            digest.update(size.to_bytes(8, "little"))
            with path.open("rb") as file:
                digest.update(file.read(SPAN))
                file.seek(max(0, size - SPAN))
                digest.update(file.read(SPAN))
        return digest.hexdigest()


def _by_offset(here: list[tuple[str, Entry]]) -> Iterator[tuple[int, list[tuple[str, Entry]]]]:
    """Tensors of one file in its order, those together that view the same bytes."""
    here.sort(key=lambda pair: pair[1].offset)
    for offset, group in groupby(here, key=lambda pair: pair[1].offset):
        yield offset, list(group)


def _pass_over(file: BinaryIO, path: Path, to: int, digest: "hashlib._Hash | None") -> None:
    """Go on to byte `to`; through the digest, if there is one."""
    if digest is None:
        file.seek(to)
        return
    while (left := to - file.tell()) > 0:
        more = file.read(min(left, SPAN))
        if not more:
            raise CorruptFile(path, f"it ends {left} bytes early")
        digest.update(more)


def _take(file: BinaryIO, path: Path, size: int) -> Tensor:
    """The next `size` bytes as uint8 [size]."""
    content = torch.empty(size, dtype=torch.uint8)
    view, got = content.numpy().data, 0
    while got < size:  # the system gives at most 2 GiB at a time
        more = file.readinto(view[got:])  # type: ignore[attr-defined]  # an unbuffered file has it
        if not more:
            raise CorruptFile(path, f"it ends {size - got} bytes early")
        got += more
    return content


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    if not (tensor.is_floating_point() and tensor.numel()):
        return
    # The extremes tell as much as a look at every value, take no memory, and are 50 times as fast.
    if all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
        return
    bad = tensor.numel() - int(torch.isfinite(tensor).count_nonzero())
    raise CheckpointError(
        f"{path}: {name!r} has {bad} of {tensor.numel()} values that are not finite; the file is "
        "damaged."
    )


def open_source(path: Path) -> Source:
    """Open the weights of one model: a file, any shard of a set, or a folder with nothing else.

    Raises:
        InputError: no such file, or a folder with no weights or with those of several models.
        CheckpointError: a file is damaged, incomplete, or something else than weights.
    """
    found = open_all(path)
    if len(found) > 1:
        names = ", ".join(str(one.place) for one in found)
        raise InputError(f"{path} holds {len(found)} sets of weights; name one of {names}.")
    return found[0]


def open_all(path: Path) -> list[Source]:
    """Open all weights at a place; see `find_sets` and `open_set`."""
    return [open_set(path, files) for files in find_sets(path)]


def find_sets(path: Path) -> list[list[Path]]:
    """Files at a place that belong together: the shards of a model, or one file alone.

    Args:
        path: a file, any shard of a set, or a folder: what lies in it and in its subfolders.

    Raises:
        InputError: nothing is there.
    """
    if path.is_dir():
        inner = sorted(one for one in path.iterdir() if one.is_dir() and one.name[0] != ".")
        sets = [files for folder in (path, *inner) for files in _sets(folder)]
        if not sets:
            raise InputError(
                f"{path} holds no file that ends in {', '.join(SUFFIXES)}, nor do its folders; "
                "name the folder or the file with the weights."
            )
        return sets
    if not path.is_file():
        raise InputError(f"{path} is missing; name a file with weights, or a folder of them.")
    return [files for files in _sets(path.parent) if path in files] or [[path]]


def _sets(folder: Path) -> list[list[Path]]:
    sets: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and path.is_file():
            shard = SHARD.fullmatch(path.name)
            sets.setdefault(shard[1] + shard[4] if shard else path.name, []).append(path)
    return list(sets.values())


def open_set(place: Path, files: list[Path]) -> Source:
    """Open weights by their files.

    Args:
        place: what the user named, for the sentence of an error where it holds nothing else.
        files: one of `find_sets`.

    Raises:
        InputError: a shard is missing.
        CheckpointError: a file is damaged, or something else than weights.
    """
    folder, first = files[0].parent, files[0]
    shard = SHARD.fullmatch(first.name)
    if shard:
        _check_complete(first, files, int(shard[3]))
    entries: dict[str, Entry] = {}
    part = ""
    for path in files:
        head = read_head(path)
        part = head.part
        for published, entry in head.entries.items():
            name = strip_wrappers(published)
            if name in entries:
                raise CheckpointError(
                    f"{path}: {published!r} stands for {name!r}, which is in {entries[name].path} "
                    "too; keep the files of one model together."
                )
            entries[name] = entry
    if shard:
        _check_index(folder / f"{shard[1]}{shard[4]}.index.json", entries)
    if not entries:
        raise CheckpointError(f"{first} holds 0 tensors; it is no checkpoint.")
    return Source(
        place=place if find_sets(place) == [files] else first,
        files=tuple(files),
        entries=entries,
        part=part,
        settings=_settings(folder / "config.json"),
    )


def _check_complete(first: Path, files: list[Path], number: int) -> None:
    """Raise InputError unless all shards of a set are there."""
    there = {path.name for path in files}
    for index in range(1, number + 1):
        name = re.sub(r"-\d{5}-of-", f"-{index:05}-of-", first.name)
        if name not in there:
            raise InputError(
                f"{first.parent / name} is missing, {len(files)} of its {number} shards are there; "
                "download the rest."
            )


def _check_index(path: Path, entries: Mapping[str, Entry]) -> None:
    """Raise CheckpointError unless each tensor lies in the shard that the index names."""
    if not path.is_file():
        return
    told = read_json(path).get("weight_map", {})
    if not isinstance(told, dict):
        raise CorruptFile(path, "its weight_map is no table")
    names = {strip_wrappers(str(name)): shard for name, shard in told.items()}
    for name in sorted(names.keys() | entries.keys()):
        there = entries[name].path.name if name in entries else "no shard"
        if names.get(name) != there:
            raise CheckpointError(
                f"{path} puts {name!r} into {names.get(name, 'no shard')}, it is in {there}; "
                f"the index has {len(names)} tensors, the shards {len(entries)}: download both "
                "again."
            )


def _settings(path: Path) -> Mapping[str, Any]:
    return read_json(path) if path.is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a table; CorruptFile for any other."""
    try:
        found = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise CorruptFile(path, str(error)) from error
    if not isinstance(found, dict):
        raise CorruptFile(path, "it is no table of names")
    return found


def total_bytes(files: Iterable[Path]) -> int:
    """Bytes of files on disk."""
    return sum(path.stat().st_size for path in files)

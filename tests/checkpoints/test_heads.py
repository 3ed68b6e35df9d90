"""Heads of published files: what they hold, or one sentence on why they are refused."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from worldrt.checkpoints.heads import TYPES, Entry, read_head
from worldrt.errors import CheckpointError, CorruptFile, InputError


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(5, 7, generator=generator)
    return {"a": wide, "half": wide.bfloat16(), "count": torch.tensor(3), "none": torch.zeros(0, 4)}


def fetch(entry: Entry) -> Tensor:
    """The tensor of an entry, from the bytes of its file."""
    with entry.path.open("rb") as file:
        file.seek(entry.offset)
        return entry.view(torch.frombuffer(bytearray(file.read(entry.size)), dtype=torch.uint8))


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_the_bytes_lie_where_the_head_says(
    tmp_path: Path, tensors: dict[str, Tensor], suffix: str
) -> None:
    path = tmp_path / f"w.{suffix}"
    del tensors["none"]
    if suffix == "pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    head = read_head(path)
    assert head.entries.keys() == tensors.keys() and head.part == ""
    for name, tensor in tensors.items():
        assert torch.equal(fetch(head.entries[name]), tensor)
        assert head.entries[name].dtype == tensor.dtype


def test_every_type_of_safetensors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({name: torch.ones(3, dtype=dtype) for name, dtype in TYPES.items()}, path)
    found = read_head(path).entries
    assert {name: entry.dtype for name, entry in found.items()} == TYPES
    assert all(torch.equal(fetch(found[name]).float(), torch.ones(3)) for name in TYPES)


@pytest.mark.parametrize("low", range(0, 256, 8))
def test_a_head_of_any_length(tmp_path: Path, low: int) -> None:
    """Its first byte may be the one that a pickle begins with."""
    path = tmp_path / "w.safetensors"
    for note in range(low, low + 8):
        save_file({"a": torch.ones(1)}, path, {"note": "x" * (256 + note)})
        assert read_head(path).entries.keys() == {"a"}


def test_views_of_one_storage_are_views(tmp_path: Path) -> None:
    """A trainer that shards saves slices of one flat tensor, some of them turned."""
    flat = torch.arange(60.0)
    views = {"head": flat[:12].view(3, 4), "turned": flat[12:24].view(3, 4).T, "step": flat[24::2]}
    torch.save(views, tmp_path / "w.pt")
    found = read_head(tmp_path / "w.pt").entries
    assert {entry.offset for entry in found.values()} == {found["head"].offset}
    assert all(torch.equal(fetch(found[name]), view) for name, view in views.items())


@pytest.mark.parametrize(
    "tree, part",
    [
        (lambda w: w, ""),
        (lambda w: {"model": w}, "model"),
        (lambda w: {"state_dict": w, "epoch": 3}, "state_dict"),
        (lambda w: {"generator": w, "critic": {"x": torch.ones(1)}, "step": 9}, "generator"),
        (lambda w: {"generator": {}, "generator_ema": w}, "generator_ema"),
        (lambda w: {"generator_lora": OrderedDict(w)}, "generator_lora"),
        (lambda w: {name: nn.Parameter(tensor) for name, tensor in w.items()}, ""),
    ],
)
def test_weights_are_found_inside_a_pickle(tmp_path: Path, tree: Any, part: str) -> None:
    weights = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
    torch.save(tree(weights), tmp_path / "w.pt")
    head = read_head(tmp_path / "w.pt")
    assert head.part == part and head.entries.keys() == weights.keys()


class Evil:
    """Makes a file when it is opened by plain pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    torch.save({"generator": {"a": torch.ones(3), "b": Evil(mark)}}, path)
    with pytest.raises(CheckpointError) as caught:
        read_head(path)
    system = f"{os.system.__module__}.system"
    assert str(caught.value) == (
        f"{path} asks to call {system} when it is opened; nothing of it was run. Take the weights "
        "as safetensors, or from their publisher."
    )
    assert not mark.exists()
    with path.open("rb") as file:
        torch.load(file, weights_only=False)
    assert mark.exists()  # it would have been run


def test_an_old_pickle_is_not_even_opened(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "w.pt"
    path.write_bytes(pickle.dumps({"a": Evil(mark)}))
    with pytest.raises(CheckpointError, match="is a pickle of before torch 1.6"):
        read_head(path)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("kept", [0, 1, 7, 60, 300, -1])
def test_a_truncated_file(
    tmp_path: Path, tensors: dict[str, Tensor], suffix: str, kept: int
) -> None:
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptFile, match="copy or download it again"):
        read_head(path)


def rewritten(path: Path, change: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    """Write a zip file anew with other records."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in records.items():
            archive.writestr(name, change.get(name, content))


def test_a_storage_shorter_than_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(9)}, path)
    rewritten(path, {"w/data/0": bytes(20)})
    with pytest.raises(CorruptFile, match=r"'a' needs 36 bytes at \d+, there are 20"):
        read_head(path)


def test_records_that_are_compressed(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(9)}, path)
    rewritten(path, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CorruptFile, match="'w/data.pkl' is compressed, torch stores it"):
        read_head(path)


def test_a_view_beyond_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(9)}, path)
    with zipfile.ZipFile(path) as archive:
        told = archive.read("w/data.pkl")
    assert told.count(b"K\t\x85") == 1  # its shape, (9,)
    rewritten(path, {"w/data.pkl": told.replace(b"K\t\x85", b"K\x63\x85")})
    with pytest.raises(CorruptFile):
        read_head(path)


@pytest.mark.parametrize(
    "content, says",
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "43 bytes that point to the file, as Gi"),
        (b"<!DOCTYPE html>" + bytes(99), "its first bytes 3c 21 44 4f 43 54 59 50 are those of no"),
        (b"PK\x03\x04 not a zip", "File is not a zip file"),
        (b"\xff" * 64, "its first bytes ff"),
        (b"\xff" * 8 + b"{" * 9, "can't be read"),
    ],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CorruptFile, match=says):
        read_head(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "tree, says",
    [
        ([1, 2], "w.pt holds a list, not tensors by name; it is no checkpoint."),
        (
            {"step": 3, "name": "x"},
            "w.pt holds no tensors at its top or under generator_ema, generator, model, "
            "state_dict, generator_lora; it has 'step', 'name'.",
        ),
        (
            {"one": {"a": torch.ones(1)}},
            "w.pt: 'one' is a dict, not a tensor; it is no checkpoint of a single model.",
        ),
        (
            {"a": torch.eye(3).to_sparse()},
            "w.pt: 'a' is sparse_coo or quantised, not a dense tensor; take the file that is "
            "neither.",
        ),
    ],
)
def test_pickles_without_plain_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: Any, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(tree, "w.pt")
    with pytest.raises(CheckpointError) as caught:
        read_head(Path("w.pt"))
    assert str(caught.value) == says


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be opened"):
        read_head(tmp_path / "absent.pt")

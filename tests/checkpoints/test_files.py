"""Weights on disk: whole or refused, and never half-written."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from worldrt.checkpoints.files import (
    load_strict,
    read_tensors,
    write_bytes,
    write_rows,
    write_tensors,
)
from worldrt.errors import (
    CheckpointError,
    CorruptFile,
    InputError,
    MissingTensor,
    OutputError,
    ShapeMismatch,
    UnexpectedTensor,
)


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(5, 7, generator=generator)
    return {
        "weight": wide,
        "turned": wide.T,  # not contiguous
        "half": wide.bfloat16(),
        "count": torch.tensor(3),
        "nothing": torch.zeros(0, 4),
    }


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(
        torch.equal(one[name], two[name]) and one[name].dtype == two[name].dtype for name in one
    )


def test_what_is_written_is_read(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, tensors)
    assert same(read_tensors(path), tensors)
    assert os.listdir(tmp_path) == [path.name]


def test_writing_replaces_and_equal_tensors_make_equal_files(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_tensors(one, {"old": torch.ones(3)})
    write_tensors(one, tensors)
    write_tensors(two, tensors)
    assert same(read_tensors(one), tensors) and one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["absent.safetensors", "."])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 40, -1])
def test_a_truncated_file(tmp_path: Path, tensors: dict[str, Tensor], kept: int) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, tensors)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CorruptFile) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value) and "copy or download it again" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 a pickle's zip", b"\xff" * 64, b"\x02" + bytes(7) + b"{]"]
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CorruptFile):
        read_tensors(path)


def test_loading_copies_into_the_module_s_dtype() -> None:
    module = nn.Linear(3, 2).bfloat16()
    values = {"weight": torch.tensor([[1.0, 2, 3], [4, 5, 6]]), "bias": torch.tensor([0.5, -1])}
    load_strict(module, values, Path("x"))
    assert module.weight.dtype == torch.bfloat16
    assert torch.equal(module.weight.float(), values["weight"])
    assert torch.equal(module.bias.float(), values["bias"])


@pytest.mark.parametrize(
    "change, error, says",
    [
        (
            {"bias": None},
            MissingTensor,
            "w.safetensors lacks 1 of 2 tensors, first 'bias'; it belongs to another model or is "
            "incomplete.",
        ),
        (
            {"extra": torch.zeros(1), "also": torch.zeros(1)},
            UnexpectedTensor,
            "w.safetensors holds 2 tensors beyond the 2 of this model, first 'also'; it belongs to "
            "another model.",
        ),
        (
            {"weight": torch.zeros(3, 2)},
            ShapeMismatch,
            "w.safetensors: 'weight' has shape [3, 2], the model needs [2, 3]; check that "
            "world.toml belongs to these weights.",
        ),
        (
            {"bias": torch.zeros(())},
            ShapeMismatch,
            "w.safetensors: 'bias' has shape [], the model needs [2]; check that world.toml "
            "belongs to these weights.",
        ),
    ],
)
def test_what_does_not_fit_names_itself_and_changes_nothing(
    change: dict[str, Tensor | None], error: type[CheckpointError], says: str
) -> None:
    module = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    changed = {"weight": torch.ones(2, 3), "bias": torch.ones(2)} | change
    tensors = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(error) as caught:
        load_strict(module, tensors, Path("w.safetensors"))
    assert str(caught.value) == says
    assert same(dict(module.state_dict()), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_in_any_order_make_the_same_file(tmp_path: Path, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = {"wide": (7, 3), "bias": (5,), "deep": (2, 3, 4), "kernel": (6, 1, 2, 2)}
    tensors = {name: torch.randn(s, generator=generator).to(dtype) for name, s in shapes.items()}
    rows = [
        (name, first, tensor[first : first + 2])
        for name, tensor in tensors.items()
        for first in range(0, len(tensor), 2)
    ]
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_rows(one, shapes, dtype, rows)
    write_rows(two, shapes, dtype, reversed(rows))
    assert same(read_tensors(one), tensors)
    assert one.read_bytes() == two.read_bytes()


def test_rows_that_fail_on_the_way_leave_no_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def rows() -> Iterator[tuple[str, int, Tensor]]:
        yield "a", 0, torch.ones(2)
        raise CorruptFile(path, "cut")

    with pytest.raises(CorruptFile):
        write_rows(path, {"a": (4,)}, torch.float32, rows())
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"can't be written \(No such file or directory\)"):
        write_bytes(tmp_path / "absent" / "file", b"new")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_on_the_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever the disk fills up, the old content stays and no other file is left behind."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync", full) if step == "fsync" else (Path, "replace", full)))
    with pytest.raises(OutputError, match="No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_the_file_is_complete_on_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill at the moment of flushing finds the whole new content beside the whole old one."""
    path, seen, flush = tmp_path / "file", list[bytes](), os.fsync
    path.write_bytes(b"old")

    def spy(descriptor: int) -> None:
        flush(descriptor)
        (part,) = (entry for entry in tmp_path.iterdir() if entry != path)
        seen.extend([part.read_bytes(), path.read_bytes()])

    monkeypatch.setattr(os, "fsync", spy)
    write_bytes(path, b"new")
    assert seen == [b"new", b"old"] and path.read_bytes() == b"new"

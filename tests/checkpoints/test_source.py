"""Sets of published files: complete or refused, and read once, in order."""

import hashlib
import json
import random
import shutil
from io import FileIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.peak import peak
from tests.published import write_shards
from worldrt.checkpoints.source import Source, find_sets, open_all, open_source
from worldrt.errors import CheckpointError, CorruptFile, InputError, WorldrtError


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"blocks.{i}.w": torch.randn(3, i + 1, generator=generator) for i in range(7)}


def everything(source: Source) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in source.read(source.entries.keys())}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_shards_are_one_source_whichever_is_named(
    tmp_path: Path, tensors: dict[str, Tensor]
) -> None:
    paths = write_shards(tmp_path, tensors, 3)
    for place in (tmp_path, *paths):
        source = open_source(place)
        assert source.files == tuple(paths) and source.place == place
        assert same(everything(source), tensors)
        assert source.numel == sum(tensor.numel() for tensor in tensors.values())
        assert source.largest == 3 * 7 * 4


def test_a_nested_pickle_without_its_wrappers(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    wrapped = {f"model._fsdp_wrapped_module.{name}": t for name, t in tensors.items()}
    torch.save({"generator_ema": wrapped, "critic": {"x": torch.ones(2)}}, tmp_path / "sf.pt")
    source = open_source(tmp_path)
    assert source.part == "generator_ema" and same(everything(source), tensors)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_digests_are_those_of_the_files(
    tmp_path: Path, tensors: dict[str, Tensor], suffix: str
) -> None:
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        flat = torch.arange(9.0)
        tensors |= {"one": flat[:4], "two": flat[4:]}
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    source, digests = open_source(path), dict[Path, str]()
    for wanted in (list(tensors), ["blocks.3.w"], []):
        found = {name: tensor.clone() for name, tensor in source.read(wanted, digests)}
        assert same(found, {name: tensors[name] for name in wanted})
        assert digests == {path: hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("hashing", [False, True])
def test_each_byte_is_read_once_and_one_tensor_lives_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashing: bool
) -> None:
    size = 2**20
    save_file({f"{i}": torch.zeros(size, dtype=torch.uint8) for i in range(5)}, tmp_path / "w.bin")
    source = open_source(tmp_path / "w.bin")
    counted, opened = list[int](), Path.open

    class Counting:
        """A file that counts the bytes it gives."""

        def __init__(self, file: FileIO) -> None:
            self._file = file
            self.tell, self.seek = file.tell, file.seek

        def __enter__(self) -> "Counting":
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def read(self, count: int) -> bytes | None:
            counted.append(min(count, source.files[0].stat().st_size - self.tell()))
            return self._file.read(count)

        def readinto(self, view: memoryview) -> int | None:
            counted.append(len(view))
            return self._file.readinto(view)

    monkeypatch.setattr(Path, "open", lambda *args, **named: Counting(opened(*args, **named)))
    with peak() as found:
        for pair in source.read(source.entries.keys(), {} if hashing else None):
            del pair
    total = source.files[0].stat().st_size
    assert sum(counted) == (total if hashing else 5 * size)
    assert found.bytes == pytest.approx(size, abs=4096)


def test_a_file_cut_after_it_was_opened(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CorruptFile, match="it ends 10 bytes early"):
        everything(source)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CorruptFile, match=r"it ends \d+ bytes early"):
        list(source.read(["blocks.6.w"], {}))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_value_that_is_not_finite_is_found(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    tensor = torch.linspace(-9, 9, 1111).to(dtype)
    tensor[777] = value
    torch.save({"good": tensor[:777], "none": tensor[:0], "bad": tensor}, tmp_path / "w.pt")
    source = open_source(tmp_path)
    assert [name for name, _ in source.read(["good", "none"])] == ["good", "none"]
    with pytest.raises(CheckpointError, match="'bad' has 1 of 1111 values that are not finite"):
        everything(source)


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    tensor = torch.ones(1111, 1234)
    tensor[[3, 700, 1110], [5, 1233, 0]] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    torch.save({"good": torch.ones(3), "bad": tensor.T}, tmp_path / "w.pt")
    source = open_source(tmp_path)
    assert [name for name, _ in source.read(["good"])] == ["good"]
    with pytest.raises(CheckpointError, match="'bad' has 3 of 1370974 values that are not finite"):
        everything(source)


def test_fingerprints_tell_files_apart(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    one, two, three = (tmp_path / f"{x}.safetensors" for x in "abc")
    save_file(tensors, one)
    shutil.copy(one, two)
    save_file(tensors | {"blocks.6.w": torch.zeros(3, 7)}, three)
    prints = [open_source(path).fingerprint() for path in (one, two, three)]
    assert prints[0] == prints[1] != prints[2]


def test_a_folder_of_several_models(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    inner = tmp_path / "transformer"
    inner.mkdir()
    (inner / "config.json").write_text('{"num_layers": 7}')
    write_shards(inner, tensors, 2)
    torch.save(tensors, tmp_path / "vae.pth")
    (tmp_path / ".cache").mkdir()
    torch.save(tensors, tmp_path / ".cache" / "x.pth")
    assert [len(files) for files in find_sets(tmp_path)] == [1, 2]
    vae, transformer = open_all(tmp_path)
    assert vae.place == tmp_path / "vae.pth" and vae.settings == {}
    assert transformer.settings == {"num_layers": 7} and len(transformer.files) == 2
    with pytest.raises(InputError, match=r"holds 2 sets of weights; name one of .*vae\.pth, "):
        open_source(tmp_path)


def test_a_missing_shard(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    paths = write_shards(tmp_path, tensors, 3)
    paths[1].unlink()
    with pytest.raises(InputError) as caught:
        open_source(tmp_path)
    assert str(caught.value) == (
        f"{paths[1]} is missing, 2 of its 3 shards are there; download the rest."
    )


def test_shards_that_the_index_does_not_know(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    paths = write_shards(tmp_path, tensors, 2)
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    table = json.loads(index.read_text())
    table["weight_map"]["blocks.0.w"] = paths[1].name
    index.write_text(json.dumps(table))
    with pytest.raises(CheckpointError) as caught:
        open_source(tmp_path)
    assert str(caught.value) == (
        f"{index} puts 'blocks.0.w' into {paths[1].name}, it is in {paths[0].name}; the index has "
        "7 tensors, the shards 7: download both again."
    )


@pytest.mark.parametrize(
    "content, says",
    [
        ('{"weight_map": {"blocks.0.w": "other.safetensors"}}', "the index has 1 tensors"),
        ('{"weight_map": {"gone": "x"}}', "puts 'blocks.0.w' into no shard"),
        ('{"weight_map": 3}', "its weight_map is no table"),
        ("[1]", "it is no table of names"),
        ("{", "can't be read"),
    ],
)
def test_an_index_that_makes_no_sense(
    tmp_path: Path, tensors: dict[str, Tensor], content: str, says: str
) -> None:
    write_shards(tmp_path, tensors, 2)
    (tmp_path / "diffusion_pytorch_model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=says):
        open_source(tmp_path)


def test_one_name_in_two_shards(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    paths = write_shards(tmp_path, tensors, 2)
    save_file({"model.blocks.0.w": torch.ones(1)}, paths[1])
    with pytest.raises(CheckpointError, match="'model.blocks.0.w' stands for 'blocks.0.w', which"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "name, says",
    [("absent.pt", "is missing; name a file with weights"), (".", "holds no file that ends in")],
)
def test_nothing_there(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        open_source(tmp_path / name)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_damaged_file_is_refused_in_a_sentence_or_read_whole(
    tmp_path: Path, tensors: dict[str, Tensor], suffix: str
) -> None:
    """Whatever became of its bytes, nothing but an error of ours comes out."""
    path, chance = tmp_path / f"w.{suffix}", random.Random(6)
    if suffix == "pt":
        torch.save({"generator": tensors, "step": 3}, path)
    else:
        save_file(tensors, path)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 2, 5])):
            at = chance.randrange(min(len(content), chance.choice([700, len(content)])))
            match chance.randrange(4):
                case 0:
                    del content[at : at + chance.randrange(1, 9)]
                case 1:
                    content[at:at] = chance.randbytes(chance.randrange(1, 9))
                case _:
                    content[at] = chance.randrange(256)
        path.write_bytes(content)
        try:
            everything(open_source(path))
        except WorldrtError as error:
            refused += 1
            assert str(error).endswith(".") and "\n" not in str(error)
    assert 50 < refused < 150

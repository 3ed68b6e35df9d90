"""The commands on published weights, as a user runs them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.published import original, write_settings
from worldrt.cli import main

Golden = Callable[[str], dict[str, Tensor]]


@pytest.fixture
def base(tmp_path: Path, golden: Golden) -> Path:
    place = tmp_path / "self_forcing_dmd.pt"
    torch.save({"generator_ema": original(golden("weights"))}, place)
    write_settings(tmp_path, num_heads=4, text_len=16)
    return place


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_convert(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", base, "--out", tmp_path / "out") == 0
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    lines = capsys.readouterr().out.splitlines()
    part = "(transformer, its 'generator_ema')"
    assert lines == [
        f"{digest}  self_forcing_dmd.pt  {part}",
        f"{tmp_path / 'out'}: 0.00 GiB of bfloat16",
    ]
    tensors = load_file(tmp_path / "out" / "transformer" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_convert_says_what_is_wrong(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("convert", base, "--out", tmp_path) == 2
    assert capsys.readouterr().err == (
        f"worldrt: {tmp_path} is there already; name a folder that is not.\n"
    )


def test_worlds_that_are_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("worlds") == 0
    assert "maze" in capsys.readouterr().out
    assert run("worlds", "--json") == 0
    assert [world["name"] for world in json.loads(capsys.readouterr().out)] == ["maze"]


def test_worlds_of_a_folder(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"odd": torch.ones(3)}, tmp_path / "odd.safetensors")
    assert run("worlds", tmp_path, "--json") == 0
    found = {Path(one["place"]).name: one for one in json.loads(capsys.readouterr().out)}
    assert found["self_forcing_dmd.pt"]["usable"] and not found["odd.safetensors"]["usable"]
    assert found[base.name]["what"] == "transformer, original"
    assert run("worlds", tmp_path) == 0
    table = capsys.readouterr().out
    assert "self_forcing_dmd.pt" in table and "unusable" in table

"""`worldrt train`: which training a subcommand starts, and where its run goes."""

from pathlib import Path

import pytest

from worldrt.training import launch
from worldrt.training.commands import Train, TrainCodec, TrainPacker, TrainWorld

Call = tuple[str, Path | None, Path]


@pytest.mark.parametrize(
    "part, expected",
    [
        (TrainCodec(), ("train_codec", None, Path("runs/codec"))),
        (TrainWorld(recipe=Path("a.toml")), ("train_world", Path("a.toml"), Path("runs/maze"))),
        (TrainPacker(run_folder=Path("b")), ("train_packer", None, Path("b"))),
    ],
)
def test_a_subcommand_starts_its_training(
    monkeypatch: pytest.MonkeyPatch,
    part: TrainCodec | TrainWorld | TrainPacker,
    expected: Call,
) -> None:
    calls: list[Call] = []

    def note(name: str) -> None:
        def start(recipe: Path | None, run: Path) -> None:
            calls.append((name, recipe, run))

        monkeypatch.setattr(launch, name, start)

    for name in ("train_codec", "train_world", "train_packer"):
        note(name)
    Train(part=part).run()
    assert calls == [expected]


def test_smoke_is_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs: list[Path] = []
    monkeypatch.setattr(launch, "smoke", runs.append)
    TrainWorld(smoke=True, run_folder=tmp_path).run()
    assert runs == [tmp_path]

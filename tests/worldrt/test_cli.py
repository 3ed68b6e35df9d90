import ast
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from worldrt import __version__, cli
from worldrt.atlas import commands as atlas
from worldrt.bench import commands as bench
from worldrt.errors import ShapeError, WorldrtError
from worldrt.memory.policy import names
from worldrt.memory.retrieval import find as retrieval
from worldrt.training import commands as training


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Fail in the way that the test asks for."""

    loudly: bool = False
    """Say more."""
    error: ClassVar[BaseException]

    def run(self) -> None:
        raise self.error


KINDS = [
    kind
    for module in (cli, atlas, bench, training)
    for kind in vars(module).values()
    if is_dataclass(kind) and isinstance(kind, type) and kind.__module__ == module.__name__
]
"""All commands, those below `world`, `train` and `bench` too."""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main(list(arguments))
    assert isinstance(exit.value.code, int)
    return exit.value.code


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> type[Fail]:
    monkeypatch.setitem(cli.COMMANDS, "fail", Fail)
    return Fail


@pytest.mark.parametrize(
    "error, code, line",
    [
        (WorldrtError("A sentence."), 2, "worldrt: A sentence.\n"),
        (
            ShapeError("rgb", [3], "[Y, X, 3]"),
            2,
            "worldrt: rgb has shape [3], expected [Y, X, 3].\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    fail: type[Fail],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    fail.error = error
    assert run("fail") == code
    assert capsys.readouterr() == ("", line)


def test_an_error_that_is_not_ours_keeps_its_traceback(fail: type[Fail]) -> None:
    fail.error = ZeroDivisionError("ours to mend")
    with pytest.raises(ZeroDivisionError):
        cli.main(["fail"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"worldrt {__version__}\n"


def test_help_is_made_of_docstrings(fail: type[Fail], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "usage: worldrt" in text
    assert "fail Fail in the way that the test asks for." in text
    assert run("fail", "--help") == 0
    text = capsys.readouterr().out
    assert "--loudly" in text and "Say more." in text
    assert "--no-loudly" not in text


@pytest.mark.parametrize("arguments", [[], ["docter"], ["doctor", "--jsno"], ["doctor", "extra"]])
def test_a_wrong_command_line_exits_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err != ""


@pytest.mark.parametrize("kind", KINDS)
def test_every_command_and_option_is_explained(kind: type[cli.Command]) -> None:
    (command,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(command, ast.ClassDef) and ast.get_docstring(command)
    for field, after in pairwise(command.body):
        if isinstance(field, ast.AnnAssign):
            explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert explained, ast.unparse(field)


def test_doctor_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["machine", "parts", "worlds"]
    assert report["machine"]["worldrt"] == __version__


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from worldrt.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print('loaded', {'torch', 'numpy', 'cv2', 'numba', 'av', 'rich'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "loaded set()"


def test_python_m_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "worldrt", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"worldrt {__version__}\n"


def plain(text: str) -> str:
    """What was printed, without boxes and line breaks."""
    return " ".join(text.translate({ord(mark): " " for mark in "│╭╮╰╯─"}).split())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["render"], ["Walk through a world", "--path", "--seconds", "--context-frames", "seed:N"]),
        (
            ["render"],
            [
                "Ctrl-C leaves a playable file",
                "--policy",
                "--memory",
                "--retrieval",
                "--compare",
                "--json",
                "--out",
            ],
        ),
        (["policies"], ["List the cache policies"]),
        (["world", "info"], ["saved spatial memory", "--png", "--json"]),
        (["world", "export"], ["mesh", "--voxel"]),
        (["bench", "memory"], ["--track", "--protocols", "--frames", "--quick"]),
        (["train"], ["Train a part of a world", "codec", "world", "packer", "ship"]),
        (["train", "codec"], ["Train a world's codec", "--recipe", "--run-folder"]),
        (["train", "world"], ["Train a world's generator", "--recipe", "--run-folder", "--smoke"]),
        (["train", "packer"], ["Train a world's packer", "--recipe", "--run-folder"]),
        (["train", "ship"], ["half precision", "--run-folder", "--codec", "--out"]),
        (["bench"], ["Measure a world", "world", "soak"]),
        (["bench", "world"], ["held-out mazes", "--seeds", "--policy", "--out"]),
        (["bench", "soak"], ["thousands of blocks", "--blocks", "--policy", "--start", "--out"]),
        (["bench", "growth"], ["each policy's cache", "--blocks", "--policies", "--out"]),
    ],
)
def test_help_of_each_command(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--help") == 0
    text = plain(capsys.readouterr().out)
    assert f"usage: worldrt {' '.join(arguments)}" in text
    for word in words:
        assert word in text
    assert "--no-" not in text


def test_policies_are_listed_with_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policies") == 0
    text = capsys.readouterr().out
    found = [line.split()[0] for line in text.splitlines() if line[:1].strip()]
    assert found == [*names(), "Say", *retrieval.names(), "Say"]
    assert all(word in text for word in ("Self-Forcing", "options sink, recent", "codec", "flush"))
    assert "Self-Forcing" in text and "PackForcing" in text


def test_render_says_what_it_made(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "a.mkv", tmp_path / "a.json"
    arguments = ("--path", "W*5", "--start", "room", "--out", str(out), "--json", str(report))
    assert run("render", str(world_folder), *arguments) == 0
    said, complaints = capsys.readouterr()
    assert said.startswith(f"{out}: 5 frames, generated at ") and " fps (splat" in said
    assert complaints == ""
    assert out.stat().st_size > 0 and json.loads(report.read_text())["frames"] == 5


def test_render_says_what_it_assumed(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "shed.png")
    places = ("--start", str(tmp_path / "shed.png"), "--out", str(tmp_path / "a.mp4"))
    assert run("render", str(world_folder), "--path", "W", *places) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("shed.png has no depth: ") and "1 frames" in second


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("render nowhere", "Unknown world 'nowhere'"),
        ("render WORLD --start room --policy windw", "Unknown policy 'windw': did you mean"),
        ("render WORLD --start room --path X*2", "'X*2' at position 1 does not know 'X'"),
        ("render WORLD --start rom", "Unknown start 'rom': did you mean 'room'"),
        ("render WORLD --start room --seconds 0", "0.0 seconds"),
        ("render WORLD --start room --seconds five", None),
        ("render WORLD --start room --context-frames 97", "97 context frames"),
        ("render WORLD --start room --compare", "say --start seed:3"),
        ("render WORLD --start room --out nowhere/a.mp4", "no folder nowhere"),
        ("render WORLD --start room --json nowhere/a.json", "nowhere does not exist"),
        ("train codec --recipe missing.toml", "missing.toml can't be opened"),
        ("train world --recipe missing.toml", "missing.toml can't be opened"),
        ("train packer --recipe missing.toml", "missing.toml can't be opened"),
        ("train", None),
        ("train wrold", None),
        ("bench", None),
        ("bench world nowhere", "Unknown world 'nowhere'"),
        ("bench world WORLD --seeds 0", "0 mazes"),
        ("bench soak WORLD --blocks 50", "50 blocks ends before it is warm"),
        ("bench soak WORLD --blocks 51 --start rom", "did you mean 'room'"),
        ("bench growth --blocks 119", "119 blocks end before 20 rows are noted"),
        ("bench growth --policies windw", "did you mean 'window'"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(
    world_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    words: str | None,
) -> None:
    """Where no words are given, the command line itself is wrong and its usage is shown."""
    monkeypatch.chdir(tmp_path)
    assert run(*arguments.replace("WORLD", str(world_folder)).split()) == 2
    said, complaints = capsys.readouterr()
    if words is not None:
        assert said == "" and complaints.startswith("worldrt: ") and words in complaints
        assert complaints.count("\n") == 1 and complaints.endswith(".\n")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_bench_ends_with_its_figures(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("--start", "room", "--out", str(tmp_path))
    assert run("bench", "soak", str(world_folder), "--blocks", "51", *places) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures == json.loads((tmp_path / "soak.json").read_text())

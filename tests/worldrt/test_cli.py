import ast
import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import pytest

from worldrt import __version__, cli
from worldrt.errors import ShapeError, WorldrtError


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Fail in the way that the test asks for."""

    loudly: bool = False
    """Say more."""
    error: ClassVar[BaseException]

    def run(self) -> None:
        raise self.error


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


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_and_option_is_explained(name: str) -> None:
    (command,) = ast.parse(inspect.getsource(cli.COMMANDS[name])).body
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

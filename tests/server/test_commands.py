"""`worldrt serve` and `worldrt play`: what they tell the server, and what they refuse."""

import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worldrt.cli import main
from worldrt.server import app
from worldrt.server.house import Serving


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Serving, socket.socket | None]]:
    """What would have been served."""
    found = []

    async def run(
        serving: Serving, listening: Callable[[str], None], door: socket.socket | None = None
    ) -> None:
        listening("http://127.0.0.1:1/")
        found.append((serving, door and door.getsockname()[1]))

    monkeypatch.setattr(app, "run", run)
    return found


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_serve_listens_to_this_machine_alone_unless_told(
    served: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("serve") == 0
    assert served == [(Serving(logs=Path("out/sessions")), None)]
    assert served[0][0].host == "127.0.0.1" and served[0][0].port == 8765
    assert capsys.readouterr().out == "Serving maze at http://127.0.0.1:1/\n"


def test_serve_takes_all_that_a_host_decides(served: list[Any]) -> None:
    options = "--host 0.0.0.0 --port 99 --sessions 3 --token secret --idle-s 9 --lifetime-s 8"
    more = "--origin https://a.example https://b.example --through-walls --context-frames 5"
    assert call("serve", "maze", *options.split(), *more.split(), "--logs", "elsewhere") == 0
    assert served[0][0] == Serving(
        host="0.0.0.0",
        port=99,
        places=3,
        token="secret",
        idle_s=9,
        lifetime_s=8,
        origins=("https://a.example", "https://b.example"),
        through_walls=True,
        context_frames=5,
        logs=Path("elsewhere"),
    )


def test_a_token_is_not_in_the_address(
    served: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("serve", "--token", "secret") == 0
    out = capsys.readouterr().out
    assert out == "Serving maze at http://127.0.0.1:1/ (clients are asked for the token)\n"


def test_play_opens_the_browser_where_it_listens(
    served: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    opened, done = [], threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: (opened.append(url), done.set()))
    assert call("play", "--seed", "7", "--start", "hall") == 0
    serving, port = served[0]
    assert (serving.start, serving.seed, serving.host) == ("hall", 7, "127.0.0.1")
    assert serving.idle_s > 1e6 and serving.lifetime_s > 1e6
    assert done.wait(20) and opened == [f"http://127.0.0.1:{port}/#seed=7"]
    assert opened[0] in capsys.readouterr().out


def test_play_can_do_without_a_browser(
    served: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail("a browser was opened"))
    assert call("play", "--no-browser") == 0
    assert "Walk at http://127.0.0.1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--host", "0.0.0.0"], "0.0.0.0 can be reached from other machines; give --token"),
        (["--origin", "example.org"], "'example.org' is no origin of a page"),
        (["nowhere", "--port", "0"], "Unknown world 'nowhere': choose one of maze."),
        (["--start", "roof", "--port", "0"], "Unknown start 'roof'"),
        (["--start", "roof.png", "--port", "0"], "roof.png can't be read as a picture"),
    ],
)
def test_what_can_not_be_served_is_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("serve", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"worldrt: {sentence}")

"""Plain HTTP: a table of files, nothing else of the disk, and headers that keep strangers out."""

import asyncio
import json
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.server.guests import guest, live
from worldrt.protocol import replies
from worldrt.server.app import App
from worldrt.server.pages import Health, Page, Pages, read_viewer, refusal
from worldrt.server.recording import Shelf

HEALTH = Health(status="ok", version="1", sessions=1, queue=2, spectators=3, loop_lag_p99_ms=0.5)


def ask(path: str, method: str = "GET", shelf: Shelf | None = None) -> Response:
    shelf = shelf or Shelf()
    table = {"/": Page("text/html", b"<p>hello"), "/a.js": Page("text/javascript", b"1")}
    pages = Pages(table, shelf, lambda: HEALTH, lambda: b"figures 1\n")
    response = asyncio.run(pages.answer(Request(path, Headers(), method)))
    shelf.close()
    return response


@pytest.mark.parametrize(
    "path, status, body",
    [
        ("/", 200, b"<p>hello"),
        ("/?x=1", 200, b"<p>hello"),
        ("/a.js", 200, b"1"),
        ("/metrics", 200, b"figures 1\n"),
        ("/b.js", 404, b"There is nothing here.\n"),
        ("/../pages.py", 404, b"There is nothing here.\n"),
        ("/%2e%2e/pages.py", 404, b"There is nothing here.\n"),
        ("//etc/passwd", 404, b"There is nothing here.\n"),
        ("/recordings/../../etc/passwd", 404, b"There is nothing here.\n"),
        ("/recordings/", 404, b"There is nothing here.\n"),
    ],
)
def test_only_what_is_in_the_table_is_served(path: str, status: int, body: bytes) -> None:
    response = ask(path)
    assert (response.status_code, response.body) == (status, body)
    assert response.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/none"])
def test_every_answer_is_safe(path: str) -> None:
    headers = ask(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


def test_only_get_is_answered() -> None:
    assert ask("/", "POST").status_code == HTTPStatus.METHOD_NOT_ALLOWED


def test_health_is_json() -> None:
    assert json.loads(bytes(ask("/healthz").body)) == {
        "status": "ok",
        "version": "1",
        "sessions": 1,
        "queue": 2,
        "spectators": 3,
        "loop_lag_p99_ms": 0.5,
    }


def test_a_refusal_is_a_sentence() -> None:
    response = refusal(HTTPStatus.FORBIDDEN, "No.")
    assert (response.status_code, response.body) == (403, b"No.\n")


def test_the_viewer_is_read_whole() -> None:
    table = read_viewer()
    assert table["/"] == table["/index.html"] and table["/"].kind.startswith("text/html")
    assert table["/protocol.js"].kind.startswith("text/javascript")
    assert not any(path.endswith(".md") for path in table)
    web = Path(__file__).parents[2] / "client" / "web"
    assert table["/protocol.js"].content == (web / "protocol.js").read_bytes()


def test_a_running_server_answers(world_folder: Path) -> None:
    async def fetch(app: App, path: str) -> tuple[str, str]:
        address = app.url.removeprefix("http://").rstrip("/").split(":")
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        return head, body

    async def work(app: App) -> None:
        async with guest(app) as one:
            await one.hear(replies.Welcome)
            await one.begin()
            await one.walk(12)  # the third block's frames come before it is counted
            head, body = await fetch(app, "/healthz")
            assert head.startswith("HTTP/1.1 200 OK") and "Server:" not in head
            health = json.loads(body)
            assert (health["status"], health["sessions"]) == ("ok", 1)
            _, figures = await fetch(app, "/metrics")
            told = dict(
                line.rsplit(" ", 1) for line in figures.splitlines() if not line.startswith("#")
            )
            assert float(told["worldrt_frames_total"]) >= 8
            assert float(told["worldrt_block_seconds_count"]) >= 2
            assert float(told['worldrt_cache_bytes{region="recent"}']) > 0
            assert float(told['worldrt_stage_seconds_total{stage="steps"}']) > 0
            head, page = await fetch(app, "/")
            assert "200 OK" in head and "<script" in page

    live(work, world_folder)

"""Plain HTTP on the server's port: the viewer's files, figures, health, finished recordings.

What can be fetched is a table made at the start; no part of a request becomes a path of a file.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from worldrt.server.recording import PATH, Shelf

KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webmanifest": "application/manifest+json",
}
"""What is served, by the end of a file's name."""
POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Page(msgspec.Struct, frozen=True):
    """A file that is served."""

    kind: str
    content: bytes


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What `/healthz` tells."""

    status: str
    """`ok`, or `loading` while the world is not there yet."""
    version: str
    sessions: int
    queue: int
    spectators: int
    loop_lag_p99_ms: float


class Pages:
    """Answers what is no WebSocket.

    Args:
        table: pages by path.
        shelf: of recordings.
        health: how the server is.
        figures: for Prometheus.
    """

    def __init__(
        self,
        table: dict[str, Page],
        shelf: Shelf,
        health: Callable[[], Health],
        figures: Callable[[], bytes],
    ) -> None:
        self.table = table
        self._shelf, self._health, self._figures = shelf, health, figures

    async def answer(self, request: Request) -> Response:
        """The answer to a request for a page."""
        if request.method != "GET":
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return _response(KINDS["json"], msgspec.json.encode(self._health()), "no-store")
        if path == "/metrics":
            text = await asyncio.to_thread(self._figures)
            return _response("text/plain; version=0.0.4; charset=utf-8", text, "no-store")
        if path.startswith(PATH):
            content = await asyncio.to_thread(self._shelf.take, path)
            if content is not None:
                return _response("video/mp4", content, "no-store")
        page = self.table.get(path)
        if page is None:
            return refusal(HTTPStatus.NOT_FOUND, "There is nothing here.")
        return _response(page.kind, page.content, "no-cache")


def read_viewer() -> dict[str, Page]:
    """The viewer's files by their path on the server; reads files: not on the loop."""
    table = {}
    folders = [("/", files("worldrt.client") / "web")]
    while folders:
        above, folder = folders.pop()
        for entry in folder.iterdir():
            ending = entry.name.rpartition(".")[2]
            if entry.is_dir():
                folders.append((f"{above}{entry.name}/", entry))
            elif ending in KINDS:
                table[above + entry.name] = Page(KINDS[ending], entry.read_bytes())
    if "/index.html" in table:
        table["/"] = table["/index.html"]
    return table


def refusal(status: HTTPStatus, sentence: str) -> Response:
    """A sentence in place of a page."""
    return _response("text/plain; charset=utf-8", (sentence + "\n").encode(), "no-store", status)


def _response(
    kind: str, content: bytes, caching: str, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": caching,
            "Connection": "close",
            **SECURITY,
        }
    )
    return Response(status.value, status.phrase, headers, content)

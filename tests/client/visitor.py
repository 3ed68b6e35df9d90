"""A browser that visits the viewer."""

from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Request

SLOW_S = 30
"""Seconds that anything may take on a busy machine."""


class Viewer:
    """A page with the viewer, and what it has complained about."""

    def __init__(self, browser: Browser, home: str, **options: Any) -> None:
        self.context = browser.new_context(
            viewport={"width": 1024, "height": 640}, accept_downloads=True, **options
        )
        self.page = self.context.new_page()
        self.home = home
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "GPU stall" not in message.text:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def enter(self, fragment: str = "") -> "Viewer":
        self.page.goto(self.home + fragment)
        return self

    def stats(self) -> dict[str, Any]:
        return self.page.evaluate("worldrt.stats()")

    def until(self, holds: str, seconds: float = SLOW_S) -> None:
        """Wait for a condition on `s`, the figures."""
        self.page.wait_for_function(
            f"() => {{ const s = worldrt.stats(); return {holds}; }}", timeout=1000 * seconds
        )

    def walk_on(self, frames: int = 2) -> None:
        """Wait for frames that are not yet there."""
        self.until("s.state === 'live'")
        self.until(f"s.frame >= {max(self.stats().get('frame', -1), 0) + frames}")

    def close(self) -> None:
        self.context.close()

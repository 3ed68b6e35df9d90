"""A browser for the tests of the viewer, a file at a time."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium")


# No longer than a file: Playwright keeps an event loop running on this thread meanwhile.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system, which draws WebGL without a graphics card."""
    if CHROMIUM is None:
        pytest.skip("no chromium is installed; CI installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield browser
        browser.close()

"""A real Chromium for the tests of the console's page, and what they measure on it: contrast, overlap, page errors."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, Iterator, List

import pytest

# The rest stops Chromium from calling its maker's servers, which a closed network refuses many times a second.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LIMIT_MS = 90_000  # of one wait on a loaded machine


def chromium() -> str:
    """The path of a Chromium. Skips the test, with what to do, where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium here: scripts/browser.sh installs it as root, or: sudo apt-get install chromium")
    return path


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright's synchronous interface (its own downloads are not used)."""
    path = chromium()
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    with api.sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield chrome
        finally:
            chrome.close()


class Pages:
    """Opens pages, each a viewer of its own, and keeps what their consoles complained about."""

    def __init__(self, chrome: Any) -> None:
        self._chrome = chrome
        self._contexts: List[Any] = []
        self.errors: List[str] = []

    def open(self, address: str, width: int = 1280, height: int = 860, **options: Any) -> Any:
        """A page of its own browser profile. options: of Playwright's new_context, such as color_scheme="dark"."""
        context = self._chrome.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(LIMIT_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(f"{error}"))
        page.on("console", self._note)
        page.goto(address)
        return page

    def _note(self, message: Any) -> None:
        # A closed socket is what the reconnect tests are about; anything else in red is a fault of the page.
        if message.type == "error" and "WebSocket" not in message.text and "ERR_CONNECTION" not in message.text:
            self.errors.append(message.text)

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self._contexts.clear()


@pytest.fixture(scope="module")
def chrome():
    with browser() as chrome:
        yield chrome


@pytest.fixture
def pages(chrome):
    pages = Pages(chrome)
    yield pages
    pages.close()
    assert not pages.errors, pages.errors


MEASURES = Path(__file__).with_name("browser_measures.js").read_text(encoding="utf-8")


def overlaps(page: Any) -> List[str]:
    """What lies over something else, leaves the screen or makes the page scroll sideways, by bounding boxes."""
    return page.evaluate(f"{MEASURES}.overlaps()")


def contrasts(page: Any) -> List[dict]:
    """{"text", "disabled", "ratio"} of every visible text on its ground (WCAG 2 contrast ratio, 1 to 21)."""
    return page.evaluate(f"{MEASURES}.contrasts()")


def settled(page: Any) -> None:
    """Waits until the page has drawn and its transitions ended."""
    page.evaluate("() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => 0)))")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

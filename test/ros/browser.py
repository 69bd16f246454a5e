"""A real Chromium for the tests of the console's page, and what they measure on it: contrast, overlap, page errors."""

from __future__ import annotations

import contextlib
import shutil
from typing import Any, Iterator, List

import pytest

# The rest stops Chromium from calling its maker's servers, which a closed network refuses many times a second.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
LIMIT_MS = 20_000  # of one wait on a loaded machine


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


OVERLAPS = """() => {
  const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest('.visually-hidden, .skip');
  const nodes = [...document.querySelectorAll('button, a, input, select, label, h1, h2, h3, summary, .turn, .outcome, .pills li, .hint, .meter, .step, .goal > *, canvas')]
    .filter((node) => shown(node) && !node.closest('#notes'));
  // What a box that scrolls hides is not seen: only the part inside counts.
  const area = (node) => {
    let { left, top, right, bottom } = node.getBoundingClientRect();
    for (let outer = node.parentElement; outer; outer = outer.parentElement) {
      if (getComputedStyle(outer).overflow === 'visible') continue;
      const frame = outer.getBoundingClientRect();
      [left, top, right, bottom] = [Math.max(left, frame.left), Math.max(top, frame.top), Math.min(right, frame.right), Math.min(bottom, frame.bottom)];
    }
    return { left, top, right, bottom };
  };
  const name = (node) => `${node.tagName.toLowerCase()}#${node.id}.${node.className} "${(node.textContent ?? '').trim().slice(0, 30)}"`;
  const found = [], areas = nodes.map(area);
  for (let i = 0; i < nodes.length; i++) for (let j = i + 1; j < nodes.length; j++) {
    if (nodes[i].contains(nodes[j]) || nodes[j].contains(nodes[i])) continue;
    const a = areas[i], b = areas[j];
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left), high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (wide > 1 && high > 1) found.push(`${name(nodes[i])} and ${name(nodes[j])}: ${wide.toFixed(0)} x ${high.toFixed(0)}`);
  }
  const width = document.documentElement.clientWidth;
  nodes.forEach((node, i) => { if (areas[i].right - areas[i].left > 1 && (areas[i].right > width + 1 || areas[i].left < -1)) found.push(`${name(node)} leaves the screen`); });
  if (document.documentElement.scrollWidth > width) found.push(`the page scrolls sideways: ${document.documentElement.scrollWidth} > ${width}`);
  return found;
}"""

CONTRAST = """() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 });
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
  };
  const light = ({ r, g, b }) => [r, g, b].map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
    if (!text || !node.checkVisibility() || node.closest('.visually-hidden, .skip, noscript, script, option')) continue;
    const under = ground(node), ink = over(parse(getComputedStyle(node).color), under);
    const [low, high] = [light(ink), light(under)].sort((a, b) => a - b);
    found.push({ text: text.slice(0, 40), disabled: Boolean(node.closest(':disabled')), ratio: (high + .05) / (low + .05) });
  }
  return found;
}"""


def overlaps(page: Any) -> List[str]:
    """What lies over something else, leaves the screen or makes the page scroll sideways, by bounding boxes; [] is good."""
    return page.evaluate(OVERLAPS)


def contrasts(page: Any) -> List[dict]:
    """{"text", "disabled", "ratio"} of every visible text on its ground (WCAG 2 contrast ratio, 1 to 21)."""
    return page.evaluate(CONTRAST)


def settled(page: Any) -> None:
    """Waits until the page has drawn and its transitions ended."""
    page.evaluate("() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => 0)))")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

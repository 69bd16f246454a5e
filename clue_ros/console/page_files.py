"""The page's files: a fixed list made at start. A request names one of it or nothing; no path is ever made from one."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, NamedTuple

from clue_ros.types import ClueError

FOLDER = Path(__file__).resolve().parent / "page"
INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2",
}  # fmt: skip


class PageFile(NamedTuple):
    path: Path
    mime: str


def page_files(folder: Path = FOLDER) -> Dict[str, PageFile]:
    """{"console.js": ...}. Raises ClueError where the package was installed without its page."""
    files = {
        path.name: PageFile(path, _TYPES[path.suffix])
        for path in sorted(folder.iterdir() if folder.is_dir() else ())
        if path.suffix in _TYPES and path.is_file()
    }
    if INDEX not in files:
        raise ClueError(f"{folder / INDEX} is missing: install clue_ros again")
    return files

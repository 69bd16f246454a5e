"""A client of the console's socket, for measurements, scripts and tests: it keeps the last of everything it is sent.

with open_page("http://127.0.0.1:8765/") as page:
    page.send(type="instruct", text="the mug")
    page.until(lambda page: page.state and page.state["dialogue"]["question"])
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, Callable, Dict, Iterator, List, Optional
from urllib.parse import urlsplit

from websockets.sync.client import connect
from websockets.typing import Origin

OPEN_S = 60.0


class Page:
    """frames: headers of live frames; pictures: {id: header} of frozen frames and maps; headers also hold "bytes"."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.hello: Optional[dict] = None
        self.state: Optional[dict] = None
        self.states = 0
        self.notes: List[dict] = []
        self.frames: List[dict] = []
        self.pictures: Dict[int, dict] = {}

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def until(self, condition: Callable[["Page"], Any], limit_s: float = 120.0) -> Any:
        """Reads until the condition holds, and gives its value. Raises TimeoutError after `limit_s` seconds."""
        end = time.monotonic() + limit_s
        while not (value := condition(self)):
            self.take(self.socket.recv(timeout=max(0.01, end - time.monotonic())))
        return value

    def read_for(self, seconds: float) -> None:
        """Reads what comes in that time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                self.take(self.socket.recv(timeout=left))

    def take(self, message: "str | bytes") -> None:
        """Keeps one message of the server."""
        if isinstance(message, bytes):
            length = int.from_bytes(message[:4], "big")
            header = {**json.loads(message[4 : 4 + length]), "bytes": len(message) - 4 - length}
            if header.get("live"):
                self.frames.append(header)
            else:
                self.pictures[header["id"]] = header
            return
        content = json.loads(message)
        if content["type"] == "hello":
            self.hello = content
        elif content["type"] == "state":
            self.state = content["state"]
            self.states += 1
        else:
            self.notes.append(content)


@contextlib.contextmanager
def open_page(url: str, path: str = "", origin: Optional[str] = None, **options: Any) -> Iterator[Page]:
    """A page of the console at `url` (as its log names it, with the token if there is one).

    path: in place of /ws and the url's token; origin: in place of the console's own; options: websockets' connect.
    """
    parts = urlsplit(url)
    where = path or "/ws" + (f"?{parts.query}" if parts.query else "")
    own = f"{parts.scheme}://{parts.netloc}"
    options = {"open_timeout": OPEN_S, "max_size": None, "compression": None, **options}
    with connect(f"ws://{parts.netloc}{where}", origin=Origin(origin or own), **options) as socket:
        yield Page(socket)

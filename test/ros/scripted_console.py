"""A console server that a test plays: serves the page, sends the states and images it is told to, keeps what pages say.

It speaks the protocol of docs/console.md over a real WebSocket, and also does what the real server never would: fall
silent, send what is no message, count another version.
"""

from __future__ import annotations

import copy
import json
import struct
import threading
from typing import Any, Dict, List, Optional
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
from bench import wait_until
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve

from clue_ros.console.page_files import page_files

WIDTH, HEIGHT = 640, 480
MUGS = [(150, 250), (330, 270), (520, 240)]  # centres in pixels
HELLO = {
    "type": "hello",
    "version": 1,
    "limits": {"text": 1000, "message_bytes": 16384},
    "options": {"can_instruct": True, "live": True, "replay": [{"id": 3, "name": "tabletop.mcap", "episodes": 2}]},
}
NO_DIALOGUE: Dict[str, Any] = {
    "id": None,
    "open": False,
    "question": None,
    "source": None,
    "turns": [],
    "readings": [],
    "target": None,
    "error": None,
    "chips": [],
    "latency": {"inference_s": None, "response_s": None},
    "frame": None,
}
QUIET: Dict[str, Any] = {
    "connection": {"node": "active", "camera": "ok", "camera_age_s": 0.1, "model": "embedded tabletop", "advice": ""},
    "dialogue": NO_DIALOGUE,
    "goals": [],
    "health": [],
    "history": [],
    "replay": None,
}


def scene(shift: int = 0) -> np.ndarray:
    """uint8[480, 640, 3], BGR: three discs on a table."""
    picture = np.full((HEIGHT, WIDTH, 3), (150, 160, 170), np.uint8)
    for (x, y), color in zip(MUGS, ((60, 60, 200), (200, 90, 60), (60, 60, 200))):
        cv2.circle(picture, (x + shift, y), 45, color, -1)
    return picture


def bumps(weights: List[float]) -> np.ndarray:
    """uint8[16, 16]: an attention map with a bump on each mug."""
    y, x = np.mgrid[0:16, 0:16] * 1.0
    total = sum(
        w * np.exp(-((x - cx / WIDTH * 16) ** 2 + (y - cy / HEIGHT * 16) ** 2) / 2.5)
        for w, (cx, cy) in zip(weights, MUGS)
    )
    return np.clip(total * 255, 0, 255).astype(np.uint8)


def mug_box(index: int) -> Dict[str, float]:
    x, y = MUGS[index]
    return {"x": x - 48, "y": y - 48, "width": 96, "height": 96}


def reading(step: int, words: str, probability: float, map_id: int, mugs: List[int], frame: int = 1) -> Dict[str, Any]:
    return {
        "step": step,
        "expression": words,
        "probability": probability,
        "threshold": 0.5,
        "is_ambiguous": probability > 0.5,
        "frame": frame,
        "map": map_id,
        "regions": [{**mug_box(i), "score": 0.9 - 0.1 * i} for i in mugs],
        "latency_s": 0.123,
    }


def turn(speaker: str, text: str) -> Dict[str, Any]:
    return {"speaker": speaker, "text": text, "at": 1_790_000_000.0}


def asking(**changes: Any) -> Dict[str, Any]:
    """A dialogue with an open question about two of three mugs."""
    question = "Do you mean the red mug on the left or the one on the right?"
    return {
        **copy.deepcopy(NO_DIALOGUE),
        "id": "d1",
        "open": True,
        "question": question,
        "source": "action",
        "turns": [turn("person", "the red mug"), turn("robot", question)],
        "frame": 1,
        "readings": [reading(1, "the red mug", 0.87, 11, [0, 2])],
        "chips": ["the left one", "the right one"],
        "latency": {"inference_s": 0.123, "response_s": None},
        **changes,
    }


def found() -> Dict[str, Any]:
    """The same dialogue after the answer."""
    before = asking()
    return {
        **before,
        "open": False,
        "question": None,
        "chips": [],
        "turns": [*before["turns"], turn("person", "the left one"), turn("robot", "I see it.")],
        "readings": [*before["readings"], reading(2, "the red mug on the left", 0.08, 12, [0])],
        "target": {
            **mug_box(0),
            "confidence": 0.93,
            "position": [0.12, -0.04, 0.61],
            "frame_id": "camera_color_optical_frame",
            "mask": 13,
            "expression": "the red mug on the left",
        },
        "latency": {"inference_s": 0.11, "response_s": 0.142},
    }


class ScriptedConsole:
    """Listens on a free port of the loopback address. `say(...)` reaches every open page, and what was said last also
    whoever comes later."""

    def __init__(self, token: str = "", port: int = 0, hello: Optional[Dict[str, Any]] = None) -> None:
        self.hello = hello or HELLO
        self.token = token
        self.asked = 0  # how often a page asked whether anybody is there
        self.heard: List[Dict[str, Any]] = []  # all messages of all pages
        self.state = copy.deepcopy(QUIET)
        self.answering = threading.Event()  # cleared: as if the network had died, requests are not answered
        self.answering.set()
        self._images: List[bytes] = []  # frozen frames and maps
        self._live: List[bytes] = []  # the newest live frame
        self._pages: List[Any] = []
        self._lock = threading.Lock()
        self._files = page_files()
        self._server = serve(self._talk, "127.0.0.1", port, process_request=self._file, compression=None)
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def viewers(self) -> int:
        return len(self._pages)

    def say(self, **changes: Any) -> None:
        """A new state: the last one with these changes."""
        with self._lock:
            self.state = {**self.state, **copy.deepcopy(changes)}
            self._send_all(json.dumps({"type": "state", "state": self.state}))

    def note(self, text: str, level: str = "warn") -> None:
        with self._lock:
            self._send_all(json.dumps({"type": "note", "level": level, "text": text}))

    def send(self, message: Any) -> None:
        """Anything at all: str as text, bytes as they are."""
        with self._lock:
            self._send_all(message)

    def frame(self, number: int, picture: np.ndarray, live: bool = False) -> None:
        header = {"kind": "frame", "id": number, "width": WIDTH, "height": HEIGHT, "mime": "image/jpeg", "live": live}
        self._image(header, cv2.imencode(".jpg", picture)[1].tobytes(), keep=not live)

    def map(self, number: int, grey: np.ndarray) -> None:
        header = {"kind": "map", "id": number, "width": grey.shape[1], "height": grey.shape[0], "mime": "image/png"}
        self._image(header, cv2.imencode(".png", grey)[1].tobytes(), keep=True)

    def pictures(self) -> None:
        """The frame, the maps and the mask that `asking()` and `found()` speak of, and a live image."""
        self.frame(1, scene())
        self.map(11, bumps([1.0, 0.1, 0.9]))
        self.map(12, bumps([1.0, 0.0, 0.1]))
        mask = np.zeros((120, 160), np.uint8)
        cv2.circle(mask, (MUGS[0][0] // 4, MUGS[0][1] // 4), 11, 255, -1)
        self.map(13, mask)
        self.frame(900, scene(20), live=True)

    def wait_for(self, kind: str) -> Dict[str, Any]:
        """The newest message of this type, once there is one; it is taken out of `heard`."""
        message = wait_until(lambda: next((m for m in reversed(self.heard) if m.get("type") == kind), None), what=kind)
        self.heard.remove(message)
        return message

    def close(self) -> None:
        """As if the process had died: the port is free, every socket is gone."""
        self.answering.set()
        self._server.shutdown()
        self._thread.join(60)
        for page in list(self._pages):
            page.socket.close()

    def _image(self, header: Dict[str, Any], data: bytes, keep: bool) -> None:
        text = json.dumps(header).encode()
        message = struct.pack(">I", len(text)) + text + data
        with self._lock:
            if keep:
                self._images.append(message)
            else:
                self._live = [message]
            self._send_all(message)

    def _send_all(self, message: Any) -> None:
        for page in list(self._pages):
            try:
                page.send(message)
            except (ConnectionClosed, OSError):
                self._pages.remove(page)

    def _file(self, _connection: Any, request: Any) -> Optional[Response]:
        path = urlsplit(request.path).path
        self.answering.wait()
        if path == "/ws":
            return None
        if path == "/healthz":
            self.asked += 1
            return Response(200, "OK", Headers({"Content-Length": "0", "Connection": "close"}), b"")
        file = self._files.get("index.html" if path == "/" else path.removeprefix("/static/"))
        if file is None:
            return Response(404, "Not Found", Headers({"Content-Length": "0", "Connection": "close"}), b"")
        body = file.path.read_bytes()
        headers = Headers({"Content-Type": file.mime, "Content-Length": str(len(body)), "Connection": "close"})
        return Response(200, "OK", headers, body)

    def _talk(self, page: Any) -> None:
        given = parse_qs(urlsplit(page.request.path).query).get("token", [""])[0]
        if given != self.token:
            page.close(4401, "token")
            return
        with self._lock:
            page.send(json.dumps(self.hello))
            for message in [*self._images, *self._live]:
                page.send(message)
            page.send(json.dumps({"type": "state", "state": self.state}))
            self._pages.append(page)
        try:
            for text in page:
                self.heard.append(json.loads(text))
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._lock:
                if page in self._pages:
                    self._pages.remove(page)

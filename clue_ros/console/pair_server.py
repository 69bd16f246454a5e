"""The two pages of pair_chat.py. A token opens each, and says which role its page has: nobody sees the other's.

GET /            the page                    GET /view?since=N   what it shows, as soon as that is no more revision N
GET /image?task=N   the picture as JPEG      POST /do            a request of requests.py, one JSON object
"""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import threading
from typing import Dict, Optional, Tuple

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from PIL import Image

from clue_ros.console import requests
from clue_ros.console.access import Access, Allowance
from clue_ros.console.page_files import page_files
from clue_ros.console.pair_chat import ROLES, PairChat
from clue_ros.console.server import PageServer, Settings, guarded_app
from clue_ros.types import ClueError

PAGE = "pair.html"
WAIT_S, LOOK_S = 20.0, 0.1
REQUESTS_PER_S = 20.0
_NAME = re.compile(r"[a-z0-9-]{1,32}")


def make_pair_app(chat: PairChat, tokens: Dict[str, str], access: Access, over: threading.Event) -> FastAPI:
    """The routes. tokens: of each of ROLES; over: set where no page is to wait any more."""
    files, rules = page_files(), {role: Access(token) for role, token in tokens.items()}
    allowance = {role: Allowance(REQUESTS_PER_S) for role in ROLES}
    app = guarded_app("clue_ros pairs", access, files)

    def who(request: Request) -> Optional[Tuple[str, str]]:
        """(role, pair); None for somebody unknown."""
        token, name = request.query_params.get("token"), request.query_params.get("pair", "1")
        role = next((r for r in ROLES if rules[r].knows(token)), None)
        return (role, name) if role is not None and _NAME.fullmatch(name) else None

    def stranger() -> Response:
        return PlainTextResponse("Open one of the two addresses as they were printed.", 401)

    @app.get("/")
    def index(request: Request) -> Response:
        return Response(files[PAGE].path.read_bytes(), media_type=files[PAGE].mime) if who(request) else stranger()

    @app.get("/view")
    async def view(request: Request) -> Response:
        known = who(request)
        if known is None:
            return stranger()
        role, name = known
        since = request.query_params.get("since", "")
        try:
            for _ in range(round(WAIT_S / LOOK_S)):
                if over.is_set() or str(chat.revision(name)) != since or await request.is_disconnected():
                    break
                await asyncio.sleep(LOOK_S)
            return JSONResponse(chat.view(name, role))
        except ClueError as error:
            return JSONResponse({"error": str(error)}, 409)

    @app.get("/image")
    def image(request: Request) -> Response:
        known, task = who(request), request.query_params.get("task", "")
        if known is None:
            return stranger()
        try:
            data = io.BytesIO()
            pixels = chat.pixels(known[1], int(task) if task.isdecimal() and len(task) < 9 else 0)
            Image.fromarray(pixels).save(data, "JPEG", quality=92)
        except ClueError as error:
            return PlainTextResponse(str(error), 404)
        return Response(data.getvalue(), media_type="image/jpeg")

    @app.post("/do")
    async def do(request: Request) -> Response:
        known = who(request)
        if known is None:
            return stranger()
        role, name = known
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > requests.MAX_MESSAGE:
                return JSONResponse({"error": f"a message may have {requests.MAX_MESSAGE} bytes"}, 413)
        if not allowance[role].take():
            return JSONResponse({"error": "too many requests"}, 429)
        try:
            chat.do(name, role, requests.parse(body.decode("utf-8", "replace")))
        except ClueError as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse({"ok": True})

    return app


class PairServer(PageServer):
    """Serves the pages from `start` to `stop`; `urls` has the address of each role."""

    def __init__(self, chat: PairChat, settings: Settings = Settings()) -> None:
        """settings: its token is not used, each role gets a new one. Raises AccessError, ClueError."""
        self._tokens, self._over = {role: secrets.token_hex(16) for role in ROLES}, threading.Event()
        super().__init__(
            settings, lambda access: make_pair_app(chat, self._tokens, access, self._over), "page for pairs"
        )

    def stop(self) -> None:
        self._over.set()
        super().stop()

    @property
    def urls(self) -> Dict[str, str]:
        return {role: self.address(token) for role, token in self._tokens.items()}

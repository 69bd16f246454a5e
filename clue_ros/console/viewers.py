"""One page that is open: what it has been sent, what it may be sent next, and what it asks for.

Nothing is ever queued for a page but a few notes. It gets the state, the pictures that the state speaks of, and the
newest live frame once it has seen the one before. A slow tablet so gets fewer frames, never older ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from typing import Any, Deque, Optional, Protocol, Set

from fastapi.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from clue_ros.console import requests
from clue_ros.console.access import Allowance
from clue_ros.console.feed import Feed, View
from clue_ros.console.requests import RequestError

MESSAGES_PER_S = 20
SEEN_PER_S = 60
NOTES_KEPT = 8
FLOOD = 400  # messages refused without a pause of CALM_S between them; then the socket is closed
CALM_S = 10.0
HEARTBEAT_S = 5.0  # the state is sent again if nothing was for so long, so that a page notices a dead network
SEND_S = 20.0  # a page that takes nothing for so long is gone

_log = logging.getLogger(__name__)


class Robot(Protocol):
    """Who does what a page asks for. `tell(level, text)` may be called from any thread, at any time."""

    def do(self, request: requests.Request, tell: "Any") -> None: ...


class Viewer:
    """Runs for as long as its socket is open."""

    def __init__(self, socket: WebSocket, feed: Feed, robot: Robot, options: dict) -> None:
        self._socket = socket
        self._feed = feed
        self._robot = robot
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._notes: Deque[dict] = deque(maxlen=NOTES_KEPT)
        self._view: View = feed.live
        self._state_sent = -1
        self._has: Set[int] = set()
        self._shown: Optional[int] = None  # the live frame that was sent last
        self._ready = True  # it has seen that one
        self._asks, self._seens = Allowance(MESSAGES_PER_S), Allowance(SEEN_PER_S)
        self._too_many = 0
        self._refused = self._complained = -CALM_S
        self._closed = False

    @property
    def wants_frame(self) -> bool:
        """Whether a live frame would be sent at once."""
        return self._ready and not self._closed and self._view is self._feed.live

    def wake(self) -> None:
        """There may be something new. For the loop's thread."""
        self._news.set()

    def tell(self, level: str, text: str) -> None:
        """A note for this page alone; from any thread."""
        note = {"type": "note", "level": level, "text": text}

        def keep() -> None:
            self._notes.append(note)
            self._news.set()

        if not self._closed:
            try:
                self._loop.call_soon_threadsafe(keep)
            except RuntimeError:  # the server is gone meanwhile
                pass

    async def run(self) -> None:
        """Until either side closes."""
        sender = asyncio.ensure_future(self._send_all())
        listener = asyncio.ensure_future(self._listen())
        try:
            await asyncio.wait((sender, listener), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._closed = True
            for task in (sender, listener):
                task.cancel()
            for outcome in await asyncio.gather(sender, listener, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(
                    outcome, (WebSocketDisconnect, TimeoutError, asyncio.TimeoutError)
                ):
                    _log.info("a page was lost: %s: %s", type(outcome).__name__, outcome)
            if self._socket.application_state is WebSocketState.CONNECTED:
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is closed, and only now says so
                    await self._socket.close(1011)

    # To the page.

    async def _send_all(self) -> None:
        await self._send_json({
            "type": "hello", "version": 1, "heartbeat_s": HEARTBEAT_S,
            "limits": {"text": requests.MAX_TEXT, "message_bytes": requests.MAX_MESSAGE}, "options": self._options,
        })  # fmt: skip
        while True:
            self._news.clear()
            await self._send_what_is_new()
            try:
                await asyncio.wait_for(self._news.wait(), HEARTBEAT_S)
            except asyncio.TimeoutError:
                self._state_sent = -1

    async def _send_what_is_new(self) -> None:
        while self._notes:
            await self._send_json(self._notes.popleft())
        view = self._view
        version, text, pictures = view.current()
        for number in pictures:
            picture = None if number in self._has else view.pictures.get(number)
            if picture is not None:
                await self._send_bytes(picture.data)
                self._has.add(number)
        if version != self._state_sent:
            await self._send_text(text)
            self._state_sent = version
        self._has &= {
            *pictures,
            *self._feed.live.current()[2],
        }  # what nobody speaks of any more is sent again if need be
        live = self._feed.pictures.live
        if self.wants_frame and live is not None and live.id != self._shown:
            self._ready, self._shown = False, live.id
            await self._send_bytes(live.data)

    async def _send_json(self, message: dict) -> None:
        await self._send_text(json.dumps(message, separators=(",", ":")))

    async def _send_text(self, text: str) -> None:
        await asyncio.wait_for(self._socket.send_text(text), SEND_S)

    async def _send_bytes(self, data: bytes) -> None:
        await asyncio.wait_for(self._socket.send_bytes(data), SEND_S)

    # From the page.

    async def _listen(self) -> None:
        while self._too_many < FLOOD:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._take(message.get("text"))
        await self._socket.close(1008, "too many messages")

    def _take(self, text: Optional[str]) -> None:
        try:
            if text is None:
                raise RequestError("messages of a page are text")
            request = requests.parse(text)
        except RequestError as error:
            self._refuse(str(error))
            return
        seen = isinstance(request, requests.Seen)
        if not (self._seens if seen else self._asks).take():
            self._refuse(f"too many messages: {MESSAGES_PER_S} a second are taken, the rest is dropped")
            return
        if seen:
            if request.frame == self._shown:
                self._ready = True
                self._news.set()
        elif isinstance(request, requests.Live):
            self._look_at(self._feed.live)
        elif isinstance(request, requests.Replay):
            try:
                self._look_at(self._feed.replayed(request))
            except RequestError as error:
                self._refuse(str(error))
        else:
            self._robot.do(request, self.tell)

    def _look_at(self, view: View) -> None:
        self._view, self._state_sent = view, -1
        self._news.set()

    def _refuse(self, reason: str) -> None:
        """Says why, once a second at most; a page that does not stop is sent away."""
        now = time.monotonic()
        self._too_many = self._too_many + 1 if now - self._refused < CALM_S else 1
        self._refused = now
        if now - self._complained >= 1.0:
            self._complained = now
            self._notes.append({"type": "note", "level": "warn", "text": reason})
            self._news.set()

"""HTTP to one server after the other: one connection kept open, cancel by closing it, and when a server counts as gone.

    line = Line(["http://gpu:8780", "http://spare:8780"], token="", robot="arm-3")
    fields, arrays = line.ask("ground", body_of, should_stop)

Every request can be sent again: nothing on a server changes by it but what it remembers of an image.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from clue_ros.fleet import values, wire
from clue_ros.fleet.wire import ROBOT, WireError
from clue_ros.types import Cancelled, ClueError, ModelUnavailableError, StopTest, stop_if

CONNECT_S = 2.0
ANSWER_S = 120.0  # without a byte of the answer: a server that hangs
LOOK_S = 0.02  # so often should_stop is asked while a server works
PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)  # before the next try; the last one from then on
LARGEST_ANSWER = wire.MAX_BODY
KEPT = 100  # latencies


class UnreachableError(Exception):
    """This server did not answer this time."""


class LostImageError(Exception):
    """The server does not hold the image (any more)."""


@dataclass
class Health:
    """How the line is. server: that was asked last; latency_s: of the last requests, with the network; waiting: what
    the server had to do then; away_since: monotonic seconds, None while it answers; failures: of requests, so far."""

    server: str = ""
    latency_s: "Deque[float]" = field(default_factory=lambda: deque(maxlen=KEPT))
    waiting: int = 0
    away_since: Optional[float] = None
    why: str = ""
    failures: int = 0


class Line:
    """For one thread. `health` may be read by any."""

    def __init__(self, servers: Sequence[str], token: str, robot: str, patience_s: float, answer_s: float = ANSWER_S):
        """servers: addresses; one is asked until it fails, then the next; patience_s: how long to go on trying."""
        self.servers, self.patience_s = list(servers), patience_s
        self._answer_s = answer_s
        self._headers = {ROBOT: robot, "Content-Type": wire.TYPE}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._at = 0
        self._open: Optional[http.client.HTTPConnection] = None
        self.health = Health(self.servers[0])

    @property
    def server(self) -> str:
        """The address that the next request goes to."""
        return self.servers[self._at]

    def ask(
        self, verb: str, body_of: Callable[[bool], bytes], should_stop: StopTest = None,
        patience_s: Optional[float] = None,
    ) -> Tuple[Dict[str, Any], List[Any]]:  # fmt: skip
        """What a server answers to POST /v1/VERB.

        body_of(lost): the body; lost: the server said that it lacks the image.

        Raises what the Grounder there raised, Cancelled, ModelUnavailableError.
        """
        lost = False

        def once() -> Tuple[Dict[str, Any], List[Any]]:
            nonlocal lost
            try:
                status, kind, data = self._exchange("POST", f"/v1/{verb}", body_of(lost), should_stop)
                return self._read(status, kind, data)
            except LostImageError as error:
                if lost:  # it was sent with it, and evicted before its turn
                    raise UnreachableError(str(error)) from error
                lost = True
                return once()

        def again() -> Tuple[Dict[str, Any], List[Any]]:
            nonlocal lost
            lost = False
            return once()

        return self._patiently(again, should_stop, self.patience_s if patience_s is None else patience_s)

    def about(self, patience_s: float) -> Dict[str, Any]:
        """GET /v1/about. Raises ModelUnavailableError, WireError."""

        def once() -> Dict[str, Any]:
            status, kind, data = self._exchange("GET", "/v1/about", None, None)
            if status != 200:
                self._read(status, kind, data)
            return wire.mapping(json.loads(data), "about")

        return self._patiently(once, None, patience_s)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _patiently(self, once: Callable[[], Any], should_stop: StopTest, patience_s: float) -> Any:
        """Tries until it works, one server after the other; pauses after each round."""
        begun, tries, health = time.monotonic(), 0, self.health
        while True:
            stop_if(should_stop)
            sent = time.monotonic()
            try:
                answer = once()
                health.latency_s.append(time.monotonic() - sent)
                health.away_since, health.why = None, ""
                return answer
            except Cancelled:
                self.close()  # the server hears it
                raise
            except UnreachableError as error:
                health.why = str(error)
            self.close()
            health.failures += 1
            health.away_since = health.away_since or sent
            if time.monotonic() - begun >= patience_s:
                names = " and ".join(self.servers)
                raise ModelUnavailableError(
                    f"no answer from {names} within {time.monotonic() - begun:.1f} s ({health.why}): is the server "
                    "running (clue serve), and the network up?"
                )
            self._at = (self._at + 1) % len(self.servers)
            tries += 1
            if tries >= len(self.servers):
                self._pause(PAUSES_S[min(tries // len(self.servers), len(PAUSES_S)) - 1], should_stop)

    def _pause(self, seconds: float, should_stop: StopTest) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stop_if(should_stop)
            time.sleep(min(LOOK_S, max(0.0, end - time.monotonic())))

    def _exchange(self, method: str, path: str, body: Optional[bytes], should_stop: StopTest) -> Tuple[int, str, bytes]:
        """(status, content type, body). Raises UnreachableError, Cancelled."""
        self.health.server = self.server
        try:
            connection = self._connected()
            connection.request(method, path, body, self._headers)
            self._await(connection, should_stop)
            response = connection.getresponse()
            data = response.read(LARGEST_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error
        if len(data) > LARGEST_ANSWER:
            raise UnreachableError("its answer is too long")
        return response.status, response.headers.get("content-type", ""), data

    def _connected(self) -> http.client.HTTPConnection:
        if self._open is None:
            parts = urlsplit(self.server)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            assert parts.hostname is not None
            connection = kind(parts.hostname, parts.port, timeout=CONNECT_S)
            connection.connect()
            # A host that lost its power says nothing: the kernel finds out in seconds, not in a quarter of an hour.
            for option, value in (("TCP_NODELAY", 1), ("TCP_KEEPIDLE", 2), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3),
                                  ("TCP_USER_TIMEOUT", 5000)):  # fmt: skip
                with contextlib.suppress(AttributeError, OSError):
                    connection.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.sock.settimeout(self._answer_s)
            self._open = connection
        return self._open

    def _await(self, connection: http.client.HTTPConnection, should_stop: StopTest) -> None:
        """Until the first byte of the answer is there."""
        end, come = time.monotonic() + self._answer_s, select.poll()
        come.register(connection.sock, select.POLLIN)
        while not come.poll(LOOK_S * 1000):
            stop_if(should_stop)
            if time.monotonic() > end:
                raise TimeoutError(f"nothing came within {self._answer_s:g} s")

    def _read(self, status: int, kind: str, data: bytes) -> Tuple[Dict[str, Any], List[Any]]:
        """The answer, or what it says is wrong. Raises UnreachableError for what another try may mend."""
        if kind != wire.TYPE:
            said = data[:200].decode("utf-8", "replace").strip()
            if status in (401, 403):
                raise ModelUnavailableError(f"{self.server} refuses this robot: {said}")
            raise UnreachableError(f"HTTP {status}: {said}")
        try:
            fields, arrays = wire.unpack(data)
            self.health.waiting = wire.whole(fields.pop("waiting", 0), "waiting", 10**9)
            if status == 200:
                return fields, arrays
            if status == 409:
                raise LostImageError(wire.text(fields, "text", ""))
            if status in (408, 429, 503):
                raise UnreachableError(wire.text(fields, "text", ""))
            error: ClueError = values.error_of(fields)
        except WireError as broken:
            raise UnreachableError(f"its answer is damaged: {broken}") from broken
        if isinstance(error, Cancelled):  # by the server, which ends: not by who asks
            raise UnreachableError(str(error))
        raise error

"""One call of a service of the node: waits for the service, sends, and ends with exactly one CallOutcome."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Optional

from rclpy.client import Client
from rclpy.task import Future

from clue_ros.ros.client.outcome import CallOutcome, ClientCode, Code
from clue_ros.ros.client.promise import Promise
from clue_ros.ros.client.wires import ask, forget

# A response -> its CallOutcome, given the service's name.
Read = Callable[[str, Any], CallOutcome]


class Call(Promise):
    """Its value is the CallOutcome. server_s: to wait for the service, reply_s: then for the reply; seconds."""

    def __init__(self, client: Client, request: Any, read: Read, server_s: float, reply_s: float) -> None:
        super().__init__()
        self._client, self._request, self._read = client, request, read
        self._server_s, self._reply_s = server_s, reply_s
        self._begun = time.monotonic()
        self._sent: Optional[float] = None
        self._future: Optional[Future] = None
        self._sending = threading.Lock()

    def on_tick(self, now: float) -> None:
        name = self._client.srv_name
        if self._sent is not None:
            if now >= self._sent + self._reply_s and not self.done:
                forget(self._client, self._future)
                self._end(
                    ClientCode.NO_RESULT, f"no reply within {self._reply_s:g} s: the node is busy or stuck; see its log"
                )
        elif self._client.service_is_ready():
            self._send(now)
        elif now >= self._begun + self._server_s:
            self._end(
                ClientCode.NO_SERVER,
                (
                    f"nobody serves {name} within {self._server_s:g} s: start the node and configure it, or correct "
                    "namespace"
                    " and ROS_DOMAIN_ID"
                ),
            )

    def close(self, why: str) -> None:
        self._end(ClientCode.CLOSED, why)

    def _send(self, now: float) -> None:
        with self._sending:  # two threads of an executor may tick
            if self._sent is not None:
                return
            self._sent = now
        self._future = ask(
            self._client, self._request, lambda response: self.set(self._read(self._client.srv_name, response))
        )

    def _end(self, code: int, message: str) -> None:
        self.set(CallOutcome(self._client.srv_name, int(code), message))


def read_answer(service: str, response: Any) -> CallOutcome:
    """Of srv/Answer."""
    if response.accepted:
        return CallOutcome(service, Code.NONE)
    return CallOutcome(service, ClientCode.REJECTED, response.message or "the answer was not taken")


def reader_of(field: str) -> Read:
    """Of srv/DetectAmbiguity and srv/Chat: the value is this field."""

    def read(service: str, response: Any) -> CallOutcome:
        if response.success:
            return CallOutcome(service, Code.NONE, "", getattr(response, field))
        code = response.error_code or ClientCode.NO_REASON
        return CallOutcome(service, int(code), response.error_msg or "the node gave no reason: see its log")

    return read


def read_state(service: str, response: Any) -> CallOutcome:
    """Of lifecycle_msgs/GetState: its label."""
    return CallOutcome(service, Code.NONE, "", response.current_state.label)

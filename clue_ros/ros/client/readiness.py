"""Waiting until goals would be taken: the node is there, both sides have found each other, and it is active."""

from __future__ import annotations

import time
from typing import Any, List

from rclpy.task import Future

from clue_ros.ros.client.outcome import CallOutcome, ClientCode, Code
from clue_ros.ros.client.promise import Promise
from clue_ros.ros.client.wires import Wires, ask, forget

AGAIN_S = 0.25  # between two questions for the state
LOST_S = 2.0  # an answer that takes longer is asked for again; it counts all the same when it comes


class Readiness(Promise):
    """Its value is a CallOutcome."""

    def __init__(self, wires: Wires, limit_s: float) -> None:
        super().__init__()
        self._wires = wires
        self._end_at = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._missing = "the node is not there"
        self._asked = 0.0
        self._futures: List[Future] = []

    def on_tick(self, now: float) -> None:
        if self._is_there():
            self._look_at_state(now)
        if now >= self._end_at and not self.done:
            self._end(ClientCode.NO_SERVER, f"{self._missing} within {self._limit_s:g} s")

    def close(self, why: str) -> None:
        self._end(ClientCode.CLOSED, why)

    def _is_there(self) -> bool:
        wires, answer = self._wires, self._wires.client("answer")
        for name, there in (
            (f"nobody serves the action {wires.action}", wires.serves_goals),
            (f"nobody serves {answer.srv_name}", answer.service_is_ready),
            ("nobody publishes `correction`", wires.hears_corrections),
        ):
            if not there():
                self._missing = name
                return False
        return True

    def _look_at_state(self, now: float) -> None:
        state = self._wires.client("state")
        if not self._wires.node.count_services(state.srv_name):
            self._end(Code.NONE, "")  # no lifecycle node, or one of another name: whoever serves takes goals
            return
        if not state.service_is_ready():
            return
        waiting = bool(self._futures) and not any(future.done() for future in self._futures)
        if now < self._asked + (LOST_S if waiting else AGAIN_S):
            return
        if waiting or not self._futures:
            self._missing = f"no answer from {state.srv_name}"
        if not waiting:
            self._forget()
        self._asked = now
        self._futures.append(ask(state, state.srv_type.Request(), self._on_state))

    def _forget(self) -> None:
        for future in self._futures:
            forget(self._wires.client("state"), future)
        self._futures = []

    def _on_state(self, response: Any) -> None:
        label = response.current_state.label
        self._missing = f"the node is {label}, and not active"
        if label == "active":
            self._end(Code.NONE, "")

    def _end(self, code: int, message: str) -> None:
        self._forget()
        self.set(CallOutcome("the clue node", int(code), message))

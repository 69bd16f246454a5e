"""Waiting in a coroutine of the executor that anything may interrupt: an answer, a cancel, the end of the time."""

from __future__ import annotations

from typing import Any, Optional

from rclpy.node import Node
from rclpy.task import Future


class Waiting:
    """At most one coroutine waits here. For the executor's thread, except that any may end a future waited for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._interruption: Optional[Exception] = None
        self._gate: Optional[Future] = None

    def future(self) -> Future:
        """One that the executor of the node looks after."""
        return Future(executor=self._node.executor)

    async def until(self, future: Future) -> Any:
        """The future's result, or the interruption that came first, which is raised from now on."""
        if future.done() and self._interruption is None:
            return future.result()
        gate = self._gate = self.future()

        def open_gate(done: Future) -> None:
            done.exception()  # looked at: an abandoned job's Cancelled is no news
            self._open(gate)

        future.add_done_callback(open_gate)
        if self._interruption is None:
            await gate
        self._gate = None
        if self._interruption is not None:
            raise self._interruption
        return future.result()

    def interrupt(self, reason: Exception) -> bool:
        """Ends the waiting, now or when it begins; False if it was interrupted before: the first reason stands."""
        if self._interruption is not None:
            return False
        self._interruption = reason
        if self._gate is not None:
            self._open(self._gate)
        return True

    def close(self) -> None:
        """Nobody waits here any more: forgets where the interruption came through, whose frames hold the coroutine."""
        self._gate = None
        if self._interruption is not None:
            self._interruption.__traceback__ = None

    def _open(self, gate: Future) -> None:
        """Resumes what waits for the gate, in the executor's next turn."""
        gate.set_result(None)
        # The executor looks at a waiting coroutine once a turn, and has often done so in this one: without a wake the
        # dialogue would go on with the next event only, a camera frame or the tick of 50 ms.
        if self._node.executor is not None:
            self._node.executor.wake()

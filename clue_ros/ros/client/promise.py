"""A value that comes later, for everybody who may wait: a thread, a coroutine of an rclpy executor, one of asyncio.

rclpy's Future alone does not do: asyncio would look at it without a pause, and a thread has nothing to wait on.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, Callable, Generator, List, Optional

from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.task import Future, Task

from clue_ros.types import ClueError


class NotSpunError(ClueError):
    """Nobody spins the node of the client, so nothing can be heard of any goal."""


class WouldBlockError(ClueError):
    """A call that blocks was made where it would wait for itself: inside a callback of the executor that spins the
    node.
    """


class Promise:
    """Set or failed once, by any thread; the first one counts."""

    def __init__(self) -> None:
        self._happened = threading.Event()
        self._lock = threading.Lock()
        self._listeners: List[Callable[[], None]] = []
        self._value: Any = None
        self._error: Optional[BaseException] = None

    @property
    def done(self) -> bool:
        return self._happened.is_set()

    def set(self, value: Any = None, error: Optional[BaseException] = None) -> bool:
        """False if it had happened before."""
        with self._lock:
            if self._happened.is_set():
                return False
            self._value, self._error = value, error
            self._happened.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()
        return True

    def then(self, listener: Callable[[], None]) -> None:
        """Calls it when it has happened, at once if it has; in the thread that sets it. It must not raise or block."""
        with self._lock:
            if not self._happened.is_set():
                self._listeners.append(listener)
                return
        listener()

    def wait(self, limit_s: Optional[float] = None) -> bool:
        """Blocks the thread; False if it did not happen within `limit_s` seconds."""
        return self._happened.wait(limit_s)

    def result(self) -> Any:
        """Of one that is done. Raises the error that it was failed with."""
        if self._error is not None:
            raise self._error
        return self._value

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                yield from self._gate_of_rclpy().__await__()
            else:
                yield from self._gate_of_asyncio(loop).__await__()
        return self.result()

    def _gate_of_asyncio(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        gate = loop.create_future()

        def open_gate() -> None:
            if not gate.done():
                gate.set_result(None)

        def happened() -> None:
            if not loop.is_closed():  # who awaited has gone with it
                loop.call_soon_threadsafe(open_gate)

        self.then(happened)
        return gate

    def _gate_of_rclpy(self) -> Future:
        executor = running_executor()
        gate = Future(executor=executor)

        def happened() -> None:
            gate.set_result(None)
            if executor is not None:  # it looks at waiting coroutines once a turn, and may sleep
                executor.wake()

        self.then(happened)
        return gate


def running_executor() -> Optional[Executor]:
    """The rclpy executor in one of whose callbacks or tasks this thread is; None outside of them."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is Task.__call__.__code__:
            return frame.f_locals["self"]._executor()
        frame = frame.f_back
    return None


_BLOCKED: "dict[int, int]" = {}  # id of an executor -> how many of its threads wait in blocking calls
_LOCK = threading.Lock()


class Blocking:
    """`with Blocking(node):` around what blocks a thread until the node's executor has done something.

    Raises:
        NotSpunError: the node is in no executor.
        WouldBlockError: this thread is the executor's last one that is free.
    """

    def __init__(self, node: Node) -> None:
        executor = node.executor
        if executor is None:
            raise NotSpunError(
                f"nobody spins the node {node.get_name()!r}: add it to an executor that spins in another thread, "
                "await the"
                " method with _async in its place, or make the client without `node`, which then has a thread "
                "of its own"
            )
        self._key = id(executor) if running_executor() is executor else None
        if self._key is None:
            return
        with _LOCK:
            blocked = _BLOCKED.get(self._key, 0) + 1
            if blocked >= _threads(executor):
                self._key = None
                raise WouldBlockError(
                    f"this callback runs in the executor that spins {node.get_name()!r}, and would wait for "
                    "itself: make it"
                    " `async def` and await the method with _async, call it from another thread, or give a"
                    " MultiThreadedExecutor more threads"
                )
            _BLOCKED[self._key] = blocked

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._key is not None:
            with _LOCK:
                _BLOCKED[self._key] -= 1
                if not _BLOCKED[self._key]:
                    del _BLOCKED[self._key]


def _threads(executor: Executor) -> int:
    """Of a MultiThreadedExecutor's pool; rclpy tells nobody but by this attribute."""
    return getattr(getattr(executor, "_executor", None), "_max_workers", 1)

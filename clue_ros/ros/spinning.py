"""Spin a node until a signal, so that it can still talk while it shuts down.

rclpy's own handler invalidates the context first: nothing can be sent any more, and goals in flight get no result.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Any, Callable, List, Optional

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


class StopSignals:
    """Notes SIGINT and SIGTERM; the second one of a kind ends the process at once."""

    def __init__(self) -> None:
        self.received: List[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __bool__(self) -> bool:
        return bool(self.received)

    def _on_signal(self, number: int, _frame) -> None:
        self.received.append(number)
        signal.signal(number, signal.SIG_DFL)


def init(args: Optional[List[str]] = None) -> StopSignals:
    """rclpy.init without rclpy's signal handlers, and ours instead."""
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    return StopSignals()


def spin_while(
    executor: SingleThreadedExecutor, condition: Callable[[], bool], limit_s: Optional[float] = None
) -> bool:
    """Spins while `condition` holds, for at most `limit_s` seconds; True if the condition ended it."""
    end = None if limit_s is None else time.monotonic() + limit_s
    while condition():
        if end is not None and time.monotonic() >= end:
            return False
        executor.spin_once(timeout_sec=0.05)
    return True


class Spinner:
    """An executor with these nodes in a thread of its own, for a program whose own thread does other things.

    on_end: called in that thread when somebody else has shut the nodes' context down.
    """

    def __init__(self, *nodes: Node, on_end: Callable[[], None] = lambda: None) -> None:
        self._on_end = on_end
        self.executor = SingleThreadedExecutor(context=nodes[0].context)
        for node in nodes:
            self.executor.add_node(node)
        self._stop = False
        self._thread = threading.Thread(target=self._spin, name="spinner", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Any], limit_s: float = 180.0) -> Any:
        """What `function` gives when run in the executor's thread, where the nodes' own callbacks run.

        Raises what it raises, and TimeoutError after `limit_s` seconds (loading a model takes its time).
        """
        done = threading.Event()
        task = self.executor.create_task(function)
        task.add_done_callback(lambda _: done.set())
        if not done.wait(limit_s):
            raise TimeoutError(f"the executor did not run {function} within {limit_s:g} s")
        return task.result()

    def close(self) -> None:
        """Ends the thread and the executor; the nodes stay."""
        self._stop = True
        self.executor.wake()
        self._thread.join(5.0)
        self.executor.shutdown()

    def _spin(self) -> None:
        try:
            while not self._stop:
                self.executor.spin_once(timeout_sec=0.1)
        except ExternalShutdownException:
            self._on_end()  # there is nothing left to spin


def runs_tasks(node: Node) -> bool:
    """Whether what waits for the node's futures still runs. An executor that was shut down forgets its nodes; if a
    future of it ends after that, Jazzy's rclpy raises an AttributeError."""
    return node.executor is not None and node in node.executor.get_nodes()


def run(make_node: Callable[[], Node], args: Optional[List[str]] = None) -> int:
    """main() of a plain node: spins until a signal, or until the node's `done` attribute is true."""
    stop = init(args)
    node = make_node()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        spin_while(executor, lambda: not stop and not getattr(node, "done", False))
    except ExternalShutdownException:
        pass  # somebody else shut the context down: there is nothing left to spin
    finally:
        close = getattr(node, "close", None)
        if close is not None:
            close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0

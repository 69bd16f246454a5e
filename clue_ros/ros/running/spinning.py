"""Spin a node until a signal, so that it can still talk while it shuts down; and how each of our programs begins and
ends.

rclpy's own handler invalidates the context first: nothing can be sent any more, and goals in flight get no result.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from typing import Any, Callable, List, Optional

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from clue_ros.ros.running import overrides
from clue_ros.ros.running.log_folder import logging_arguments
from clue_ros.ros.running.stop_signals import Interrupted, StopSignals
from clue_ros.terminal import any_encoding
from clue_ros.types import ClueError

_SOURCE = re.compile(r",? at (/[^ :]+|\./[^ :]+):\d+")  # where in rcl's own sources


class BadArguments(ClueError):
    """What was given on the command line makes no sense to ROS."""


def init(args: Optional[List[str]] = None, stop: Optional[StopSignals] = None) -> StopSignals:
    """rclpy.init without rclpy's signal handlers, and ours instead (or those that the program has set up already).

    Raises:
        BadArguments: a ROS argument cannot be read, such as a parameter file that is missing or no YAML.
    """
    stop = StopSignals() if stop is None else stop  # it is false until a signal comes
    args = list(sys.argv if args is None else args)
    overrides.note_arguments(args)
    try:
        rclpy.init(args=args + logging_arguments(), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # RCLError, RCLInvalidROSArgsError, UnknownROSArgsError: their names are private
        text = _SOURCE.sub("", str(error)).removeprefix("failed to initialize rcl: ")
        raise BadArguments(f"the arguments cannot be used: {text}") from error
    return stop


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

        Raises what it raises, TimeoutError after `limit_s` seconds (loading a model takes its time), and RuntimeError
        where the thread has ended.
        """
        done = threading.Event()
        task = self.executor.create_task(function)
        task.add_done_callback(lambda _: done.set())
        end = time.monotonic() + limit_s
        while not done.wait(0.2):
            if not self._thread.is_alive():
                raise RuntimeError(f"the thread that should run {function} has ended; its exception stands above")
            if time.monotonic() >= end:
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


Spin = Callable[[Any, SingleThreadedExecutor, StopSignals], None]


def until_stopped(node: Node, executor: SingleThreadedExecutor, stop: StopSignals) -> None:
    """The ordinary life of a node: until a signal, or until its `done` attribute is true."""
    spin_while(executor, lambda: not stop and not getattr(node, "done", False))


def run(name: str, make_node: Callable[[], Node], args: Optional[List[str]] = None, spin: Spin = until_stopped) -> int:
    """main() of a program that is one node: makes it, spins it, closes it.

    0, also after any number of signals; 2 with one sentence on stderr where arguments or parameters make no sense, or
    where the node's `failure` (a ClueError) is set when it is done. A node's `close()` is called at its end. If its
    `loads_still` is true then, the process ends here: a thread that loads a model cannot be stopped, and Python would
    end in the midst of it.

    A node starts its threads in `start()`, not while it is made: a signal in the midst of making leaves nobody who
    could end them, and they would talk to a context that is gone.
    """
    node: Optional[Node] = None
    leftover = False
    stop: Optional[StopSignals] = None
    executor: Optional[SingleThreadedExecutor] = None
    any_encoding()
    try:
        stop = init(args)
        with stop.making():
            node = make_node()
            start = getattr(node, "start", None)
            if start is not None:
                start()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spin(node, executor, stop)
        if getattr(node, "failure", None) is not None:
            raise node.failure
    except (ParameterException, NameValidationException, ClueError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except (ExternalShutdownException, Interrupted):
        pass  # somebody else shut the context down, or a signal came early: there is nothing left to spin
    finally:
        if node is not None:
            leftover = getattr(node, "loads_still", False)
            close = getattr(node, "close", None)
            if close is not None:
                close()
        if executor is not None:
            executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        if stop is not None:
            stop.ignore()
    if leftover:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0

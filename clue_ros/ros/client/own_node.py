"""A node with a thread of its own, for a program that has none."""

from __future__ import annotations

from typing import Callable, List, Optional

import rclpy
from rclpy.context import Context
from rclpy.node import Node

from clue_ros.ros.running.spinning import Spinner


class OwnNode:
    """Uses the program's rclpy where it has called rclpy.init(), else a context of its own, with the program's
    --ros-args.

    In a context of its own Ctrl-C is Python's KeyboardInterrupt and nothing else. on_end: called in the thread when
    somebody else has shut the context down.
    """

    def __init__(self, name: str, namespace: str, args: Optional[List[str]], on_end: Callable[[], None]) -> None:
        self._context: Optional[Context] = None
        if not rclpy.ok():
            self._context = Context()
            self._context.init(args=args)
        self.node = Node(name, namespace=namespace or None, context=self._context)
        self._spinner = Spinner(self.node, on_end=on_end)

    def close(self) -> None:
        self._spinner.close()
        self.node.destroy_node()
        if self._context is not None:
            self._context.try_shutdown()

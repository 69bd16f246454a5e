"""A node with a thread of its own, for a program that has none; and a cancel that still goes out after rclpy was shut down."""

from __future__ import annotations

import time
from typing import Callable, List, Optional, Sequence

import rclpy
from action_msgs.srv import CancelGoal
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from clue_ros.ros.client.wires import uuid_message
from clue_ros.ros.spinning import Spinner

FAREWELL_S = 3.0  # to find the server again, and once more for its answers


class OwnNode:
    """Uses the program's rclpy where it has called rclpy.init(), else a context of its own, with the program's --ros-args.

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


def cancel_from_elsewhere(action: str, dialogues: Sequence[str], domain: int) -> bool:
    """Cancels goals from a context of its own; True if the server has said so of all.

    rclpy's handler of SIGINT shuts every context of the program, and then nothing of the old ones can be sent.
    """
    context = Context()
    context.init(args=[], domain_id=domain)
    node = Node(
        "clue_farewell", context=context, use_global_arguments=False, enable_rosout=False, start_parameter_services=False
    )
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = node.create_client(CancelGoal, f"{action}/_action/cancel_goal")
        end = time.monotonic() + FAREWELL_S
        while not client.service_is_ready() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
        if not client.service_is_ready():
            return False
        replies = []
        for dialogue in dialogues:
            request = CancelGoal.Request()
            request.goal_info.goal_id = uuid_message(dialogue)
            replies.append(client.call_async(request))
        end = time.monotonic() + FAREWELL_S
        while not all(reply.done() for reply in replies) and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
        return all(reply.done() for reply in replies)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()

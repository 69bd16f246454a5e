"""What a client has in DDS: the services and topics of the action, and the node's other services.

The action's services are used directly. rclpy's ActionClient (9.1 and 7.1) loses an acceptance that comes while another
thread still is in send_goal_async, has no time limits, and cannot cancel before it was accepted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from action_msgs.msg import GoalStatusArray
from action_msgs.srv import CancelGoal
from lifecycle_msgs.srv import GetState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.task import Future
from unique_identifier_msgs.msg import UUID

from clue_ros.action import Ground
from clue_ros.msg import Correction
from clue_ros.srv import Answer, Chat, DetectAmbiguity

# Replies and feedback go to every client of an action: the usual depth of 10 loses some in a crowd.
BURST = QoSProfile(depth=256)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TICK_S = 0.1
ACTION = ("send_goal", "get_result", "cancel_goal")


class Wires:
    """Makes them on `node`, under `namespace` (empty: the node's own); a remap of `action` is followed."""

    def __init__(
        self, node: Node, namespace: str, action: str, server: str, on_status: Callable, on_feedback: Callable,
        on_correction: Callable, on_tick: Callable,
    ) -> None:  # fmt: skip
        # Reentrant: whatever callback of the program waits, a reply is still heard.
        group = ReentrantCallbackGroup()
        prefix = namespace.rstrip("/") + "/" if namespace else ""

        # The action's name is resolved first: rcl would not see a remap of it in the names of its services.
        self.action = node.resolve_service_name(prefix + action)
        base = f"{self.action}/_action"
        self._feedback, self._status = f"{base}/feedback", f"{base}/status"
        listen = node.create_subscription
        self._topics = [  # before the services: who answers has met the listener by then
            listen(Ground.Impl.FeedbackMessage, self._feedback, on_feedback, BURST, callback_group=group),
            listen(GoalStatusArray, self._status, on_status, LATCHED, callback_group=group),
            listen(Correction, prefix + "correction", on_correction, 50, callback_group=group),
        ]
        self._correction = self._topics[-1].topic_name
        self._clients: Dict[str, Client] = {}
        self._making, self._group = threading.Lock(), group
        self._names = {
            "send_goal": (Ground.Impl.SendGoalService, f"{base}/send_goal"),
            "get_result": (Ground.Impl.GetResultService, f"{base}/get_result"),
            "cancel_goal": (CancelGoal, f"{base}/cancel_goal"),
            "answer": (Answer, prefix + "answer"), "detect": (DetectAmbiguity, prefix + "detect_ambiguity"),
            "chat": (Chat, prefix + "chat"), "state": (GetState, f"{prefix}{server}/get_state"),
        }  # fmt: skip
        self.node = node
        for name in ("send_goal", "get_result", "cancel_goal", "answer"):  # the others when they are used
            self.client(name)
        # Steady: limits of time hold whatever /clock does.
        self._timer = node.create_timer(
            TICK_S, on_tick, callback_group=group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()

    def client(self, name: str) -> Client:
        """Of send_goal, get_result, cancel_goal, answer, detect, chat or state."""
        with self._making:
            if name not in self._clients:
                kind, service = self._names[name]
                self._clients[name] = self.node.create_client(
                    kind, service, qos_profile=BURST, callback_group=self._group
                )
            return self._clients[name]

    def tick(self, wanted: bool) -> None:
        """Whether `on_tick` is called ten times a second."""
        if not wanted:
            self._timer.cancel()
            return
        self._timer.reset()
        executor = self.node.executor
        if executor is not None:
            executor.wake()

    def serves_goals(self) -> bool:
        """Whether an action server and all its topics have been discovered."""
        return (
            all(self.client(name).service_is_ready() for name in ACTION)
            and self.node.count_publishers(self._feedback) > 0
        )

    def hears_corrections(self) -> bool:
        return self.node.count_publishers(self._correction) > 0

    def servers(self) -> FrozenSet[Tuple[int, ...]]:
        """The identity of each action server that is there: that of its publisher of the goals' states."""
        return frozenset(tuple(info.endpoint_gid) for info in self.node.get_publishers_info_by_topic(self._status))

    def hear_without_executor(self, enough: Callable[[], bool], limit_s: float) -> None:
        """Takes the action's responses until `enough`, for at most `limit_s` seconds.

        rclpy's handlers of SIGINT and SIGTERM shut the contexts down, and with that every executor; but DDS is still
        there, and what was asked is answered. (rclpy.shutdown() destroys the services as well: then there is nothing to
        hear.)
        """
        end = time.monotonic() + limit_s
        while not enough() and time.monotonic() < end:
            for client in map(self.client, ACTION):
                with client.handle:
                    header, response = client.handle.take_response(client.srv_type.Response)
                if header is not None:
                    with contextlib.suppress(KeyError):  # it is not waited for any more
                        client.get_pending_request(header.request_id.sequence_number).set_result(response)
            time.sleep(0.005)

    def close(self) -> None:
        """The timer first: nothing of a client that is closed may run any more."""
        node = self.node
        node.destroy_timer(self._timer)
        for client in self._clients.values():
            node.destroy_client(client)
        for topic in self._topics:
            node.destroy_subscription(topic)


def ask(client: Client, request: Any, heard: Callable[[Any], None]) -> Future:
    """Sends it; `heard` gets the response, if one comes, in the executor. The future is for `forget`."""
    future = client.call_async(request)

    def on_done(done: Future) -> None:
        if not done.cancelled() and done.exception() is None:
            heard(done.result())

    future.add_done_callback(on_done)
    return future


def forget(client: Client, future: Optional[Future]) -> None:
    """A response that is not waited for any more."""
    if future is not None and not future.done():
        client.remove_pending_request(future)


def uuid_message(dialogue: str) -> UUID:
    """32 hexadecimal digits -> UUID."""
    return UUID(uuid=list(bytes.fromhex(dialogue)))


def endings(message: GoalStatusArray) -> List[Tuple[str, int]]:
    """(id, status) of each goal of a status message."""
    return [(bytes(each.goal_info.goal_id.uuid).hex(), each.status) for each in message.status_list]

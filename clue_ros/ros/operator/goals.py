"""The `ground` goals of all clients as the console follows them, and its own: sent, canceled, ended.

A goal's states and feedback are topics, and anybody may ask for its result, so a goal that the pick pipeline sent is
seen like one from the page. The services of the action are used directly: rclpy's ActionClient knows its own goals
only.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Callable, Dict, Optional

from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from unique_identifier_msgs.msg import UUID

from clue_ros.action import Ground
from clue_ros.console.state import ConsoleState
from clue_ros.ros.operator.ears import found_of
from clue_ros.ros.running.errors import CODE_NAMES
from clue_ros.ros.serving.ground_action import BURST
from clue_ros.ros.wire.messages import stamp_to_seconds

Tell = Callable[[str, str], None]
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_FEEDBACK = {
    getattr(Ground.Feedback, name): name
    for name in dir(Ground.Feedback)
    if name.isupper() and type(getattr(Ground.Feedback, name)) is int and not name.endswith("__DEFAULT")
}
_FINAL = {
    GoalStatus.STATUS_SUCCEEDED: "SUCCEEDED",
    GoalStatus.STATUS_ABORTED: "ABORTED",
    GoalStatus.STATUS_CANCELED: "CANCELED",
}


class ConsoleGoals:
    """For the executor's thread."""

    def __init__(self, node: Node, state: ConsoleState) -> None:
        self._node = node
        self._state = state
        self._impl = Ground.Impl
        base = node.resolve_service_name("ground") + "/_action"
        client = node.create_client
        self._send = client(self._impl.SendGoalService, f"{base}/send_goal", qos_profile=BURST)
        self._result = client(self._impl.GetResultService, f"{base}/get_result", qos_profile=BURST)
        self._cancel = client(CancelGoal, f"{base}/cancel_goal", qos_profile=BURST)
        node.create_subscription(GoalStatusArray, f"{base}/status", self._on_status, LATCHED)
        node.create_subscription(self._impl.FeedbackMessage, f"{base}/feedback", self._on_feedback, 50)
        self._asked: Dict[str, Any] = {}  # goals whose result was asked for: the future
        self._sent: Dict[str, Any] = {}  # goals that nobody has accepted yet

    @property
    def ready(self) -> bool:
        """Whether the action server is there, as far as DDS knows."""
        return self._send.service_is_ready() and self._result.service_is_ready()

    def send(self, expression: str, tell: Tell) -> None:
        """A new goal under the policy ASK."""
        number = uuid.uuid4()
        request = self._impl.SendGoalService.Request(
            goal_id=_message(number.hex), goal=Ground.Goal(expression=expression)
        )
        self._state.goal(number.hex, "SENT", expression)
        with self._state.dialogues() as dialogues:
            dialogues.expect(number.hex, expression)
        future = self._send.call_async(request)
        self._sent[number.hex] = future

        def answered(done: Any) -> None:
            self._sent.pop(number.hex, None)
            if done.cancelled() or done.exception() is not None:
                return
            if done.result().accepted:
                self._follow(number.hex)
                return
            self._state.goal(
                number.hex, "REJECTED", error="the node refused it: it is not active, or too many goals wait"
            )
            with self._state.dialogues() as dialogues:
                dialogues.forget(number.hex)
            tell("error", "The robot refused the instruction: its node is not active, or too many goals wait.")

        future.add_done_callback(answered)

    def cancel(self, number: str, tell: Tell) -> None:
        """Of any client."""
        if not self._state.runs(number):
            tell("warn", "This goal is over already.")
            return
        if not self._cancel.service_is_ready():
            tell("error", "The goal cannot be canceled: the node is away.")
            return
        request = CancelGoal.Request(goal_info=GoalInfo(goal_id=_message(number)))

        def answered(done: Any) -> None:
            if done.exception() is None and not done.result().goals_canceling:
                tell("warn", "The goal was not canceled: it is over already.")

        self._cancel.call_async(request).add_done_callback(answered)

    def lose_all(self) -> None:
        """The node is gone, and with it what it worked on."""
        for client, futures in ((self._send, self._sent), (self._result, self._asked)):
            for future in futures.values():
                client.remove_pending_request(future)
            futures.clear()
        for number in self._state.running:
            self._state.goal(number, "LOST", error="the node went away before the result: send it again")
        with self._state.dialogues() as dialogues:
            dialogues.close_all("lost")

    def ask_again(self) -> None:
        """After a silence: a node that took the place of a dead one does not know its goals, and says so."""
        for future in self._asked.values():
            self._result.remove_pending_request(future)
        self._asked.clear()
        for number in self._state.running:
            self._follow(number)

    def _follow(self, number: str) -> None:
        """Asks for the result; the answer comes when there is one."""
        if number in self._asked:
            return
        if not self._state.knows_goal(number):
            self._state.goal(number, "ACCEPTED")
        future = self._result.call_async(self._impl.GetResultService.Request(goal_id=_message(number)))
        self._asked[number] = future
        future.add_done_callback(lambda done: self._on_result(number, done))

    def _on_status(self, message: GoalStatusArray) -> None:
        for status in message.status_list:
            number = bytes(status.goal_info.goal_id.uuid).hex()
            if status.status == GoalStatus.STATUS_CANCELING and self._state.runs(number):
                self._state.goal(number, "CANCELING")
            # Goals that ended before this console looked are no news.
            if status.status not in _FINAL and status.status != GoalStatus.STATUS_UNKNOWN:
                self._follow(number)

    def _on_feedback(self, message: Any) -> None:
        number, feedback = bytes(message.goal_id.uuid).hex(), message.feedback
        name = _FEEDBACK.get(feedback.state, str(feedback.state))
        if not self._state.knows_goal(number) or self._state.runs(number):
            self._state.goal(number, name)
        if feedback.state != Ground.Feedback.QUEUED:
            with self._state.dialogues() as dialogues:
                dialogues.progress(number, feedback.question, time.monotonic())
                found = dialogues.find(number)
                words = "" if found is None else found.expression
            if words:
                self._state.goal(number, name, words)

    def _on_result(self, number: str, done: Any) -> None:
        self._asked.pop(number, None)
        if done.cancelled() or done.exception() is not None:
            return
        status, result = done.result().status, done.result().result
        if status not in _FINAL:
            self._state.goal(number, "LOST", error="the node does not know this goal any more: send it again")
            with self._state.dialogues() as dialogues:
                dialogues.end(number, "lost")
            return
        code = result.error_code
        name = CODE_NAMES.get(code, str(code))
        error = "" if code == Ground.Result.NONE else f"{name}: {result.error_msg}"
        words = result.turns[0].text if result.turns else ""
        self._state.goal(number, _FINAL[status], words, error)
        turns = [{"speaker": t.speaker, "text": t.text, "at": stamp_to_seconds(t.stamp)} for t in result.turns]
        with self._state.dialogues() as dialogues:
            dialogue = dialogues.end(
                number,
                "found" if not error else name.lower(),
                (code, name, result.error_msg) if error else None,
                turns,
                float(result.inference_time),
                float(result.response_time),
            )
            if dialogue is not None and not error and dialogue.target is None:
                dialogues.find_target(found_of(result.target), number)


def _message(number: str) -> UUID:
    return UUID(uuid=list(bytes.fromhex(number)))


def open_dialogue(state: ConsoleState) -> "Optional[tuple[str, bool, str]]":
    """(id, whether a question is open, source) of the dialogue that is open; None without one."""
    with state.dialogues() as dialogues:
        current = dialogues.current
        if current is None or not current.open:
            return None
        return current.id, current.question is not None, current.source

"""The robot's other nodes, as a fault suite needs them: a client of everything that the node offers, in a thread.

What happens is stamped with monotonic seconds when it arrives, not when somebody looks.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String

from clue_ros.action import Ground
from clue_ros.ros.errors import CODE_NAMES
from clue_ros.ros.ground_action import BURST
from clue_ros.ros.messages import seconds_to_duration
from clue_ros.srv import Answer, DetectAmbiguity
from clue_ros.types import ClueError

State = Ground.Feedback
DONE = (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED)


class DidNotHappen(ClueError):
    """What a row waited for did not come within its limit."""


def wait_for(condition: Callable[[], Any], limit_s: float, what: str) -> Any:
    """The first true value of `condition`. Raises DidNotHappen after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise DidNotHappen(f"{what}: not within {limit_s:g} s")
        time.sleep(0.004)


class Goal:
    """One goal as its client sees it. Times are monotonic seconds; None: not yet.

    Everything of rclpy's happens in the executor's thread: its ActionClient (9.1) loses an acceptance that comes
    while another thread still is in send_goal_async.
    """

    def __init__(self, node: Node, client: ActionClient, goal: Ground.Goal) -> None:
        self._node = node
        self.feedback: List[Ground.Feedback] = []
        self.refused = False
        self.handle: Any = None
        self.status: Optional[int] = None
        self.result: Optional[Ground.Result] = None
        self.finished: Optional[float] = None
        self.asked: List[float] = []  # when each question came
        self.sent = time.monotonic()
        node.executor.create_task(self._send, client, goal)

    @property
    def done(self) -> bool:
        return self.finished is not None

    @property
    def code(self) -> str:
        """The name of its error code; "refused", or "no result"."""
        if self.refused:
            return "refused"
        return "no result" if self.result is None else CODE_NAMES.get(self.result.error_code, "?")

    @property
    def seconds(self) -> float:
        """From sending it to its result."""
        return self.finished - self.sent

    @property
    def question(self) -> str:
        """The newest question; empty before the first one."""
        asking = [feedback.question for feedback in self.feedback if feedback.state == State.WAITING_FOR_ANSWER]
        return asking[-1] if asking else ""

    def wait(self, limit_s: float) -> "Goal":
        """Itself, with a result. Raises DidNotHappen."""
        wait_for(lambda: self.done, limit_s, "a goal's result")
        return self

    def wait_for_question(self, number: int, limit_s: float) -> bool:
        """True once so many questions were asked; False if it ended before. Raises DidNotHappen."""
        wait_for(lambda: len(self.asked) >= number or self.done, limit_s, f"question {number}")
        return len(self.asked) >= number

    def cancel(self) -> float:
        """Asks for it as soon as the goal is accepted; when that was."""
        wait_for(lambda: self.handle is not None or self.refused, 10.0, "a goal's acceptance")
        now = time.monotonic()
        if self.handle is not None:
            self._node.executor.create_task(self.handle.cancel_goal_async)
        return now

    def ask_again(self) -> List[Any]:
        """Asks for its result once more; the response stands in the list as soon as it has come."""
        answers: List[Any] = []

        def ask() -> None:
            self.handle.get_result_async().add_done_callback(lambda future: answers.append(future.result()))

        self._node.executor.create_task(ask)
        return answers

    def _send(self, client: ActionClient, goal: Ground.Goal) -> None:
        self.sent = time.monotonic()
        sending = client.send_goal_async(goal, feedback_callback=self._on_feedback)
        sending.add_done_callback(self._on_response)

    def _on_feedback(self, message: Any) -> None:
        if message.feedback.state == State.WAITING_FOR_ANSWER:
            self.asked.append(time.monotonic())
        self.feedback.append(message.feedback)

    def _on_response(self, future: Future) -> None:
        handle = future.result()
        if not handle.accepted:
            self.refused, self.finished = True, time.monotonic()
            return
        self.handle = handle
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Future) -> None:
        response = future.result()
        self.status, self.result = response.status, response.result
        self.finished = time.monotonic()


class Client(Node):
    """A planner, a person and an operator in one node. Spin it with a Spinner; its methods are for other threads."""

    def __init__(self, namespace: str, name: str = "faults") -> None:
        super().__init__(name, namespace=namespace)
        self.utterances: List[str] = []
        # Replies go to every client of a service: in a crowd the usual depth of 10 loses some.
        self.ground = ActionClient(
            self, Ground, "ground", goal_service_qos_profile=BURST, result_service_qos_profile=BURST,
            cancel_service_qos_profile=BURST, feedback_sub_qos_profile=BURST,
        )  # fmt: skip
        self.speech = self.create_publisher(String, "speech", 10)
        self._answer = self.create_client(Answer, "answer")
        self._detect = self.create_client(DetectAmbiguity, "detect_ambiguity", qos_profile=BURST)
        self._state = self.create_client(GetState, "clue/get_state")
        self._change = self.create_client(ChangeState, "clue/change_state")
        self._cancel = self.create_client(CancelGoal, "ground/_action/cancel_goal")
        self.create_subscription(String, "utterance", lambda message: self.utterances.append(message.data), 100)

    def close(self) -> None:
        self.ground.destroy()
        self.destroy_node()

    @property
    def connected(self) -> bool:
        """Both sides have found each other, as far as this one can see."""
        return (
            self.ground.server_is_ready()
            and self._answer.service_is_ready()
            and self._detect.service_is_ready()
            and self.speech.get_subscription_count() > 0
            and self.count_publishers("utterance") > 0
        )

    def goal(self, expression: str, *, timeout: float = 0.0, answer_timeout: float = 0.0, **fields: Any) -> Goal:
        """Sends it; times in seconds, 0: the node's own."""
        goal = Ground.Goal(expression=expression, **fields)
        goal.timeout, goal.answer_timeout = seconds_to_duration(timeout), seconds_to_duration(answer_timeout)
        return Goal(self, self.ground, goal)

    def say(self, text: str) -> None:
        self.speech.publish(String(data=text))

    def click(self, x: float, y: float, limit_s: float = 5.0) -> Answer.Response:
        """Points at a pixel of the image that the open question is about."""
        request = Answer.Request(kind=Answer.Request.POINT, x=float(x), y=float(y))
        return self._call(self._answer, request, limit_s, "the answer service")

    def detect(self, expression: str, **fields: Any) -> Future:
        return self._detect.call_async(DetectAmbiguity.Request(expression=expression, **fields))

    def cancel_all(self) -> Future:
        """A cancel request without a goal's id or a time: the node shall cancel all it has."""
        return self._cancel.call_async(CancelGoal.Request())

    def state(self, limit_s: float = 10.0) -> str:
        """The label of the node's lifecycle state. Raises DidNotHappen."""
        wait_for(self._state.service_is_ready, limit_s, "the node's lifecycle service")
        return self._call(self._state, GetState.Request(), limit_s, "the node's state").current_state.label

    def change_state(self, transition: int, limit_s: float = 60.0) -> bool:
        """transition: a constant of lifecycle_msgs/Transition; True if it succeeded. Raises DidNotHappen."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self._call(self._change, request, limit_s, "a transition").success

    def _call(self, client: Any, request: Any, limit_s: float, what: str) -> Any:
        future = client.call_async(request)
        wait_for(future.done, limit_s, what)
        return future.result()


def tally(goals: "List[Goal]") -> str:
    """How goals ended, as "12 NONE, 3 CANCELED"."""
    counts: Dict[str, int] = {}
    for goal in goals:
        counts[goal.code] = counts.get(goal.code, 0) + 1
    return ", ".join(f"{count} {code}" for code, count in sorted(counts.items(), key=lambda item: -item[1]))

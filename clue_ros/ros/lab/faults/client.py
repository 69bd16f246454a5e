"""The robot's other nodes, as a fault suite needs them: a client of everything that the node offers, in a thread.

What happens is stamped with monotonic seconds when it arrives, not when somebody looks.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

from action_msgs.srv import CancelGoal
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String

from clue_ros.action import Ground
from clue_ros.ros.client import CallOutcome, ClueClient, click
from clue_ros.ros.client.wires import uuid_message
from clue_ros.ros.wire.messages import seconds_to_duration
from clue_ros.types import ClueError

State = Ground.Feedback


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
    """One goal as the rows look at it. Times are monotonic seconds; None: not yet."""

    def __init__(self, client: "Client", message: Ground.Goal) -> None:
        self._client = client
        self._goal = client.clue.send(message)
        self._canceled = False
        self.feedback, self.asked = self._goal.feedback, self._goal.asked

    @property
    def sent(self) -> float:
        return self._goal.begun if self._goal.sent is None else self._goal.sent

    @property
    def done(self) -> bool:
        return self._goal.done

    @property
    def finished(self) -> Optional[float]:
        return self._goal.finished

    @property
    def result(self) -> Optional[Ground.Result]:
        return self._goal.outcome.result if self.done else None

    @property
    def code(self) -> str:
        """The name of its error code, the server's or the client's; "no result" before there is one."""
        return self._goal.outcome.error_name if self.done else "no result"

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
        """Itself, with an outcome. Raises DidNotHappen."""
        wait_for(lambda: self.done, limit_s, "a goal's result")
        return self

    def wait_for_question(self, number: int, limit_s: float) -> bool:
        """True once so many questions were asked; False if it ended before. Raises DidNotHappen."""
        wait_for(lambda: len(self.asked) >= number or self.done, limit_s, f"question {number}")
        return len(self.asked) >= number

    def cancel(self) -> float:
        """Asks for it as soon as the goal is accepted, each time that it is called; when that was."""
        wait_for(lambda: self._goal.accepted is not None or self.done, 20.0, "a goal's acceptance")
        now = time.monotonic()
        if self.done or self._canceled:
            self._client.cancel_again(self._goal.dialogue)
        self._canceled = True
        self._goal.cancel()
        return now

    def ask_again(self) -> Future:
        """Asks for its result once more: a future of the response."""
        return self._client.ask_result(self._goal.dialogue)


class Client(Node):
    """A planner, a person and an operator in one node. Spin it with a Spinner; its methods are for other threads."""

    def __init__(self, namespace: str, name: str = "faults") -> None:
        super().__init__(name, namespace=namespace)
        self.utterances: List[str] = []
        self.clue = ClueClient(node=self, server_timeout=2.0, reply_timeout=10.0)
        self.speech = self.create_publisher(String, "speech", 10)
        self._change = self.create_client(ChangeState, "clue/change_state")
        self._cancel = self.create_client(CancelGoal, "ground/_action/cancel_goal")
        self._result = self.create_client(Ground.Impl.GetResultService, "ground/_action/get_result")
        self.create_subscription(String, "utterance", lambda message: self.utterances.append(message.data), 100)

    def close(self) -> None:
        self.clue.close()
        self.destroy_node()

    @property
    def connected(self) -> bool:
        """Both sides have found each other, as far as this one can see."""
        return (
            self.clue.available and self.speech.get_subscription_count() > 0 and self.count_publishers("utterance") > 0
        )

    def goal(self, expression: str, *, timeout: float = 0.0, answer_timeout: float = 0.0, **fields: Any) -> Goal:
        """Sends it; times in seconds, 0: the node's own."""
        goal = Ground.Goal(expression=expression, **fields)
        goal.timeout, goal.answer_timeout = seconds_to_duration(timeout), seconds_to_duration(answer_timeout)
        return Goal(self, goal)

    def say(self, text: str) -> None:
        self.speech.publish(String(data=text))

    def click(self, x: float, y: float) -> CallOutcome:
        """Points at a pixel of the image that the open question is about."""
        return self.clue.answer(click(x, y))

    def detect(self, expression: str) -> Future:
        """Of a CallOutcome."""
        return self.executor.create_task(self.clue.detect_async, expression)

    def cancel_all(self) -> Future:
        """A cancel request without a goal's id or a time: the node shall cancel all it has."""
        return self._cancel.call_async(CancelGoal.Request())

    def cancel_again(self, dialogue: str) -> None:
        request = CancelGoal.Request()
        request.goal_info.goal_id = uuid_message(dialogue)
        self._cancel.call_async(request)

    def ask_result(self, dialogue: str) -> Future:
        return self._result.call_async(Ground.Impl.GetResultService.Request(goal_id=uuid_message(dialogue)))

    def state(self) -> str:
        """The label of the node's lifecycle state. Raises DidNotHappen."""
        outcome = self.clue.state()
        if not outcome.ok:
            raise DidNotHappen(outcome.error_msg)
        return outcome.value

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

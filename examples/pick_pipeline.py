#!/usr/bin/env python3
"""A small pick pipeline: say what to pick, answer the robot's questions, and a stub arm goes to the target.

    ros2 run clue_ros scripted_ground --ros-args -r __ns:=/clue &        # no model and no camera needed
    python examples/pick_pipeline.py "hand me the mug" --ros-args -r __ns:=/clue

Every way a goal can end has a plan: take it, try again, ask the person, look from elsewhere, or call an operator. Copy
it, and put your own arm in the place of StubArm.
"""

from __future__ import annotations

import sys
import threading
from enum import Enum
from typing import Callable, List, NamedTuple, Optional, Tuple

import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PointStamped
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from rclpy.utilities import remove_ros_args

from clue_ros.action import Ground
from clue_ros.srv import Answer

Code = Ground.Result
ATTEMPTS = 2  # how often a goal is sent whose failure may be over the next time


class Plan(Enum):
    """What to do when a goal did not give a target."""

    RETRY = "try again"  # it may be over the next time
    REPHRASE = "ask the person to say it differently"
    LOOK_ELSEWHERE = "move the camera and look again"
    OPERATOR = "call an operator"
    STOP = "stop"  # somebody wanted it so


PLANS = {
    Code.UNKNOWN: Plan.OPERATOR,
    Code.INVALID_EXPRESSION: Plan.REPHRASE,
    Code.INVALID_IMAGE: Plan.OPERATOR,
    Code.UNSUPPORTED_ENCODING: Plan.OPERATOR,
    Code.NO_IMAGE: Plan.RETRY,
    Code.NOT_FOUND: Plan.LOOK_ELSEWHERE,
    Code.UNKNOWN_WORDS: Plan.REPHRASE,
    Code.AMBIGUOUS: Plan.REPHRASE,
    Code.ANSWER_TIMEOUT: Plan.STOP,
    Code.TIMEOUT: Plan.RETRY,
    Code.CANCELED: Plan.STOP,
    Code.PREEMPTED: Plan.STOP,
    Code.ABANDONED: Plan.STOP,
    Code.NOT_ACTIVE: Plan.RETRY,
    Code.MODEL_ERROR: Plan.OPERATOR,
    Code.OUT_OF_MEMORY: Plan.OPERATOR,
    Code.UNKNOWN_CAMERA: Plan.OPERATOR,
}


class Outcome(NamedTuple):
    """`plan` None: the arm was there. `code` and `message` are the last result's."""

    plan: Optional[Plan]
    code: int
    message: str
    attempts: int


class StubArm:
    """Says where it would go. A real one transforms the point at its stamp (tf2) and plans."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self._say = say
        self.reached: List[Tuple[float, float, float]] = []

    def pick(self, target: PointStamped) -> None:
        """`target`: metres in the optical frame (x right, y down, z forward) named by its header."""
        point = target.point
        self.reached.append((point.x, point.y, point.z))
        self._say(f"arm: picks at x {point.x:.3f} y {point.y:.3f} z {point.z:.3f} m in {target.header.frame_id}")


class PickPipeline(Node):
    """`ask(question)` gives the person's answer; it is called in a thread of its own and may take its time."""

    def __init__(self, ask: Callable[[str], str], arm: StubArm, **kwargs) -> None:
        super().__init__("pick_pipeline", **kwargs)
        self._ask = ask
        self._arm = arm
        self._asked = 0
        self._ground = ActionClient(self, Ground, "ground")
        self._answer = self.create_client(Answer, "answer")

    async def pick(self, expression: str, policy: int = Ground.Goal.ASK) -> Outcome:
        """From words to the arm. A coroutine for the node's executor."""
        outcome = Outcome(Plan.RETRY, Code.NOT_ACTIVE, "no goal was sent", 0)
        while outcome.plan is Plan.RETRY and outcome.attempts < ATTEMPTS:
            outcome = (await self._attempt(expression, policy))._replace(attempts=outcome.attempts + 1)
        return outcome

    def close(self) -> None:
        self._ground.destroy()

    async def _attempt(self, expression: str, policy: int) -> Outcome:
        goal = Ground.Goal(expression=expression, ambiguity_policy=policy)
        self._asked = 0
        handle = await self._ground.send_goal_async(goal, feedback_callback=self._on_feedback)
        if not handle.accepted:
            return Outcome(Plan.RETRY, Code.NOT_ACTIVE, "the goal was refused: the clue node is not active", 0)
        response = await handle.get_result_async()
        result = response.result
        if response.status != GoalStatus.STATUS_SUCCEEDED:
            # A code that this program does not know yet: nobody should guess.
            plan = PLANS.get(result.error_code, Plan.OPERATOR)
            return Outcome(plan, result.error_code, result.error_msg, 0)
        if not result.target.has_position:
            return Outcome(Plan.OPERATOR, Code.NONE, "found, but without depth: remap `depth` and `camera_info`", 0)
        self._arm.pick(result.target.position)
        return Outcome(None, Code.NONE, "", 0)

    def _on_feedback(self, message) -> None:
        feedback = message.feedback
        if feedback.state != Ground.Feedback.WAITING_FOR_ANSWER or feedback.questions_asked == self._asked:
            return
        self._asked = feedback.questions_asked

        def person() -> None:
            text = self._ask(feedback.question)
            self.executor.create_task(self._send_answer, text)

        # A thread, because a person takes seconds, and the node must hear a cancel or a result meanwhile.
        threading.Thread(target=person, name="person", daemon=True).start()

    async def _send_answer(self, text: str) -> None:
        response = await self._answer.call_async(Answer.Request(kind=Answer.Request.TEXT, text=text))
        if not response.accepted:
            self.get_logger().warning(f"the answer was not taken: {response.message}")

    async def wait_for_server(self) -> None:
        """Until somebody serves `ground` and `answer`."""
        ready: Future = Future(executor=self.executor)

        def look() -> None:
            if self._ground.server_is_ready() and self._answer.service_is_ready() and not ready.done():
                ready.set_result(None)

        timer = self.create_timer(0.05, look)
        await ready
        self.destroy_timer(timer)


def ask_terminal(question: str) -> str:
    """The person at the keyboard; the end of the input is a "never mind"."""
    try:
        return input(f"robot: {question}\nyou: ") or "never mind"
    except EOFError:
        return "never mind"


async def run(node: PickPipeline, expression: str) -> Outcome:
    await node.wait_for_server()
    return await node.pick(expression)


def main(args: Optional[List[str]] = None) -> int:
    """0: the arm was there; 1: the plan says what to do instead."""
    words = remove_ros_args(sys.argv if args is None else args)[1:]
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    rclpy.init(args=args)
    node = PickPipeline(ask_terminal, StubArm())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        task = executor.create_task(run, node, " ".join(words))
        executor.spin_until_future_complete(task)
        outcome = task.result()
        if outcome.plan is None:
            return 0
        print(f"no pick ({outcome.code}): {outcome.message}\nplan: {outcome.plan.value}")
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        executor.shutdown()
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())

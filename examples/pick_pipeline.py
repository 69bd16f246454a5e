#!/usr/bin/env python3
"""A small pick pipeline: say what to pick, answer the robot's questions, and a stub arm goes to the target.

    ros2 run clue_ros scripted_ground --ros-args -r __ns:=/clue &        # no model and no camera needed
    python examples/pick_pipeline.py "hand me the mug" --ros-args -r __ns:=/clue

Every way a goal can end has a plan: take it, try again, ask the person, look from elsewhere, or call an operator. And a
target can be taken back after the result ("no, the left one"): then the arm stops, and goes to the new one if there is
one. Copy it, and put your own arm in the place of StubArm.
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
from rclpy.timer import Timer
from rclpy.utilities import remove_ros_args

from clue_ros.action import Ground
from clue_ros.msg import Correction, Target
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
    """Says where it would go, and takes `seconds` for it. A real one transforms the point at its stamp (tf2) and plans."""

    def __init__(self, say: Callable[[str], None] = print, seconds: float = 2.0) -> None:
        self._say = say
        self.seconds = seconds
        self.goes_to: Optional[Tuple[float, float, float]] = None
        self.reached: List[Tuple[float, float, float]] = []
        self.stops = 0

    def start(self, target: PointStamped) -> None:
        """`target`: metres in the optical frame (x right, y down, z forward) named by its header."""
        point = target.point
        self.goes_to = (point.x, point.y, point.z)
        self._say(f"arm: goes to x {point.x:.3f} y {point.y:.3f} z {point.z:.3f} m in {target.header.frame_id}")

    def arrive(self) -> None:
        self.reached.append(self.goes_to)
        self.goes_to = None
        self._say("arm: picks at x {:.3f} y {:.3f} z {:.3f} m".format(*self.reached[-1]))

    def stop(self) -> None:
        """At once, wherever it is."""
        self.goes_to = None
        self.stops += 1
        self._say("arm: stops")


class Order(Enum):
    """What a Correction means for an arm."""

    NOTHING = "it is about another target"
    HALT = "the target holds no longer, another one is being looked for"
    GIVE_UP = "the target holds no longer, and there is no other"
    GO = "the message's target holds from now on"


class Held:
    """Whose target counts: the goal's, then that of the correction that took it back, and so on."""

    def __init__(self) -> None:
        self.dialogue = ""  # 32 hexadecimal digits; empty: nobody's

    def hear(self, message: Correction) -> Order:
        if self.dialogue and message.corrects == self.dialogue:
            if message.state in (Correction.REOPENED, Correction.WITHDRAWN):
                self.dialogue = message.dialogue
                return Order.HALT if message.state == Correction.REOPENED else Order.GIVE_UP
        elif self.dialogue and message.dialogue == self.dialogue:
            if message.state in (Correction.CORRECTED, Correction.FAILED):
                return Order.GO if message.state == Correction.CORRECTED else Order.GIVE_UP
        return Order.NOTHING


class PickPipeline(Node):
    """`ask(question)` gives the person's answer; it is called in a thread of its own and may take its time."""

    def __init__(self, ask: Callable[[str], str], arm: StubArm, **kwargs) -> None:
        super().__init__("pick_pipeline", **kwargs)
        self._ask = ask
        self._arm = arm
        self._asked = 0
        self._held = Held()
        self._arrival: Optional[Timer] = None  # while the arm moves
        self._over: Optional[Future] = None  # of the attempt's Outcome
        self._ground = ActionClient(self, Ground, "ground")
        self._answer = self.create_client(Answer, "answer")
        # A person may take a target back as soon as she sees where the arm goes. Questions about the new target go to
        # her ears (`utterance`) and are answered by `speech` or `answer`: no goal is open that could carry feedback.
        self.create_subscription(Correction, "correction", self._on_correction, 10)

    async def pick(self, expression: str, policy: int = Ground.Goal.ASK) -> Outcome:
        """From words until the arm was there or something else is to be done. A coroutine for the node's executor."""
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
        mine = self._held.dialogue = bytes(handle.goal_id.uuid).hex()
        over = self._over = Future(executor=self.executor)
        response = await handle.get_result_async()
        result = response.result
        if response.status != GoalStatus.STATUS_SUCCEEDED:
            # A code that this program does not know yet: nobody should guess.
            plan = PLANS.get(result.error_code, Plan.OPERATOR)
            return Outcome(plan, result.error_code, result.error_msg, 0)
        if self._held.dialogue == mine:  # a correction may overtake the result
            self._go(result.target)
        return await over

    def _go(self, target: Target) -> None:
        if not target.has_position:
            self._end(Plan.OPERATOR, Code.NONE, f"found, but without a position: {target.position_reason}")
            return
        self._arm.start(target.position)
        self._arrival = self.create_timer(self._arm.seconds, self._arrive)

    def _arrive(self) -> None:
        self.destroy_timer(self._arrival)
        self._arrival = None
        self._arm.arrive()
        self._end(None, Code.NONE, "")

    def _on_correction(self, message: Correction) -> None:
        order = self._held.hear(message)
        if order is Order.NOTHING:
            return
        if self._arrival is not None:
            self.destroy_timer(self._arrival)
            self._arrival = None
            self._arm.stop()
        if order is Order.GO:
            self._go(message.target)
        elif order is Order.GIVE_UP and message.state == Correction.WITHDRAWN:
            self._end(Plan.STOP, Code.ABANDONED, f"the target was taken back: {message.text}")
        elif order is Order.GIVE_UP:
            plan = PLANS.get(message.error_code, Plan.OPERATOR)
            # Sending the goal again would pick what was taken back.
            self._end(Plan.REPHRASE if plan is Plan.RETRY else plan, message.error_code, message.error_msg)

    def _end(self, plan: Optional[Plan], code: int, message: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(Outcome(plan, code, message, 0))
            self.executor.wake()  # or the waiting coroutine is looked at with the next event only

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

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
from enum import Enum
from typing import Callable, List, NamedTuple, Optional, Tuple, Union

from geometry_msgs.msg import PointStamped
from rclpy.utilities import remove_ros_args

from clue_ros.action import Ground
from clue_ros.msg import Correction
from clue_ros.ros.client import ClientCode, ClueClient, GroundOutcome

Code = Ground.Result
ATTEMPTS = 2  # how often a goal is sent whose failure may be over the next time


class Plan(Enum):
    """What to do when a goal did not give a target."""

    RETRY = "try again"  # it may be over the next time
    REPHRASE = "ask the person to say it differently"
    LOOK_ELSEWHERE = "move the camera and look again"
    OPERATOR = "call an operator"
    STOP = "stop"  # somebody wanted it so


# What the node says,
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
    Code.MODEL_UNAVAILABLE: Plan.RETRY,
}
# and what only its client knows.
CLIENT_PLANS = {
    ClientCode.NO_SERVER: Plan.OPERATOR,
    ClientCode.REJECTED: Plan.RETRY,
    ClientCode.NO_ACCEPTANCE: Plan.OPERATOR,
    ClientCode.NO_RESULT: Plan.OPERATOR,
    ClientCode.RESULT_LOST: Plan.RETRY,
    ClientCode.SERVER_GONE: Plan.RETRY,
    ClientCode.CLOSED: Plan.STOP,
    ClientCode.NO_REASON: Plan.OPERATOR,
}


class Picked(NamedTuple):
    """`plan` None: the arm was there. `code` and `message` say why not."""

    plan: Optional[Plan]
    code: int
    message: str
    attempts: int


class StubArm:
    """Says where it would go, and takes `seconds` for it. A real one transforms the point at its stamp (tf2) and
    plans.
    """

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
        if self.goes_to is not None:
            self.goes_to = None
            self.stops += 1
            self._say("arm: stops")


class PickPipeline:
    """`ask(question)` gives the person's answer, and may take its time."""

    def __init__(self, clue: ClueClient, ask: Callable[[str], str], arm: StubArm) -> None:
        self._clue, self._ask, self._arm = clue, ask, arm

    def pick(self, expression: str, policy: Union[int, str] = "ask") -> Picked:
        """From words until the arm was there or something else is to be done."""
        for attempt in range(1, ATTEMPTS + 1):
            outcome = self._clue.ground(expression, policy=policy, on_question=self._ask)
            if outcome.ok:
                return self._reach(outcome)._replace(attempts=attempt)
            plan = plan_of(outcome.error_code)
            if plan is not Plan.RETRY:
                break
        return Picked(plan, outcome.error_code, outcome.error_msg, attempt)

    def _reach(self, outcome: GroundOutcome) -> Picked:
        """The arm goes; a person may take the target back as soon as she sees where. Questions about a new target go to
        her ears (`utterance`) and are answered by `speech` or `answer`: no goal is open that could carry them."""
        target = outcome.target
        with self._clue.watch(outcome) as held:
            while True:
                if target is not None and not target.has_position:
                    return Picked(
                        Plan.OPERATOR, Code.NONE, f"found, but without a position: {target.position_reason}", 0
                    )
                if target is not None:
                    self._arm.start(target.position)
                change = held.next(None if target is None else self._arm.seconds)
                if change is None and target is not None:
                    self._arm.arrive()
                    return Picked(None, Code.NONE, "", 0)
                self._arm.stop()
                if change is None or change.state == Correction.WITHDRAWN:
                    words = "the client was closed" if change is None else change.text
                    return Picked(Plan.STOP, Code.ABANDONED, f"the target was taken back: {words}", 0)
                if change.state == Correction.FAILED:
                    plan = plan_of(change.error_code)
                    # Sending the goal again would pick what was taken back.
                    return Picked(Plan.REPHRASE if plan is Plan.RETRY else plan, change.error_code, change.error_msg, 0)
                target = change.target if change.state == Correction.CORRECTED else None


def plan_of(code: int) -> Plan:
    """A code that this program does not know yet: nobody should guess."""
    return PLANS.get(code) or CLIENT_PLANS.get(code, Plan.OPERATOR)


def ask_terminal(question: str) -> str:
    """The person at the keyboard; the end of the input is a "never mind"."""
    try:
        return input(f"robot: {question}\nyou: ") or "never mind"
    except EOFError:
        return "never mind"


def main(args: Optional[List[str]] = None) -> int:
    """0: the arm was there; 1: the plan says what to do instead."""
    words = remove_ros_args(sys.argv if args is None else args)[1:]
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with ClueClient(args=args, name="pick_pipeline", server_timeout=60.0) as clue:
            picked = PickPipeline(clue, ask_terminal, StubArm()).pick(" ".join(words))
    except KeyboardInterrupt:  # the goal was canceled
        return 130
    if picked.plan is None:
        return 0
    print(f"no pick ({picked.code}): {picked.message}\nplan: {picked.plan.value}")
    return 1


if __name__ == "__main__":
    sys.exit(main())

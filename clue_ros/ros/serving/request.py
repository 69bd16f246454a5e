"""What one dialogue is asked to do, from an action goal or from a spoken instruction: one form, defaults filled in."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Optional, Tuple

from sensor_msgs.msg import Image

from clue_ros.action import Ground
from clue_ros.dialogue.acts import Instruction
from clue_ros.dialogue.correction import check_wanted
from clue_ros.dialogue.steps import Policy
from clue_ros.dialogue.stopping import is_stop
from clue_ros.ros.running.parameters import Parameters
from clue_ros.ros.serving.gestures import pointing_to_answer
from clue_ros.ros.wire.conversions import is_empty
from clue_ros.ros.wire.messages import duration_to_seconds, msg_to_box
from clue_ros.types import Box, ClueError, InvalidExpressionError

MAX_EXPRESSION_CHARACTERS = 1000

_POLICIES = {
    Ground.Goal.ASK: Policy.ASK, Ground.Goal.BEST_GUESS: Policy.BEST_GUESS, Ground.Goal.FAIL: Policy.FAIL,
    Ground.Goal.ASK_UNTIL_CONFIDENT: Policy.ASK_UNTIL_CONFIDENT,
}  # fmt: skip


class InvalidGoalError(ClueError):
    """A goal's field has a value that means nothing; the text names it."""


@dataclass(frozen=True, kw_only=True)
class Request(Instruction):
    """An instruction, and what a goal or the node's parameters say of how it is grounded.

    max_image_age_s: seconds; image: None: the latest camera frame; camera: its name; empty: the first; sight_tolerance:
    how different a frame may be from the seen one and still count as the same; None: none is taken; mask: also the
    target's pixels.
    """

    max_image_age_s: float
    threshold: Optional[float]
    sight_tolerance: Optional[float]
    image: Optional[Image] = None
    camera: str = ""
    candidates: Tuple[Box, ...] = ()
    question_policy: str = "learned"
    mask: bool = False


def check_expression(expression: str) -> str:
    """The instruction without surrounding blanks.

    Raises:
        InvalidExpressionError: empty, or longer than 1000 characters.
    """
    text = expression.strip()
    if not text:
        raise InvalidExpressionError("the expression is empty: say what to look for")
    if len(text) > MAX_EXPRESSION_CHARACTERS:
        raise InvalidExpressionError(
            f"the expression has {len(text)} characters, {MAX_EXPRESSION_CHARACTERS} are allowed: say it shorter"
        )
    return text


def from_goal(goal: Ground.Goal, parameters: Parameters, dialogue: str = "") -> Request:
    """dialogue: the goal's id. Raises InvalidExpressionError, InvalidGoalError, InvalidAnswerError."""
    expression = check_expression(goal.expression)
    if is_stop(expression):  # an open vocabulary would look for a thing called "stop"
        raise InvalidExpressionError(
            f"{expression[:80]!r} are words of stopping and name nothing: say them on `speech` or `answer`"
        )
    check_wanted(expression)
    if goal.ambiguity_policy not in _POLICIES:
        names = "ASK, BEST_GUESS, FAIL or ASK_UNTIL_CONFIDENT"
        raise InvalidGoalError(f"ambiguity_policy is {goal.ambiguity_policy}: give {names}")
    candidates = tuple(msg_to_box(box) for box in goal.candidates)
    for box in candidates:
        if not all(math.isfinite(value) for value in box) or box.area <= 0:
            raise InvalidGoalError(f"candidate box {tuple(box)} is empty or not finite: give x0 < x1 and y0 < y1")
    return Request(
        expression=expression,
        policy=_POLICIES[goal.ambiguity_policy],
        max_questions=goal.max_questions if goal.max_questions > 0 else parameters.max_questions,
        answer_timeout_s=_or(duration_to_seconds(goal.answer_timeout), parameters.answer_timeout_s),
        max_image_age_s=_or(duration_to_seconds(goal.max_image_age), parameters.max_image_age_s),
        wait_for_image_s=parameters.wait_for_image_s,
        threshold=parameters.decision_threshold,
        min_confidence=parameters.least_confidence,
        sight_tolerance=parameters.sight_tolerance,
        timeout_s=_or(duration_to_seconds(goal.timeout), None),
        image=None if is_empty(goal.image) else goal.image,
        camera=goal.camera,
        candidates=candidates,
        pointing=pointing_to_answer(goal.pointing),
        question_policy=parameters.question_policy,
        dialogue=dialogue,
        mask=parameters.target_mask,
    )


def from_speech(text: str, parameters: Parameters) -> Request:
    """Raises InvalidExpressionError."""
    return Request(
        expression=check_expression(text),
        policy=Policy(parameters.speech_policy),
        max_questions=parameters.max_questions,
        answer_timeout_s=parameters.answer_timeout_s,
        max_image_age_s=parameters.max_image_age_s,
        wait_for_image_s=parameters.wait_for_image_s,
        threshold=parameters.decision_threshold,
        min_confidence=parameters.least_confidence,
        sight_tolerance=parameters.sight_tolerance,
        spoken=True,
        question_policy=parameters.question_policy,
        mask=parameters.target_mask,
        dialogue=uuid.uuid4().hex,
    )


def _or(seconds: float, default: Optional[float]) -> Optional[float]:
    return seconds if seconds > 0 else default

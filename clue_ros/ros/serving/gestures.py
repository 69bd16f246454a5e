"""What a person says or points at, from messages: srv/Answer and msg/Pointing to the core's Answer, checked on the
way.
"""

from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple

from clue_ros.belief import marks
from clue_ros.belief.pointing import SCRIBBLE_POINTS, check_within, scribble
from clue_ros.msg import Pointing
from clue_ros.ros.wire.messages import msg_to_box
from clue_ros.srv import Answer as AnswerSrv
from clue_ros.types import Answer, InvalidAnswerError

MAX_ANSWER_CHARACTERS = 1000
MAX_SCRIBBLE_POINTS = 1000

Kind = AnswerSrv.Request


def request_to_answer(request: AnswerSrv.Request, image_size: Tuple[int, int], question: str = "") -> Answer:
    """srv/Answer -> Answer, checked against the (width, height) of the image that the question is about, and a mark
    against the numbers that the question offers.

    Raises:
        InvalidAnswerError: unknown kind, no text or too much of it, a place outside the image, a number not offered.
    """
    if request.kind == Kind.TEXT:
        text = request.text.strip()
        if not text:
            raise InvalidAnswerError('the answer is empty: say something, point, or say "never mind"')
        if len(text) > MAX_ANSWER_CHARACTERS:
            raise InvalidAnswerError(f"the answer has {len(text)} characters: {MAX_ANSWER_CHARACTERS} are allowed")
        return Answer(text=text)
    if request.kind == Kind.MARK:
        offered = marks.asked_about(question)
        if not offered:
            raise InvalidAnswerError("a mark answers a question of numbers (question_policy numbers), and none is open")
        if not 1 <= request.mark <= offered:
            raise InvalidAnswerError(f"mark {request.mark} is none of the {offered} numbers of the question")
        return Answer(text=str(request.mark))
    answer = _gesture(request)
    if answer is None:
        raise InvalidAnswerError(f"answer kind {request.kind} is not TEXT, POINT, BOX, SCRIBBLE or MARK")
    check_within(answer, image_size)
    return answer


def pointing_to_answer(pointing: Pointing) -> Optional[Answer]:
    """msg/Pointing -> a click, box or scribble; None for NONE. Not checked against an image: see check_within.

    Raises:
        InvalidAnswerError: unknown kind, numbers that are not finite, an empty box, too few or too many points.
    """
    if pointing.kind == Pointing.NONE:
        return None
    answer = _gesture(pointing)
    if answer is None:
        raise InvalidAnswerError(f"pointing kind {pointing.kind} is not NONE, POINT, BOX or SCRIBBLE")
    return answer


def _gesture(message: Any) -> Optional[Answer]:
    """The place of an Answer request or a Pointing, whose kinds and fields have the same names; None for another
    kind.
    """
    if message.kind == Kind.POINT:
        return Answer(point=(message.x, message.y))
    if message.kind == Kind.BOX:
        box = msg_to_box(message.box)
        if not (box.x0 < box.x1 and box.y0 < box.y1):
            raise InvalidAnswerError(f"box {tuple(box)} is empty: give x0 < x1 and y0 < y1")
        return Answer(box=box)
    if message.kind == Kind.SCRIBBLE:
        return _stroke([(point.x, point.y) for point in message.points])
    return None


def _stroke(points: Sequence[Tuple[float, float]]) -> Answer:
    if not SCRIBBLE_POINTS <= len(points) <= MAX_SCRIBBLE_POINTS:
        raise InvalidAnswerError(
            f"a scribble has {SCRIBBLE_POINTS} to {MAX_SCRIBBLE_POINTS} points, this one {len(points)}"
        )
    if not all(math.isfinite(value) for point in points for value in point):
        raise InvalidAnswerError("a scribble's points must be finite numbers in pixels")
    return scribble(points)

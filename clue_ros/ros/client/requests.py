"""What a program says in plain values, as messages: an instruction with its options, an image, what is pointed at, an
answer.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
from geometry_msgs.msg import Point32
from rclpy.duration import Duration
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from clue_ros.action import Ground
from clue_ros.msg import Box as BoxMsg
from clue_ros.msg import Pointing
from clue_ros.srv import Answer as AnswerSrv
from clue_ros.types import Answer, Box

# uint8[H, W, 3] RGB, or a message with its own encoding, stamp and frame.
AnyImage = Union[np.ndarray, Image]
AnyBox = Union[BoxMsg, Box, Tuple[float, float, float, float]]
# Words, a click or a box as the core has them, or a request as the functions below make it.
Reply = Union[str, Answer, AnswerSrv.Request]

POLICIES = {
    "ask": Ground.Goal.ASK, "best_guess": Ground.Goal.BEST_GUESS, "fail": Ground.Goal.FAIL,
    "ask_until_confident": Ground.Goal.ASK_UNTIL_CONFIDENT,
}  # fmt: skip


def words(text: str) -> AnswerSrv.Request:
    """1 to 1000 characters; "never mind" ends the dialogue."""
    return AnswerSrv.Request(kind=AnswerSrv.Request.TEXT, text=text)


def click(x: float, y: float) -> AnswerSrv.Request:
    """A place in pixels of the image that the question is about."""
    return AnswerSrv.Request(kind=AnswerSrv.Request.POINT, x=float(x), y=float(y))


def box(x0: float, y0: float, x1: float, y1: float) -> AnswerSrv.Request:
    """A box in pixels of that image."""
    return AnswerSrv.Request(kind=AnswerSrv.Request.BOX, box=box_message((x0, y0, x1, y1)))


def scribble(points: Sequence[Tuple[float, float]]) -> AnswerSrv.Request:
    """A stroke of 3 to 1000 points over the thing or around it, in pixels of that image."""
    stroke = [Point32(x=float(x), y=float(y)) for x, y in points]
    return AnswerSrv.Request(kind=AnswerSrv.Request.SCRIBBLE, points=stroke)


def mark(number: int) -> AnswerSrv.Request:
    """A number of the question "Do you mean 1, 2 or 3?"."""
    return AnswerSrv.Request(kind=AnswerSrv.Request.MARK, mark=int(number))


def answer_request(reply: Reply) -> AnswerSrv.Request:
    """Raises TypeError for what is no answer."""
    if isinstance(reply, AnswerSrv.Request):
        return reply
    if isinstance(reply, str):
        return words(reply)
    if isinstance(reply, Answer):
        if reply.box is not None:
            return box(*reply.box)
        return words(reply.text) if reply.point is None else click(*reply.point)
    raise TypeError(
        "an answer is text, a clue_ros.types.Answer or what click(), box(), scribble() and mark() give, not "
        f"{reply!r:.80};"
        " None leaves the question to somebody else"
    )


def box_message(value: AnyBox) -> BoxMsg:
    if isinstance(value, BoxMsg):
        return value
    x0, y0, x1, y1 = (float(number) for number in value)
    return BoxMsg(x0=x0, y0=y0, x1=x1, y1=y1)


def image_message(image: Optional[AnyImage]) -> Image:
    """Raises TypeError for what is neither an Image nor uint8[H, W, 3]."""
    if image is None:
        return Image()
    if isinstance(image, Image):
        return image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        shown = f"{image.dtype}{list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"an image is a sensor_msgs/Image or an array uint8[H, W, 3] of RGB, not {shown}")
    # OpenCV comes with this one: only who sends arrays needs it.
    from clue_ros.ros.wire.conversions import rgb_to_image

    return rgb_to_image(image, Header())


def pointing_message(pointing: Union[None, Pointing, Tuple[float, float], AnyBox, AnswerSrv.Request]) -> Pointing:
    """(x, y), a box, or what click(), box() and scribble() give. Raises TypeError."""
    if pointing is None:
        return Pointing()
    if isinstance(pointing, Pointing):
        return pointing
    if isinstance(pointing, BoxMsg):
        return Pointing(kind=Pointing.BOX, box=pointing)
    if isinstance(pointing, AnswerSrv.Request):
        if pointing.kind in (Pointing.POINT, Pointing.BOX, Pointing.SCRIBBLE):
            return Pointing(
                kind=pointing.kind, x=pointing.x, y=pointing.y, box=pointing.box, points=list(pointing.points)
            )
    elif isinstance(pointing, (tuple, list)) and len(pointing) in (2, 4):
        gesture = click(*pointing) if len(pointing) == 2 else box(*pointing)
        return pointing_message(gesture)
    raise TypeError(f"pointing is (x, y), a box, or what click(), box() and scribble() give, not {pointing!r:.80}")


def goal_message(
    expression: Union[str, Ground.Goal], *, policy: Union[None, int, str] = None, image: Optional[AnyImage] = None,
    camera: str = "", pointing: Any = None, candidates: Sequence[AnyBox] = (), max_questions: int = 0,
    answer_timeout: float = 0.0, max_image_age: float = 0.0,
) -> Ground.Goal:  # fmt: skip
    """Times in seconds, 0: the node's own. A Ground.Goal is taken as it is, and then nothing else may be given.

    Raises TypeError or ValueError for what no goal can say.
    """
    if isinstance(expression, Ground.Goal):
        given = any(value is not None for value in (policy, image, pointing)) or len(candidates) > 0
        if given or camera or max_questions or answer_timeout or max_image_age:
            raise ValueError("a Ground.Goal says everything itself: fill its fields instead of giving options")
        return expression
    if not isinstance(expression, str):
        raise TypeError(f"the instruction is text or a Ground.Goal, not {type(expression).__name__}")
    if isinstance(policy, str):
        if policy.lower() not in POLICIES:
            raise ValueError(f"policy is {policy!r}: give one of {', '.join(POLICIES)}")
        policy = POLICIES[policy.lower()]
    for name, seconds in (("answer_timeout", answer_timeout), ("max_image_age", max_image_age)):
        if not seconds >= 0:
            raise ValueError(f"{name} is {seconds}: give seconds, or 0 for the node's own")
    return Ground.Goal(
        expression=expression, ambiguity_policy=Ground.Goal.ASK if policy is None else policy,
        image=image_message(image), camera=camera, pointing=pointing_message(pointing),
        candidates=[box_message(each) for each in candidates], max_questions=max_questions,
        answer_timeout=duration(answer_timeout), max_image_age=duration(max_image_age),
    )  # fmt: skip


def duration(seconds: float) -> Any:
    """builtin_interfaces/Duration."""
    return Duration(nanoseconds=round(seconds * 1e9)).to_msg()

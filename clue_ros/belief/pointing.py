"""Who is meant by a click, a drawn box or a scribble: geometry over the candidates, in pixels of the image.

A hand is not exact: a click beside a thing still means it, if nothing else is nearer. Of two boxes around a click the
one in whose middle it lies, and the smaller one, is likelier.
"""

from __future__ import annotations

import math
from typing import Sequence, Tuple

import numpy as np

from clue_ros.types import Answer, Box, InvalidAnswerError

SPREAD = 0.025  # of the image's width: standard deviation of a click beside what it means
MISSES = 0.1  # likelihood of a click just beside what it means, against one within
SCRIBBLE_POINTS = 3  # fewer points are a click or the corners of a box


def is_pointed(answer: Answer) -> bool:
    return answer.point is not None or answer.box is not None


def pointed_place(answer: Answer) -> Tuple[float, float]:
    """Where a pointing answer points: the click, or the middle of the box. Raises ValueError for words alone."""
    if answer.point is not None:
        return answer.point
    if answer.box is None:
        raise ValueError("the answer points nowhere")
    return answer.box.center


def check_within(answer: Answer, image_size: Tuple[int, int]) -> None:
    """Raises InvalidAnswerError if a place lies outside the image of (width, height) pixels. A stroke may leave the
    image as a hand does; its middle must not."""
    width, height = image_size
    scribbled = answer.point is not None and answer.box is not None
    if answer.box is not None and not scribbled:
        x0, y0, x1, y1 = answer.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InvalidAnswerError(f"box {tuple(answer.box)} is empty or outside the {width}x{height} image")
    elif answer.point is not None or answer.box is not None:
        x, y = pointed_place(answer)
        if not (0 <= x <= width and 0 <= y <= height):
            what = "the middle of the scribble" if scribbled else "point"
            raise InvalidAnswerError(f"{what} ({x:g}, {y:g}) is outside the {width}x{height} image")


def scribble(points: Sequence[Tuple[float, float]], text: str = "") -> Answer:
    """An answer from a stroke over a thing or a line around it: its extent, and the middle of the extent.

    points: (x, y) in pixels, at least three. Raises InvalidAnswerError.
    """
    try:
        values = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidAnswerError("a scribble must be (x, y) points in pixels") from error
    if values.ndim != 2 or values.shape[1] != 2 or len(values) < SCRIBBLE_POINTS or not np.isfinite(values).all():
        raise InvalidAnswerError(f"a scribble needs {SCRIBBLE_POINTS} or more points of two finite numbers each")
    (x0, y0), (x1, y1) = values.min(0), values.max(0)
    box = Box(float(x0), float(y0), float(x1), float(y1))
    return Answer(text, point=box.center, box=box if box.area > 0 else None)


def from_numbers(numbers: Sequence[float]) -> Answer:
    """x y: a click; x0 y0 x1 y1: a box; six and more, x y x y x y …: a scribble. Raises InvalidAnswerError."""
    numbers = [float(n) for n in numbers]
    if len(numbers) == 2:
        return Answer(point=(numbers[0], numbers[1]))
    if len(numbers) == 4:
        x0, x1 = sorted(numbers[0::2])
        y0, y1 = sorted(numbers[1::2])
        return Answer(box=Box(x0, y0, x1, y1))
    if len(numbers) >= 2 * SCRIBBLE_POINTS and len(numbers) % 2 == 0:
        return scribble(list(zip(numbers[0::2], numbers[1::2])))
    raise InvalidAnswerError(
        f"pointing takes 2 numbers (click), 4 (box) or an even number from 6 on (scribble), got {len(numbers)}"
    )


def likelihoods(answer: Answer, boxes: Sequence[Box], width: float) -> np.ndarray:
    """float64[N]: P(pointing there | this box is meant) up to a common factor. width: of the image in pixels."""
    values = np.ones(len(boxes))
    if answer.point is not None or answer.box is not None:
        values *= [_of_point(pointed_place(answer), Box(*box), width) for box in boxes]
    if answer.box is not None:
        values *= [_of_box(answer.box, Box(*box)) for box in boxes]
    return values


def outside(point: Tuple[float, float], box: Box) -> float:
    """Distance of a point from a box in pixels; 0 inside."""
    return math.hypot(max(box.x0 - point[0], 0.0, point[0] - box.x1), max(box.y0 - point[1], 0.0, point[1] - box.y1))


def _of_point(point: Tuple[float, float], box: Box, width: float) -> float:
    spread = SPREAD * width
    (cx, cy), half_w, half_h = box.center, (box.x1 - box.x0) / 2 + spread, (box.y1 - box.y0) / 2 + spread
    off_middle = max(abs(point[0] - cx) / half_w, abs(point[1] - cy) / half_h)  # below 1 inside the grown box
    near = math.exp(-0.5 * (outside(point, box) / spread) ** 2 - 0.5 * min(off_middle, 2.0) ** 2)
    return near / math.sqrt(half_w * half_h) * (1.0 if outside(point, box) == 0 else MISSES)


def _of_box(drawn: Box, box: Box) -> float:
    wide, high = min(drawn.x1, box.x1) - max(drawn.x0, box.x0), min(drawn.y1, box.y1) - max(drawn.y0, box.y0)
    shared = max(wide, 0.0) * max(high, 0.0)
    union = drawn.area + box.area - shared
    return 0.05 + (shared / union if union > 0 else 0.0)

"""The one sample type that every loader yields: an image, an instruction, a dialogue, and what is meant.

Coordinates are pixels of the image file as stored (see `images.read_image` about EXIF), boxes x0 y0 x1 y1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from clue_ros.images.files import ImageArray, ImageFile
from clue_ros.language.closings import closings
from clue_ros.types import Box, Turn

_NUMBER_TYPES = frozenset((int, float))  # not bool
MAX_COORDINATE = 1e9  # pixels
OUTSIDE_TOLERANCE = 1.0  # pixels; OpenImages' normalised boxes end up to a pixel beyond the border


class Label(str, Enum):
    """Whether the instruction alone, without the turns, tells which thing is meant."""

    AMBIGUOUS = "ambiguous"
    CLEAR = "clear"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sample:
    """One instruction about one image.

    source_id: unique in its data set, such as 'invig21k/train/17' or 'refcoco/49/142';
    turns: the finished exchanges, in order (empty: none took place);
    closing: courtesies after them ("here you are" – "thank you"), which ask and settle nothing;
    boxes: what is meant once the turns are over: () nothing in the image fits, one box, or several; None: not
    annotated;
    point: (x, y) on the target where a data set has points instead of boxes;
    objects: boxes of further things in the image, whatever they are (candidates for a ranking);
    question_candidates, answer_candidates: for each turn, wrong alternatives (InViG: 30) that a model has to rank
    below what was really said, which is not among them.
    """

    source_id: str
    image: Union[ImageFile, ImageArray]
    expression: str
    turns: Tuple[Turn, ...] = ()
    boxes: Optional[Tuple[Box, ...]] = None
    point: Optional[Tuple[float, float]] = None
    label: Label = Label.UNKNOWN
    split: str = ""
    objects: Tuple[Box, ...] = ()
    question_candidates: Tuple[Tuple[str, ...], ...] = ()
    answer_candidates: Tuple[Tuple[str, ...], ...] = ()
    closing: Tuple[Turn, ...] = ()

    @property
    def size(self) -> Tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.size

    @property
    def file(self) -> ImageFile:
        """The image on disk. Raises ValueError for one in memory."""
        if not isinstance(self.image, ImageFile):
            raise ValueError(f"the image of {self.source_id} is in memory, it has no file")
        return self.image

    def pixels(self) -> np.ndarray:
        """uint8[H,W,3] RGB, decoded now. Raises BrokenImageError."""
        return self.image.read()


def without_closing(turns: Sequence[Turn]) -> Tuple[Tuple[Turn, ...], Tuple[Turn, ...]]:
    """(turns, closing) of a whole dialogue; a gesture shows a thing and closes nothing."""
    said = [(t.question, t.answer.text) if t.answer.point is None and t.answer.box is None else ("", "") for t in turns]
    kept = len(turns) - closings(said)
    return tuple(turns[:kept]), tuple(turns[kept:])


def box_of(values: Any, form: str = "xyxy") -> Box:
    """A Box of four numbers, `form` 'xyxy' or 'xywh' (COCO). Raises ValueError if they are not four finite numbers."""
    x, y, third, fourth = _numbers(values, 4, "a box")
    return Box(x, y, x + third, y + fourth) if form == "xywh" else Box(x, y, third, fourth)


def point_of(values: Any) -> Tuple[float, float]:
    """Raises ValueError if `values` are not two finite numbers."""
    x, y = _numbers(values, 2, "a point")
    return x, y


def middle_of(stroke: Any) -> Tuple[float, float]:
    """The point of a stroke that is nearest to the mean of its points. Raises ValueError."""
    if not isinstance(stroke, list) or not stroke:
        raise ValueError("a 'scribble' must be a list of points [x, y]")
    points = [point_of(point) for point in stroke]
    mean = [sum(values) / len(points) for values in zip(*points)]
    return min(points, key=lambda p: math.dist(p, mean))


def boxes_of(values: Any, form: str = "xyxy") -> Tuple[Box, ...]:
    """Boxes of a list of boxes, or of one bare box."""
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"boxes must be a list, got {type(values).__name__}")
    if len(values) == 4 and not isinstance(values[0], (list, tuple)):
        return (box_of(values, form),)
    return tuple(box_of(v, form) for v in values)


def _numbers(values: Any, count: int, what: str) -> Tuple[float, ...]:
    if not isinstance(values, (list, tuple)) or len(values) != count or not _NUMBER_TYPES.issuperset(map(type, values)):
        raise ValueError(f"{what} must be {count} numbers, got {str(values)[:80]}")
    try:
        numbers = tuple(map(float, values))
    except OverflowError:
        numbers = (math.inf,)
    if not all(abs(v) <= MAX_COORDINATE for v in numbers):  # NaN compares false
        raise ValueError(f"{what} has a coordinate that is not finite or absurd: {str(values)[:80]}")
    return numbers


def is_empty(box: Box) -> bool:
    """No area, or corners in the wrong order."""
    return box.x1 <= box.x0 or box.y1 <= box.y0


def is_outside(box: Box, size: Tuple[int, int]) -> bool:
    """Some part lies more than OUTSIDE_TOLERANCE beyond the image."""
    width, height = size
    return (
        box.x0 < -OUTSIDE_TOLERANCE
        or box.y0 < -OUTSIDE_TOLERANCE
        or box.x1 > width + OUTSIDE_TOLERANCE
        or box.y1 > height + OUTSIDE_TOLERANCE
    )


def is_unusable(boxes: Sequence[Box], size: Tuple[int, int]) -> bool:
    """A target box is empty, or no part of it lies in the image: nothing can be learnt from it."""
    width, height = size
    return any(is_empty(b) or b.x0 >= width or b.y0 >= height or b.x1 <= 0 or b.y1 <= 0 for b in boxes)

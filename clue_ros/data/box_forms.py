"""How a data set of other people measures its boxes, and what tells that they are no pixels.

| form | numbers |
|---|---|
| `xyxy` | x0 y0 x1 y1 in pixels: ours, InViG's, torchvision's |
| `xywh` | x0 y0 width height in pixels: COCO's |
| `cxcywh` | centre, width, height in pixels |
| `yxyx` | y0 x0 y1 x1 in pixels: TensorFlow's |
| `xyxy01`, … | the same as shares of the image's width and height, in [0, 1]; YOLO's is `cxcywh01` |
| `xyxy100`, … | the same in hundredths (percent); Label Studio's is `xywh100` |
| `xyxy1000`, … | the same in thousandths; Qwen-VL's and InternVL's are `xyxy1000`, Gemini's is `yxyx1000` |
"""

from __future__ import annotations

import math
import re
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from clue_ros.data.sample import Sample, is_empty, is_outside
from clue_ros.problems import DataError, Kind
from clue_ros.types import Box

KINDS = ("xyxy", "xywh", "cxcywh", "yxyx")
UNITS = {"": 0, "01": 1, "100": 100, "1000": 1000}  # of a form: what the image's whole side is, 0 for its pixels
FORMS = tuple(kind + unit for unit in UNITS for kind in KINDS)
CHANCE = 1e-3  # that boxes in pixels all lie so far up and left by accident
ENOUGH = 5  # boxes
_OUTLINE = re.compile(r"box|polygon|segmentation|rectangle|contour")
# Sides of one box in fields of their own.
_SIDES = (
    {"x0", "y0"},
    {"x1", "y1"},
    {"xmin", "ymin"},
    {"x", "y", "w", "h"},
    {"x", "y", "width", "height"},
    {"left", "top"},
)


def check_form(form: str) -> str:
    """The form itself. Raises DataError if it is none of FORMS."""
    if form not in FORMS:
        raise DataError(f"there is no form of boxes '{form}'; there are: {', '.join(FORMS)}")
    return form


def scale_of(form: str, size: Tuple[int, int]) -> Tuple[float, float]:
    """(x, y): what a number of this form is multiplied by. size: (width, height) of the image in pixels."""
    whole = UNITS[form.lstrip("cxywh")]
    return (size[0] / whole, size[1] / whole) if whole else (1.0, 1.0)


def to_pixels(box: Box, form: str, size: Tuple[int, int]) -> Box:
    """Four numbers of a form as a box in pixels.

    box: the numbers as they stand, in the order of the form
    form: one of FORMS
    size: (width, height) of the image in pixels
    """
    kind, (sx, sy) = form.rstrip("01"), scale_of(form, size)
    if kind == "yxyx":
        box, kind = Box(box[1], box[0], box[3], box[2]), "xyxy"
    a, b, c, d = box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy
    if kind == "xywh":
        return Box(a, b, a + c, b + d)
    if kind == "cxcywh":
        return Box(a - c / 2, b - d / 2, a + c / 2, b + d / 2)
    return Box(a, b, c, d)


def unit_problem(sample: Sample) -> Optional[Tuple[Kind, str]]:
    """What shows that a sample's boxes or points are shares of the image and no pixels; None if nothing does."""
    answers = [turn.answer for turn in sample.turns]
    boxes = [*(sample.boxes or ()), *sample.objects, *(a.box for a in answers if a.box is not None)]
    points = [p for p in (sample.point, *(a.point for a in answers)) if p is not None]
    wrong = next((b for b in boxes if _within_one(b) and b.x1 > b.x0 and b.y1 > b.y0), None)
    # A whole number may be a pixel in the corner; a half of the first pixel is nobody's target.
    wrong = wrong or next((p for p in points if _within_one(p) and any(v != int(v) for v in p)), None)
    if wrong is None or min(sample.size) <= 2:
        return None
    width, height = sample.size
    return Kind.UNIT, (
        f"{[round(float(v), 4) for v in wrong]} in an image of {width}x{height} looks like shares of the image, and "
        "boxes and points are pixels here: give --boxes xyxy01 (or xywh01, cxcywh01), which `clue data convert` "
        "takes too"
    )


class Scale:
    """Watches the boxes of a data set in pixels for numbers that are hundredths or thousandths of the sides."""

    def __init__(self) -> None:
        # Of a unit: boxes in larger images, and the chance that pixels stay within it by accident.
        self._seen: Dict[str, Tuple[int, float]] = {"100": (0, 1.0), "1000": (0, 1.0)}

    def add(self, box: Box, size: Tuple[int, int]) -> None:
        for unit, (count, chance) in self._seen.items():
            whole = UNITS[unit]
            if max(box) > whole or min(box) < 0:
                self._seen[unit] = count, math.inf
            elif max(size) > whole:
                chance *= min(1.0, whole / size[0]) * min(1.0, whole / size[1])
                self._seen[unit] = count + 1, chance

    def problem(self) -> Optional[Tuple[Kind, str]]:
        """What shows that all boxes are of such a unit; None if nothing does."""
        for unit, (count, chance) in self._seen.items():
            if count >= ENOUGH and chance < CHANCE:
                return Kind.UNIT, (
                    f"no number of {count} boxes is over {unit}, in images that are larger: they look like shares of "
                    f"{unit}, and boxes are pixels here: give --boxes xyxy{unit} (or xywh{unit}, yxyx{unit}), which "
                    "`clue data convert` takes too"
                )
        return None


def advice_on_order(box: Box, size: Tuple[int, int]) -> str:
    """For a box that is empty or leaves the image: what it may be meant as; empty if nothing fits."""
    fits = [
        form
        for form in ("xywh", "yxyx", "xyxy1000")
        if min(box) >= 0
        and (1.5 * max(size) < max(box) <= 1000 or form != "xyxy1000")
        and not is_empty(meant := to_pixels(box, form, size))
        and not is_outside(meant, size)
    ]
    return f"; as {' or '.join(fits)} it lies in the image: give --boxes {fits[0]}" if fits else ""


def other_name(entry: Mapping[str, Any], known: Sequence[str]) -> Optional[str]:
    """The field in which a record of somebody else keeps its box, whatever it is called: four numbers or a list of
    them under a name that is none of `known`, a name that speaks of a box, or sides as fields ("x0, y0"). None if there
    is none.
    """
    for name, value in entry.items():
        if name not in known and (_four_numbers(value) or _OUTLINE.search(name.lower()) or _holds_box(value)):
            return name
    names = {name.lower() for name in entry}
    return next((", ".join(sorted(sides)) for sides in _SIDES if sides <= names), None)


def _holds_box(value: Any) -> bool:
    """Whether it is an object, or a list of objects, with a box in it: {"target": {"bbox": [...]}}."""
    inner = value[0] if isinstance(value, list) and value else value
    return isinstance(inner, dict) and other_name(inner, ()) is not None


def _four_numbers(value: Any) -> bool:
    """Whether it is a box, or a list of boxes."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if isinstance(value[0], (list, tuple)):
        return all(_four_numbers(inner) and not isinstance(inner[0], (list, tuple)) for inner in value if inner)
    return len(value) == 4 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)


def _within_one(values: Sequence[float]) -> bool:
    return all(0 <= v <= 1 for v in values)

"""How a data set of other people measures its boxes, and what tells that they are no pixels.

| form | numbers |
|---|---|
| `xyxy` | x0 y0 x1 y1 in pixels: ours, InViG's, torchvision's |
| `xywh` | x0 y0 width height in pixels: COCO's |
| `cxcywh` | centre, width, height in pixels |
| `xyxy01`, `xywh01`, `cxcywh01` | the same as shares of the image's width and height, in [0, 1]; YOLO's is `cxcywh01` |
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Tuple

from clue_ros.data.sample import Sample
from clue_ros.problems import DataError, Kind
from clue_ros.types import Box

FORMS = ("xyxy", "xywh", "cxcywh", "xyxy01", "xywh01", "cxcywh01")
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
    return (float(size[0]), float(size[1])) if form.endswith("01") else (1.0, 1.0)


def to_pixels(box: Box, form: str, size: Tuple[int, int]) -> Box:
    """Four numbers of a form as a box in pixels.

    box: the numbers as they stand, in the order of the form
    form: one of FORMS
    size: (width, height) of the image in pixels
    """
    sx, sy = scale_of(form, size)
    a, b, c, d = box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy
    kind = form.removesuffix("01")
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


def advice_on_order(box: Box, size: Tuple[int, int]) -> str:
    """For a box without area: what it may be meant as; empty if nothing fits."""
    meant = to_pixels(box, "xywh", size)
    fits = box.x1 > 0 and box.y1 > 0 and meant.x1 <= size[0] + 1 and meant.y1 <= size[1] + 1
    return "; as x y width height it lies in the image: give --boxes xywh" if fits and min(box) >= 0 else ""


def other_name(entry: Mapping[str, Any], known: Sequence[str]) -> Optional[str]:
    """The field in which a record of somebody else keeps its box, whatever it is called: four numbers or a list of
    them under a name that is none of `known`, a name that speaks of a box, or sides as fields ("x0, y0"). None if there
    is none.
    """
    for name, value in entry.items():
        if name not in known and (_four_numbers(value) or "box" in name.lower().replace("_", "")):
            return name
    names = {name.lower() for name in entry}
    return next((", ".join(sorted(sides)) for sides in _SIDES if sides <= names), None)


def _four_numbers(value: Any) -> bool:
    """Whether it is a box, or a list of boxes."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    if isinstance(value[0], (list, tuple)):
        return all(_four_numbers(inner) and not isinstance(inner[0], (list, tuple)) for inner in value if inner)
    return len(value) == 4 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)


def _within_one(values: Sequence[float]) -> bool:
    return all(0 <= v <= 1 for v in values)

"""How one thing stands to another, as the camera sees it: pure geometry of boxes, with margins.

A careful annotator says "left of" only for what is clearly more to the left than above or below; what lies between
clear cases is not decided (None). Depth is read off where the boxes end below, as in `referring`.
"""

from __future__ import annotations

from math import hypot
from typing import TYPE_CHECKING, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from clue_ros.simulation.scene import ImageSize, SceneObject
    from clue_ros.types import Box

RELATIONS = ("left_of", "right_of", "next_to", "behind", "in_front_of")
MARGIN = 0.05  # of the image's width or height: nearer than this to the border of a relation is a tie
DEPTH_STRETCH = 1.4  # the camera looks down at 34 to 60 degrees: a step in depth looks that much shorter
SLANT = 0.75  # a relation holds if the step along its direction is at least this share of the step across
CLEARLY_ACROSS = 3.0  # and clearly does not hold if the step across is this much longer
NEAREST_RATIO = 1.5  # the second nearest is at least this much farther, or "next to" is a tie
WITHIN, NARROW, WIDE = 0.2, 0.25, 0.6  # of the line between two things: along it, beside it, and clearly beside it
REACH = 0.12  # of the image's width: edges farther apart are not next to each other


def related(
    relation: str, indices: Sequence[int], anchor: int, objects: Sequence[SceneObject], image: ImageSize
) -> Optional[Tuple[int, ...]]:
    """Those of the objects that stand in a relation to the anchor, in their order; None where one cannot tell.

    relation: one of RELATIONS; every object and the anchor must have a box, in pixels of `image`.
    """
    other = objects[anchor].visible_box
    if relation == "next_to":
        return _next_to(indices, other, objects, image)
    verdicts = [_stands(relation, objects[i].visible_box, other, image) for i in indices]
    if None in verdicts:
        return None
    return tuple(i for i, holds in zip(indices, verdicts) if holds)


def between(
    indices: Sequence[int], first: int, second: int, objects: Sequence[SceneObject], image: ImageSize
) -> Optional[Tuple[int, ...]]:
    """Those of the objects that stand between two others, in their order; None where one cannot tell."""
    (ax, ay), (bx, by) = (objects[i].visible_box.center for i in (first, second))
    ay, by = ay * DEPTH_STRETCH, by * DEPTH_STRETCH
    length = hypot(bx - ax, by - ay)
    if length < 2 * MARGIN * image.width:
        return None
    kept = []
    for i in indices:
        x, y = objects[i].visible_box.center
        y *= DEPTH_STRETCH
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2
        across = abs((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / length**2
        if WITHIN <= along <= 1 - WITHIN and across <= NARROW:
            kept.append(i)
        elif -MARGIN < along < 1 + MARGIN and across < WIDE:
            return None
    return tuple(kept)


def _stands(relation: str, box: Box, other: Box, image: ImageSize) -> Optional[bool]:
    right = box.center[0] - other.center[0]
    near, lower = box.y1 - other.y1, box.center[1] - other.center[1]
    if relation in ("left_of", "right_of"):
        along, margin = (right if relation == "right_of" else -right), MARGIN * image.width
        across, agrees = abs(lower) * DEPTH_STRETCH, True
    else:
        sign = 1 if relation == "in_front_of" else -1
        along, margin = sign * near * DEPTH_STRETCH, MARGIN * image.height * DEPTH_STRETCH
        across, agrees = abs(right), sign * lower > 0
    if along <= -margin or across >= CLEARLY_ACROSS * max(abs(along), margin):
        return False
    if along >= margin and along >= SLANT * across and agrees:
        return True
    return None


def _next_to(
    indices: Sequence[int], other: Box, objects: Sequence[SceneObject], image: ImageSize
) -> Optional[Tuple[int, ...]]:
    order = sorted((_distance(objects[i].visible_box, other), i) for i in indices)
    if not order or _gap(objects[order[0][1]].visible_box, other) > REACH * image.width:
        return None
    if len(order) > 1 and order[1][0] < NEAREST_RATIO * order[0][0]:
        return None
    return (order[0][1],)


def _distance(box: Box, other: Box) -> float:
    """Between the centres, pixels, depth stretched."""
    (x, y), (ox, oy) = box.center, other.center
    return hypot(x - ox, (y - oy) * DEPTH_STRETCH)


def _gap(box: Box, other: Box) -> float:
    """Between the edges, pixels; 0 for boxes that touch."""
    return hypot(max(0.0, box.x0 - other.x1, other.x0 - box.x1), max(0.0, box.y0 - other.y1, other.y0 - box.y1))

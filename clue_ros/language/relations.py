""" "The mug next to the bowl": which candidates stand so to another thing. Pure geometry, as the camera sees it."""

from __future__ import annotations

from itertools import product
from math import hypot
from typing import List, Optional, Sequence, Tuple

from clue_ros.geometry import box_iou
from clue_ros.types import Box

TIE = 1.15  # a candidate at most this much farther than the nearest is not told apart from it
SAME = 0.5  # IoU from which a candidate is the other thing itself


def related(
    kind: str,
    boxes: Sequence[Box],
    others: Sequence[Box],
    size: Tuple[float, float],
    second: Optional[Sequence[Box]] = None,
) -> Tuple[int, ...]:
    """Indices of the candidates that stand in a relation to the nearest of the other things; all where none do.

    kind: 'beside', 'left_of', 'right_of', 'in_front_of', 'behind', 'above', 'below', 'between'; size: (width, height)
    in pixels; second: for 'between' the things on the other side, None if both sides are of `others`.
    """
    everything = tuple(range(len(boxes)))
    if kind == "between":
        return _between(boxes, others, others if second is None else second, size) or everything
    distances: List[Tuple[float, int]] = []
    for i in everything:
        if any(box_iou(boxes[i], other) >= SAME for other in others):
            continue
        fitting = [_distance(boxes[i], other, size) for other in others if _stands(kind, boxes[i], other)]
        if fitting:
            distances.append((min(fitting), i))
    if not distances:
        return everything
    nearest = min(distances)[0]
    return tuple(sorted(i for distance, i in distances if distance <= nearest * TIE))


def _between(
    boxes: Sequence[Box], ones: Sequence[Box], others: Sequence[Box], size: Tuple[float, float]
) -> Tuple[int, ...]:
    """The candidates nearest to the middle of a line between two things, of those that stand beside its inner part."""
    distances: List[Tuple[float, int]] = []
    for n, box in enumerate(boxes):
        for a, b in product(ones, others):
            if any(box_iou(one, two) >= SAME for one, two in ((a, b), (a, box), (b, box))):
                continue
            (x, y), (ax, ay), (bx, by) = ((p[0] / size[0], p[1] / size[1]) for p in (box.center, a.center, b.center))
            length = hypot(bx - ax, by - ay)
            along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / max(length, 1e-9)
            across = abs((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / max(length, 1e-9)
            if 0 < along < length and across < length / 2:
                distances.append((hypot(x - (ax + bx) / 2, y - (ay + by) / 2), n))
    if not distances:
        return ()
    nearest = min(distances)[0]
    return tuple(sorted({n for distance, n in distances if distance <= nearest * TIE}))


def _stands(kind: str, box: Box, other: Box) -> bool:
    (x, y), (ox, oy) = box.center, other.center
    return {
        "left_of": x < ox,
        "right_of": x > ox,
        "in_front_of": box.y1 > other.y1,
        "behind": box.y1 < other.y1,
        "above": y < oy,
        "below": y > oy,
    }.get(kind, True)


def _distance(box: Box, other: Box, size: Tuple[float, float]) -> float:
    """Between the boxes' edges in shares of the image's side, plus a little of the centres' so that touching ones
    differ."""
    dx = max(0.0, box.x0 - other.x1, other.x0 - box.x1) / size[0]
    dy = max(0.0, box.y0 - other.y1, other.y0 - box.y1) / size[1]
    (x, y), (ox, oy) = box.center, other.center
    return hypot(dx, dy) + 0.1 * hypot((x - ox) / size[0], (y - oy) / size[1])

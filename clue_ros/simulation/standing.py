"""Which of some things is the left one, the tallest, the third from the right: from their boxes, with margins.

None where a careful annotator would not decide.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.shapes import SIZES

MIN_GAP = 0.05  # of the image width (or height): closer than this, people would not say "the left one"
SIZE_VISIBILITY = 0.6  # the size of what is hidden more than this is anybody's guess
SIZE_RATIO = 1.1  # of the boxes' sides: the larger thing has to look larger too, or people would not say so
TALL_RATIO = 1.35  # of the boxes' heights, for the tallest and the shortest
CLEAR_SIZE_RATIO = 1.3  # from which a difference in size is what one asks about
ORDINAL_FROM = 3  # things in a row: two are "the left one" and "the right one"


def extreme(position: str, indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize) -> Optional[int]:
    """The one object at a position among two or more, or None if it is a near tie ('middle' wants exactly three)."""
    if " " in position:
        return _corner(position, indices, objects, image)
    if position in ("front", "back"):
        key, gap = (lambda i: objects[i].visible_box.y1), MIN_GAP * image.height
    elif position in ("top", "bottom"):
        key, gap = (lambda i: objects[i].visible_box.center[1]), MIN_GAP * image.height
    else:
        key, gap = (lambda i: objects[i].visible_box.center[0]), MIN_GAP * image.width
    order = sorted(indices, key=key, reverse=position in ("right", "front", "bottom"))
    if position == "middle":
        if len(order) != 3 or key(order[1]) - key(order[0]) < gap or key(order[2]) - key(order[1]) < gap:
            return None
        return order[1]
    if abs(key(order[0]) - key(order[1])) < gap:
        return None
    return order[0]


def _corner(position: str, indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize) -> Optional[int]:
    """Of 'top left' and the like: the farthest both ways together, by a margin, and away from the others each way."""
    vertical, across = position.split()
    x = {i: objects[i].visible_box.center[0] / image.width * (1 if across == "right" else -1) for i in indices}
    y = {i: objects[i].visible_box.center[1] / image.height * (1 if vertical == "bottom" else -1) for i in indices}
    best, *rest = sorted(indices, key=lambda i: -(x[i] + y[i]))
    apart = x[best] + y[best] - max(x[i] + y[i] for i in rest) >= 2 * MIN_GAP
    outside = all(v[best] - sum(v[i] for i in rest) / len(rest) >= MIN_GAP for v in (x, y))
    return best if apart and outside else None


def of_size(
    size: str, indices: Sequence[int], objects: Sequence[SceneObject], ratio: float = SIZE_RATIO
) -> Optional[Tuple[int, ...]]:
    """Those of the smallest ('small') or largest scale; all if there is but one object, None if one cannot tell: they
    have one size, or different kinds, or do not look different by `ratio` in the image."""
    if len(indices) < 2:
        return tuple(indices)
    if size in ("tall", "short"):
        return _by_height(size, indices, objects)
    scale = {i: SIZES.get(objects[i].size, 1.0) for i in indices}
    wanted = (min if size == "small" else max)(scale.values())
    chosen, rest = [i for i in indices if scale[i] == wanted], [i for i in indices if scale[i] != wanted]
    if not rest or len({objects[i].category for i in indices}) > 1:
        return None
    if any(objects[i].visibility < SIZE_VISIBILITY for i in indices):
        return None
    smaller, larger = (chosen, rest) if size == "small" else (rest, chosen)
    if min(_side(objects[i]) for i in larger) < ratio * max(_side(objects[i]) for i in smaller):
        return None
    return tuple(chosen)


def _by_height(size: str, indices: Sequence[int], objects: Sequence[SceneObject]) -> Optional[Tuple[int, ...]]:
    if any(objects[i].visibility < SIZE_VISIBILITY for i in indices):
        return None
    height = {i: objects[i].visible_box.y1 - objects[i].visible_box.y0 for i in indices}
    order = sorted(indices, key=lambda i: height[i], reverse=size == "tall")
    smaller, larger = sorted((height[order[0]], height[order[1]]))
    return (order[0],) if larger >= TALL_RATIO * smaller else None


def _side(item: SceneObject) -> float:
    """Side of a square as large as the box, pixels."""
    return ((item.visible_box.x1 - item.visible_box.x0) * (item.visible_box.y1 - item.visible_box.y0)) ** 0.5


def nth(
    number: int, side: str, indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize
) -> Optional[int]:
    """The n-th object (from 1) of a row of three or more from a side; None if two of them stand too close for it."""
    if len(indices) < ORDINAL_FROM or not 1 <= number <= len(indices):
        return None
    order = sorted(indices, key=lambda i: objects[i].visible_box.center[0])
    if _spread(order, objects, image) < MIN_GAP:
        return None
    return order[number - 1] if side == "left" else order[-number]


def _spread(indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize, axis: str = "x") -> float:
    """The smallest gap between neighbours, as a share of the image's width ('x') or height ('y')."""
    boxes = [objects[i].visible_box for i in indices]
    values = sorted(box.center[0] / image.width if axis == "x" else box.y1 / image.height for box in boxes)
    return min(b - a for a, b in zip(values, values[1:]))


def position_options(indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize) -> Tuple[str, ...]:
    """The positions that tell objects apart: ('left', 'right'), ('left', 'middle', 'right') or ('front', 'back').

    Empty if they stand too close for words.
    """
    if len(indices) == 3 and _spread(indices, objects, image) >= MIN_GAP:
        return ("left", "middle", "right")
    if len(indices) == 2:
        x, y = _spread(indices, objects, image), _spread(indices, objects, image, "y")
        if x >= MIN_GAP and x >= 0.6 * y:
            return ("left", "right")
        if y >= MIN_GAP:
            return ("front", "back")
    return ()

"""Referring expressions as programs over a scene.

A `Reference` selects a SET of objects: one element means unambiguous, two or more ambiguous, none absent. Left, right,
front and back are meant as the camera sees them: by the box centre's x, and by the box's lower edge (the nearer an
object stands, the lower it ends in the image).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Sequence, Tuple

from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.shapes import CATEGORIES, COLORS

POSITIONS = ("left", "right", "front", "back", "middle")
MIN_GAP = 0.05  # of the image width (or height): closer than this, people would not say "the left one"
MIN_VISIBILITY = 0.35
MIN_PIXEL_SHARE = 6e-4  # of the image


@dataclass(frozen=True)
class Reference:
    """Objects of a category and colour; `position` then keeps the extreme one of them. None: any."""

    category: Optional[str] = None
    color: Optional[str] = None
    position: Optional[str] = None

    def kind(self) -> str:
        """The expression type that results are broken down by."""
        if self.position:
            return "position"
        if self.category is None:
            return "color_only"
        return "color_category" if self.color else "category"


@dataclass(frozen=True)
class ImageSize:
    width: int
    height: int


def clearly_visible(item: SceneObject, image: ImageSize) -> bool:
    return (item.box is not None and item.visibility >= MIN_VISIBILITY
            and item.pixels >= MIN_PIXEL_SHARE * image.width * image.height)


def resolve(reference: Reference, objects: Sequence[SceneObject], image: ImageSize,
            among: Optional[Sequence[int]] = None) -> Optional[Tuple[int, ...]]:
    """Indices of the objects that the reference selects (of `among`, if given), from left to right.

    None where a careful annotator would not decide: a match is hardly visible, or the extreme one is a near tie.
    """
    pool = range(len(objects)) if among is None else among
    matches = [i for i in pool if objects[i].pixels > 0
               and reference.category in (None, objects[i].category) and reference.color in (None, objects[i].color)]
    if not all(clearly_visible(objects[i], image) for i in matches):
        return None
    matches.sort(key=lambda i: objects[i].box.center[0])
    if not reference.position or len(matches) < 2:
        return tuple(matches)
    chosen = extreme(reference.position, matches, objects, image)
    return None if chosen is None else (chosen,)


def extreme(position: str, indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize) -> Optional[int]:
    """The one object at a position among two or more, or None if it is a near tie ('middle' wants exactly three)."""
    if position in ("front", "back"):
        key, gap = (lambda i: objects[i].box.y1), MIN_GAP * image.height
    else:
        key, gap = (lambda i: objects[i].box.center[0]), MIN_GAP * image.width
    order = sorted(indices, key=key, reverse=position in ("right", "front"))
    if position == "middle":
        if len(order) != 3 or key(order[1]) - key(order[0]) < gap or key(order[2]) - key(order[1]) < gap:
            return None
        return order[1]
    if abs(key(order[0]) - key(order[1])) < gap:
        return None
    return order[0]


def position_options(indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize) -> Tuple[str, ...]:
    """The positions that tell objects apart: ('left', 'right'), ('left', 'middle', 'right') or ('front', 'back').

    Empty if they stand too close for words.
    """
    def spread(axis: str) -> float:
        values = sorted(objects[i].box.center[0] / image.width if axis == "x" else objects[i].box.y1 / image.height
                        for i in indices)
        return min(b - a for a, b in zip(values, values[1:]))

    if len(indices) == 3 and spread("x") >= MIN_GAP:
        return ("left", "middle", "right")
    if len(indices) == 2:
        x, y = spread("x"), spread("y")
        if x >= MIN_GAP and x >= .6 * y:
            return ("left", "right")
        if y >= MIN_GAP:
            return ("front", "back")
    return ()


def enumerate_references(objects: Sequence[SceneObject], image: ImageSize) -> List[Tuple[Reference, Tuple[int, ...]]]:
    """Every reference over a scene's own attributes that is decidable, with what it selects."""
    visible = [o for o in objects if o.pixels > 0]
    plain = [Reference(category=c) for c in sorted({o.category for o in visible})]
    plain += [Reference(category=c, color=q) for c, q in sorted({(o.category, o.color) for o in visible})]
    plain += [Reference(color=q) for q in sorted({o.color for o in visible})]
    found = []
    for reference in plain:
        matches = resolve(reference, objects, image)
        if not matches:
            continue
        found.append((reference, matches))
        if len(matches) > 1:
            for position in POSITIONS:
                placed = replace(reference, position=position)
                selected = resolve(placed, objects, image)
                if selected:
                    found.append((placed, selected))
    return found


def absent_references(objects: Sequence[SceneObject], rng, count: int) -> List[Reference]:
    """References that select nothing: half of them miss by the colour only, where the category is there."""
    present = {(o.category, o.color) for o in objects}
    categories = {o.category for o in objects}
    result: List[Reference] = []
    while len(result) < count:
        roll = rng.random()
        if roll < .5 and categories:
            reference = Reference(category=str(rng.choice(sorted(categories))), color=str(rng.choice(list(COLORS))))
        elif roll < .8:
            reference = Reference(category=str(rng.choice(list(CATEGORIES))))
        else:
            reference = Reference(category=str(rng.choice(list(CATEGORIES))), color=str(rng.choice(list(COLORS))))
        if reference.color and (reference.category, reference.color) in present:
            continue
        if not reference.color and reference.category in categories:
            continue
        result.append(reference)
    return result

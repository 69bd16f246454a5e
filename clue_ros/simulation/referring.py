"""Referring expressions as programs over a scene.

A `Reference` selects a SET of objects: one element means unambiguous, two or more ambiguous, none absent. Left, right,
front and back are meant as the camera sees them: by the box centre's x, and by the box's lower edge (the nearer an
object stands, the lower it ends in the image). Small and large are relative to the other matches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import disputed, fits
from clue_ros.simulation.relations import RELATIONS, related
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.shapes import CATEGORIES, COLORS, SIZES

POSITIONS = ("left", "right", "front", "back", "middle")
SIDES = ("left", "right")
SIZE_CLASSES = ("small", "large")
MIN_GAP = 0.05  # of the image width (or height): closer than this, people would not say "the left one"
MIN_VISIBILITY = 0.35
MIN_PIXEL_SHARE = 6e-4  # of the image
SIZE_VISIBILITY = 0.6  # the size of what is hidden more than this is anybody's guess
SIZE_RATIO = 1.1  # of the boxes' sides: the larger thing has to look larger too, or people would not say so
CLEAR_SIZE_RATIO = 1.3  # from which a difference in size is what one asks about
ORDINAL_FROM = 3  # things in a row: two are "the left one" and "the right one"
ORDINAL_MAX = 4
OUTER_THIRD = 1 / 3  # where a thing without rivals may be called "on the left"
# How often people use a kind of expression; rarer ones are possible in few scenes and are drawn more often there.
KIND_WEIGHTS = {
    "category": 0.26,
    "color_category": 0.27,
    "color_only": 0.09,
    "position": 0.25,
    "size": 0.18,
    "relation": 0.10,
    "ordinal": 0.30,
}


@dataclass(frozen=True)
class Reference:
    """Objects of a category and colour, then narrowed down among each other; None: any.

    position: the extreme one; size: 'small' or 'large', those of the smallest (largest) size; relation: one of
    RELATIONS to the one object that `anchor` (category and colour only) selects; ordinal: (n from 1, 'left' or
    'right').
    """

    category: Optional[str] = None
    color: Optional[str] = None
    position: Optional[str] = None
    size: Optional[str] = None
    relation: Optional[str] = None
    anchor: Optional["Reference"] = None
    ordinal: Optional[Tuple[int, str]] = None

    def kind(self) -> str:
        """The expression type that results are broken down by."""
        for name in ("ordinal", "relation", "position", "size"):
            if getattr(self, name):
                return name
        if self.category is None:
            return "color_only"
        return "color_category" if self.color else "category"


def means(noun: Optional[str], item: SceneObject) -> bool:
    """Whether a noun is said of an object; None, for no noun, of every one."""
    return noun is None or fits(noun, item.category)


def clearly_visible(item: SceneObject, image: ImageSize) -> bool:
    return (
        item.box is not None
        and item.visibility >= MIN_VISIBILITY
        and item.pixels >= MIN_PIXEL_SHARE * image.width * image.height
    )


def resolve(
    reference: Reference, objects: Sequence[SceneObject], image: ImageSize, among: Optional[Sequence[int]] = None
) -> Optional[Tuple[int, ...]]:
    """Indices of the objects that the reference selects (of `among`, if given), from left to right.

    None where a careful annotator would not decide: only some people call a thing so, a match is hardly visible, the
    extreme one is a near tie, sizes do not differ, the anchor is not one clearly visible thing. An anchor is looked for
    among all objects.
    """
    pool = range(len(objects)) if among is None else among
    there = [i for i in pool if objects[i].pixels > 0 and reference.color in (None, objects[i].color)]
    if reference.category and any(disputed(reference.category, objects[i].category) for i in there):
        return None
    matches = [i for i in there if means(reference.category, objects[i])]
    if not all(clearly_visible(objects[i], image) for i in matches):
        return None
    matches.sort(key=lambda i: objects[i].visible_box.center[0])
    kept: Optional[Tuple[int, ...]] = tuple(matches)
    if kept and reference.size:
        kept = of_size(reference.size, kept, objects)
    if kept and reference.relation:
        anchor = _anchor(reference.anchor, objects, image)
        kept = None if anchor is None or anchor in kept else related(reference.relation, kept, anchor, objects, image)
    if kept and reference.ordinal:
        kept = _single(nth(*reference.ordinal, kept, objects, image))
    if kept and reference.position and len(kept) > 1:
        kept = _single(extreme(reference.position, kept, objects, image))
    return kept


def _single(index: Optional[int]) -> Optional[Tuple[int, ...]]:
    return None if index is None else (index,)


def _anchor(reference: Optional[Reference], objects: Sequence[SceneObject], image: ImageSize) -> Optional[int]:
    found = resolve(reference, objects, image) if reference is not None else None
    return found[0] if found is not None and len(found) == 1 else None


def extreme(position: str, indices: Sequence[int], objects: Sequence[SceneObject], image: ImageSize) -> Optional[int]:
    """The one object at a position among two or more, or None if it is a near tie ('middle' wants exactly three)."""
    if position in ("front", "back"):
        key, gap = (lambda i: objects[i].visible_box.y1), MIN_GAP * image.height
    else:
        key, gap = (lambda i: objects[i].visible_box.center[0]), MIN_GAP * image.width
    order = sorted(indices, key=key, reverse=position in ("right", "front"))
    if position == "middle":
        if len(order) != 3 or key(order[1]) - key(order[0]) < gap or key(order[2]) - key(order[1]) < gap:
            return None
        return order[1]
    if abs(key(order[0]) - key(order[1])) < gap:
        return None
    return order[0]


def of_size(
    size: str, indices: Sequence[int], objects: Sequence[SceneObject], ratio: float = SIZE_RATIO
) -> Optional[Tuple[int, ...]]:
    """Those of the smallest ('small') or largest scale; all if there is but one object, None if one cannot tell: they
    have one size, or different kinds, or do not look different by `ratio` in the image."""
    if len(indices) < 2:
        return tuple(indices)
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


def anchors(objects: Sequence[SceneObject], image: ImageSize) -> List[Tuple[Reference, int]]:
    """What an expression can lean on: the things that their category alone, or with the colour, picks out."""
    found = []
    for index, item in enumerate(objects):
        if item.pixels == 0 or not clearly_visible(item, image):
            continue
        rivals = {
            o.color
            for i, o in enumerate(objects)
            if i != index and o.pixels > 0 and (means(item.category, o) or disputed(item.category, o.category))
        }
        if not rivals:
            found.append((Reference(item.category), index))
        if item.color and item.color not in rivals:
            found.append((Reference(item.category, item.color), index))
    return found


def enumerate_references(
    objects: Sequence[SceneObject], image: ImageSize, general: Sequence[str] = ()
) -> List[Tuple[Reference, Tuple[int, ...]]]:
    """Every reference over a scene's own attributes that is decidable, with what it selects.

    Words that a lone thing does not need ("the small mug" of one) are among them where they are true.
    general: nouns that are said beside the categories' own ("fruit").
    """
    visible = [o for o in objects if o.pixels > 0]
    colors = sorted({o.color for o in visible if o.color})
    plain = [Reference(category=c) for c in sorted({o.category for o in visible})]
    plain += [Reference(category=c, color=q) for c, q in sorted({(o.category, o.color) for o in visible if o.color})]
    plain += [Reference(color=q) for q in colors]
    plain += [Reference(noun, q) for noun in general for q in (None, *colors)]
    supports = anchors(objects, image)
    found = []
    for reference in plain:
        matches = resolve(reference, objects, image)
        if not matches:
            continue
        found.append((reference, matches))
        if len(matches) > 1:
            found += _narrowed(reference, matches, objects, image, supports)
        elif len(matches) == 1 and reference.category and not reference.color:
            found += [(more, matches) for more in _redundant(reference, objects[matches[0]], image)]
            nearby = [(a, i) for a, i in supports if not a.color and i not in matches]
            found += [
                (replace(reference, relation="next_to", anchor=a), matches)
                for a, i in nearby
                if related("next_to", matches, i, objects, image)
            ]
    return found


def _narrowed(
    reference: Reference,
    matches: Tuple[int, ...],
    objects: Sequence[SceneObject],
    image: ImageSize,
    supports: Sequence[Tuple[Reference, int]],
) -> List[Tuple[Reference, Tuple[int, ...]]]:
    found = [(replace(reference, position=p), _single(extreme(p, matches, objects, image))) for p in POSITIONS]
    found += [
        (replace(reference, ordinal=(n, side)), _single(nth(n, side, matches, objects, image)))
        for side in SIDES
        for n in range(1, min(ORDINAL_MAX, len(matches)) + 1)
    ]
    if reference.category:
        found += [(replace(reference, size=s), of_size(s, matches, objects)) for s in SIZE_CLASSES]
        others = [(a, i) for a, i in supports if a.category != reference.category and i not in matches]
        selected = {(r, i): related(r, matches, i, objects, image) for i in {i for _, i in others} for r in RELATIONS}
        found += [(replace(reference, relation=r, anchor=a), selected[r, i]) for a, i in others for r in RELATIONS]
    return [(r, selected) for r, selected in found if selected]


def _redundant(reference: Reference, item: SceneObject, image: ImageSize) -> List[Reference]:
    """What people say of a thing without rivals though they need not."""
    found = [replace(reference, size=item.size)] if item.size in SIZE_CLASSES else []
    place = item.visible_box.center[0] / image.width
    if place < OUTER_THIRD or place > 1 - OUTER_THIRD:
        found.append(replace(reference, position="left" if place < OUTER_THIRD else "right"))
    return found


def draw_kinds(kinds: Iterable[str], rng: np.random.Generator) -> List[str]:
    """The kinds of expression in a random order, those first more often that people use more often (KIND_WEIGHTS)."""
    names = sorted(kinds)
    keys = [rng.random() ** (1 / KIND_WEIGHTS.get(name, 0.1)) for name in names]
    return [names[i] for i in np.argsort(keys)[::-1]]


def absent_references(
    objects: Sequence[SceneObject], rng: np.random.Generator, count: int, plain: bool = False
) -> List[Reference]:
    """References that select nothing: half of them miss by the colour only, where the category is there.

    Without `plain`, some also name a size or a position ("the small purple mug" where no mug is purple).
    """
    present = {(o.category, o.color) for o in objects}
    categories = {o.category for o in objects}
    result: List[Reference] = []
    while len(result) < count:
        roll = rng.random()
        if roll < 0.5 and categories:
            reference = Reference(category=str(rng.choice(sorted(categories))), color=str(rng.choice(list(COLORS))))
        elif roll < 0.8:
            reference = Reference(category=str(rng.choice(list(CATEGORIES))))
        else:
            reference = Reference(category=str(rng.choice(list(CATEGORIES))), color=str(rng.choice(list(COLORS))))
        if reference.color and {(reference.category, reference.color), (reference.category, "")} & present:
            continue  # it is there, or is of many colours: nobody could say that it is not of this one
        if not reference.color and reference.category in categories:
            continue
        result.append(reference if plain else _embellished(reference, rng))
    return result


def _embellished(reference: Reference, rng: np.random.Generator) -> Reference:
    roll = rng.random()
    if roll < 0.14:
        return replace(reference, position=str(rng.choice(POSITIONS)))
    return replace(reference, size=str(rng.choice(SIZE_CLASSES))) if roll < 0.28 else reference

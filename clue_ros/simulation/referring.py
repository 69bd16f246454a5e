"""Referring expressions as programs over a scene.

A `Reference` selects a SET of objects: one element means unambiguous, two or more ambiguous, none absent. Left, right,
front and back are meant as the camera sees them: by the box centre's x, and by the box's lower edge (the nearer an
object stands, the lower it ends in the image). Small and large are relative to the other matches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import NOUNS, disputed, fits
from clue_ros.simulation.lexicon import ABSENT_COLORS, EVERY_POSITION, EVERY_SIZE, SIZE_CLASSES
from clue_ros.simulation.relations import RELATIONS, between, related
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.standing import extreme, nth, of_size

SIDES = ("left", "right")
MIN_VISIBILITY = 0.35
MIN_PIXEL_SHARE = 6e-4  # of the image
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

    category: a noun of language/kinds.py or of a user's objects, which may cover kinds; color: 'blue' means dark
    blue, too; position: the extreme one, of two directions for 'top left'; size: 'small' or 'large', those of the
    smallest (largest) size, or 'tall' or 'short'; relation: one of RELATIONS to the one object that `anchor` (category
    and colour only) selects, or 'between' that one and `second`'s, or between the two that `anchor` selects; ordinal:
    (n from 1, 'left' or 'right').
    """

    category: Optional[str] = None
    color: Optional[str] = None
    position: Optional[str] = None
    size: Optional[str] = None
    relation: Optional[str] = None
    anchor: Optional["Reference"] = None
    ordinal: Optional[Tuple[int, str]] = None
    second: Optional["Reference"] = None

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


def has_color(color: Optional[str], item: SceneObject) -> bool:
    """Whether a colour is said of an object: 'blue' of what is 'dark blue', too; None of every one."""
    return color is None or item.color == color or bool(color) and item.color.endswith(f" {color}")


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
    there = [i for i in pool if objects[i].pixels > 0 and has_color(reference.color, objects[i])]
    if reference.category and any(disputed(reference.category, objects[i].category) for i in there):
        return None
    matches = [i for i in there if means(reference.category, objects[i])]
    if not all(clearly_visible(objects[i], image) for i in matches):
        return None
    matches.sort(key=lambda i: objects[i].visible_box.center[0])
    kept: Optional[Tuple[int, ...]] = tuple(matches)
    if kept and reference.size:
        kept = of_size(reference.size, kept, objects)
    if kept and reference.relation == "between":
        kept = _between(reference, kept, objects, image)
    elif kept and reference.relation:
        anchor = _anchor(reference.anchor, objects, image)
        kept = None if anchor is None or anchor in kept else related(reference.relation, kept, anchor, objects, image)
    if kept and reference.ordinal:
        kept = _single(nth(*reference.ordinal, kept, objects, image))
    if kept and reference.position and len(kept) > 1:
        kept = _single(extreme(reference.position, kept, objects, image))
    return kept


def _between(
    reference: Reference, kept: Tuple[int, ...], objects: Sequence[SceneObject], image: ImageSize
) -> Optional[Tuple[int, ...]]:
    if reference.second is None:
        ends = resolve(reference.anchor, objects, image) if reference.anchor is not None else None
    else:
        found = _anchor(reference.anchor, objects, image), _anchor(reference.second, objects, image)
        ends = None if found[0] is None or found[1] is None else (found[0], found[1])
    if ends is None or len(set(ends)) != 2 or set(ends) & set(kept):
        return None
    return between(kept, ends[0], ends[1], objects, image)


def _single(index: Optional[int]) -> Optional[Tuple[int, ...]]:
    return None if index is None else (index,)


def _anchor(reference: Optional[Reference], objects: Sequence[SceneObject], image: ImageSize) -> Optional[int]:
    found = resolve(reference, objects, image) if reference is not None else None
    return found[0] if found is not None and len(found) == 1 else None


def anchors(objects: Sequence[SceneObject], image: ImageSize) -> List[Tuple[Reference, int]]:
    """What an expression can lean on: the things that their category alone, or with the colour, picks out."""
    found = []
    for index, item in enumerate(objects):
        if item.pixels > 0:
            named = [Reference(item.category), *([Reference(item.category, item.color)] if item.color else [])]
            found += [(r, index) for r in named if r.category != r.color and resolve(r, objects, image) == (index,)]
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
    shaded = sorted({c.split()[1] for c in colors if " " in c} - set(colors))
    plain += [Reference(c, q) for q in shaded for c in (None, *sorted({o.category for o in visible}))]
    plain += [Reference(noun, q) for noun in general for q in (None, *colors)]
    # "the orange orange" says too little; a noun may be both a category and a general one.
    plain = [r for r in dict.fromkeys(plain) if r.category is None or r.category != r.color]
    supports = anchors(objects, image)
    selected = [(r, matches) for r in plain for matches in [resolve(r, objects, image)] if matches]
    gaps = _gaps(selected, supports)
    found = []
    for reference, matches in selected:
        found.append((reference, matches))
        if reference.category:
            found += [
                (replace(reference, relation="between", anchor=a, second=b), inner)
                for a, b, ends in gaps
                if not set(ends) & set(matches)
                for inner in [between(matches, *ends, objects, image)]
                if inner
            ]
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


def _gaps(
    selected: Sequence[Tuple[Reference, Tuple[int, ...]]], supports: Sequence[Tuple[Reference, int]]
) -> List[Tuple[Reference, Optional[Reference], Tuple[int, int]]]:
    """What something can stand between: two things, each named as shortly as can be, or the two of a kind."""
    shortest: Dict[int, Reference] = {}
    for reference, index in supports:
        shortest.setdefault(index, reference)
    found = [(r, None, (m[0], m[1])) for r, m in selected if len(m) == 2 and r.category]
    return [*found, *((shortest[i], shortest[k], (i, k)) for i, k in combinations(shortest, 2))]


def _narrowed(
    reference: Reference,
    matches: Tuple[int, ...],
    objects: Sequence[SceneObject],
    image: ImageSize,
    supports: Sequence[Tuple[Reference, int]],
) -> List[Tuple[Reference, Tuple[int, ...]]]:
    found = [(replace(reference, position=p), _single(extreme(p, matches, objects, image))) for p in EVERY_POSITION]
    found += [
        (replace(reference, ordinal=(n, side)), _single(nth(n, side, matches, objects, image)))
        for side in SIDES
        for n in range(1, min(ORDINAL_MAX, len(matches)) + 1)
    ]
    if reference.category:
        found += [(replace(reference, size=s), of_size(s, matches, objects)) for s in EVERY_SIZE]
        others = [(a, i) for a, i in supports if a.category != reference.category and i not in matches]
        selected = {(r, i): related(r, matches, i, objects, image) for i in {i for _, i in others} for r in RELATIONS}
        found += [(replace(reference, relation=r, anchor=a), selected[r, i]) for a, i in others for r in RELATIONS]
    return [(r, selected) for r, selected in found if selected]


def _redundant(reference: Reference, item: SceneObject, image: ImageSize) -> List[Reference]:
    """What people say of a thing without rivals though they need not."""
    found = [replace(reference, size=item.size)] if item.size in SIZE_CLASSES else []
    place = item.visible_box.center[0] / image.width
    side = "left" if place < OUTER_THIRD else "right" if place > 1 - OUTER_THIRD else ""
    height = item.visible_box.center[1] / image.height
    level = "top" if height < OUTER_THIRD else "bottom" if height > 1 - OUTER_THIRD else ""
    found += [replace(reference, position=p) for p in (side, level, f"{level} {side}") if p in EVERY_POSITION]
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
    categories = {o.category for o in objects}
    result: List[Reference] = []
    while len(result) < count:
        roll = rng.random()
        if roll < 0.5 and categories:
            reference = Reference(category=str(rng.choice(sorted(categories))), color=str(rng.choice(ABSENT_COLORS)))
        elif roll < 0.8:
            reference = Reference(category=str(rng.choice(NOUNS)))
        else:
            reference = Reference(category=str(rng.choice(NOUNS)), color=str(rng.choice(ABSENT_COLORS)))
        if reference.category != reference.color and not any(_perhaps(reference, o) for o in objects):
            result.append(reference if plain else _embellished(reference, rng))
    return result


def _perhaps(reference: Reference, item: SceneObject) -> bool:
    """Whether somebody may call an object so: by a noun that some people say, or because it is of many colours."""
    named = means(reference.category, item) or disputed(reference.category or "", item.category)
    return named and (not item.color or has_color(reference.color, item))


def _embellished(reference: Reference, rng: np.random.Generator) -> Reference:
    roll = rng.random()
    if roll < 0.14:
        return replace(reference, position=str(rng.choice(EVERY_POSITION)))
    return replace(reference, size=str(rng.choice(EVERY_SIZE))) if roll < 0.28 else reference

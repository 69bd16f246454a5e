"""What can be said about an annotated photograph without saying more than its annotation tells.

A rendered scene is known whole, a photograph is not. So:

- A colour is said only where every thing that the noun covers has one: an apple without a colour word may be red, too.
- A colour alone ("the red one") is said only where nothing else lies about (`complete`).
- No size is said, as nobody annotated one.
- Where the line is exhaustive, a noun selects all things that it covers: clear and ambiguous, positions, relations and
  dialogues as in rendered scenes.
- Where it is not, further things of the same name may be in the picture. Two with boxes make a noun ambiguous for sure;
  what one of them is by position, by relation or by being the only one is not sure and is never said. A click settles
  it all the same. Sources that somebody looked at can be read as exhaustive (`read_annotations(whole=…)`).
- Absent is a name that the source's annotators box elsewhere, if the line is exhaustive, or one that no photograph of
  the source has; not if it is like something here (a glass is some people's cup), nor what often lies about unboxed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Collection, List, Set, Tuple

import numpy as np

from clue_ros.photographs.annotations import Photograph
from clue_ros.simulation.paraphrases import instruction
from clue_ros.simulation.queries import ABSENT_SHARE, Query, Selected, State, absent_state, draw, queries_of, states_of
from clue_ros.simulation.referring import Reference, enumerate_references
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.shapes import COLORS
from clue_ros.simulation.teacher import Step, sample_dialogue
from clue_ros.simulation.words import COLOR_WORDS, NOUNS

# Names that people do not keep apart, or that a glance confuses: one is not called absent where another is.
ALIKE: Tuple[frozenset, ...] = tuple(
    frozenset(group.split(", "))
    for group in (
        "mug, cup, glass, wine glass, measuring cup, pencil cup, jar, pitcher, jug, bowl, vase",
        "box, carton, tissue box, book, block, pack of pipe cleaners",
        "bottle, jar, glue bottle, shaker, pepper mill, can, pitcher, jug, vase, toothpaste",
        "orange, mandarin, lemon, lime, peach, apple, pear, mango, ball, tomato",
        "plate, bowl, saucer, tray, pan",
        "pen, marker, markers, pencil, toothbrush, screwdriver",
        "wrench, pipe wrench, ratchet, pliers, screwdriver, hammer, screwdriver set",
        "knife, fork, spoon, spatula, scissors",
        "teddy bear, stuffed toy, dog toy, toy, toy blocks, block, ball",
        "phone, cell phone, remote, remote control, mouse",
        "monitor, screen, tv, laptop, picture frame",
        "cake, donut, pizza, sandwich, hot dog, bread",
    )
)
# What stands or lies about in photographs of other things, mostly without a box.
UNBOXED = frozenset(
    "bag, book, cable, cell phone, dining table, keyboard, laptop, marker, monitor, mouse, paper, pen, phone, picture "
    "frame, potted plant, screen, sink, speaker, tape, toy, tv".split(", ")
)
COLOR_MISS, MISSING = 0.45, 0.35  # shares of what is absent: by the colour only, of the source's own names; or others


def photo_queries(photo: Photograph, rng: np.random.Generator, count: int, clarify_share: float = 0.5) -> List[Query]:
    """`simulation.queries.scene_queries` for a photograph: up to `count` of them, indices those of `photo.objects`.
    Fewer where the annotation allows less; a photograph of one thing in a source that is not exhaustive has little more
    than 'what stands at this point' and what is absent."""
    objects = sayable_objects(photo)
    share = clarify_share if photo.exhaustive else 0.0  # a question must offer all things, and they are not all known
    return queries_of(photo_states(photo, rng, count - 1), objects, photo.size, rng, share)


def photo_states(photo: Photograph, rng: np.random.Generator, count: int) -> List[State]:
    """`simulation.queries.scene_states` for a photograph: up to `count` dialogue states."""
    objects = sayable_objects(photo)
    found = sayable_references(photo, objects)
    if photo.exhaustive:
        return states_of(found, lambda n: absent_references(photo, objects, rng, n), objects, photo.size, rng, count)
    states: List[State] = []
    pools = {"ambiguous": found} if found else {}
    for reference, matches in draw(pools, rng, count):
        text = instruction(reference, rng)
        clicked = [s for s in sample_dialogue(text, matches, objects, photo.size, rng, 1.0) if s.click is not None]
        if clicked and rng.random() < 0.3:
            states.append(State(clicked[-1], "dialogue"))
        else:
            states.append(State(Step(text, (), matches, None), reference.kind()))
    missing = absent_references(photo, objects, rng, int(rng.binomial(count, ABSENT_SHARE)))
    states += [absent_state(r, rng) for r in missing]
    return [states[i] for i in rng.permutation(len(states))[:count]]


def sayable_objects(photo: Photograph) -> Tuple[SceneObject, ...]:
    """The objects as the grammar may see them: those without a noun are out of sight, those whose rivals' colours are
    not all known have none."""
    known: dict = {}
    for item in photo.objects:
        known[item.category] = known.get(item.category, True) and item.color in COLOR_WORDS
    return tuple(
        replace(o, color=o.color if known[o.category] else "", pixels=o.pixels if o.category in NOUNS else 0)
        for o in photo.objects
    )


def sayable_references(photo: Photograph, objects: Tuple[SceneObject, ...]) -> List[Selected]:
    """Every expression that the annotation decides, with what it selects. objects: `sayable_objects`' result."""
    found = enumerate_references(objects, photo.size)
    if not photo.exhaustive:
        return [(r, matches) for r, matches in found if len(matches) > 1 and r.kind() in ("category", "color_category")]
    if photo.complete and all(o.color for o in objects):
        return found
    return [(r, matches) for r, matches in found if r.category]


def absent_references(
    photo: Photograph, objects: Tuple[SceneObject, ...], rng: np.random.Generator, count: int
) -> List[Reference]:
    """Up to `count` references to what surely is not in the picture."""
    here = {o.category for o in photo.objects}
    bare = {o.category for o in objects if not o.color}
    shades = {(o.category, o.color) for o in objects}
    misses = [
        Reference(category, color)
        for category in sorted(here - bare)
        for color in COLORS
        if photo.exhaustive and category in NOUNS and (category, color) not in shades
    ]
    own = set(photo.words_of_source)
    missing = [n for n in sorted(own - here) if photo.exhaustive and n in NOUNS]
    taken = own | alike(here) | (frozenset() if photo.complete else UNBOXED)
    foreign = [n for n in NOUNS if n not in taken]
    pools = [("miss", COLOR_MISS, misses), ("own", MISSING, missing), ("foreign", 1 - COLOR_MISS - MISSING, foreign)]
    pools = [pool for pool in pools if pool[2]]
    limits = np.cumsum([share for _, share, _ in pools])
    found: List[Reference] = []
    for roll in rng.random(count) * limits[-1] if pools else ():
        kind, _, pool = pools[int(np.searchsorted(limits, roll, side="right"))]
        chosen = pool[int(rng.integers(len(pool)))]
        color = list(COLORS)[int(rng.integers(len(COLORS)))] if kind == "foreign" and rng.random() < 0.3 else None
        found.append(chosen if isinstance(chosen, Reference) else Reference(chosen, color))
    return found


def alike(names: Collection[str]) -> Set[str]:
    """The names that somebody may say for one of these, and these."""
    nouns = {word for name in names for word in NOUNS.get(name, ())}
    near = {name for name, words in NOUNS.items() if not nouns.isdisjoint(words)}
    return near.union(names, *(group for group in ALIKE if not group.isdisjoint(names)))

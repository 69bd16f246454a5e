"""What can be said about an annotated photograph without saying more than its annotation tells.

A rendered scene is known whole, a photograph is not. So:

- A colour is said only where every thing that the noun covers has one: an apple without a colour word may be red, too.
- A colour alone ("the red one") is said only where nothing else lies about (`complete`).
- No size is said, as nobody annotated one.
- Kinds are named by their own nouns, and now and then by a general one ("cup", "fruit").
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
from functools import lru_cache
from typing import FrozenSet, List, Optional, Tuple

import numpy as np

from clue_ros.language import kinds as kind_table
from clue_ros.language.kinds import disputed, fits, general_nouns
from clue_ros.photographs.annotations import Photograph
from clue_ros.simulation.paraphrases import instruction
from clue_ros.simulation.queries import ABSENT_SHARE, Query, Selected, State, absent_state, draw, queries_of, states_of
from clue_ros.simulation.referring import Reference, enumerate_references
from clue_ros.simulation.scene import SceneObject
from clue_ros.simulation.shapes import COLORS
from clue_ros.simulation.teacher import Step, sample_dialogue
from clue_ros.simulation.words import COLOR_WORDS, NOUNS

# What stands or lies about in photographs of other things, mostly without a box.
UNBOXED = frozenset(
    "bag, book, chair, cup, game console, keyboard, laptop, marker, mouse, pen, phone, potted plant, remote, screen, "
    "speaker, tape, toy".split(", ")
)
# Colours that one person says where another says the other: what is one of them is not called not to be the other.
CLOSE = tuple(
    frozenset(pair.split())
    for pair in (
        "gray silver", "gray white", "gray black", "silver white", "brown orange", "brown black", "brown red",
        "pink red", "pink purple", "red orange", "orange yellow", "yellow green", "green blue", "blue purple",
    )
)  # fmt: skip
GENERAL_SHARE = 0.4  # of the times that a photograph is asked about: one general noun among those of its kinds
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
    nouns = sorted({noun for item in objects if item.pixels for noun in general_nouns(item.category)})
    general = nouns[int(rng.integers(len(nouns)))] if nouns and rng.random() < GENERAL_SHARE else None
    found = sayable_references(photo, objects, general)
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
    plain = {o.category for o in photo.objects if o.color not in COLOR_WORDS}
    bare = {kind for kind in {o.category for o in photo.objects} if any(near(kind, other) for other in plain)}
    return tuple(
        replace(o, color="" if o.category in bare else o.color, pixels=o.pixels if o.category in NOUNS else 0)
        for o in photo.objects
    )


def sayable_references(
    photo: Photograph, objects: Tuple[SceneObject, ...], general: Optional[str] = None
) -> List[Selected]:
    """Every expression that the annotation decides, with what it selects. objects: `sayable_objects`' result; general:
    a noun that is said beside those of the kinds themselves."""
    found = enumerate_references(objects, photo.size, () if general is None else (general,))
    bare = {o.category for o in objects if not o.color}
    # A general noun covers things of other names, too: their colours have to be known as well.
    found = [(r, m) for r, m in found if not r.color or not r.category or not any(near(r.category, b) for b in bare)]
    if not photo.exhaustive:
        return [(r, matches) for r, matches in found if len(matches) > 1 and r.kind() in ("category", "color_category")]
    return found if photo.complete and not bare else [(r, matches) for r, matches in found if r.category]


def absent_references(
    photo: Photograph, objects: Tuple[SceneObject, ...], rng: np.random.Generator, count: int
) -> List[Reference]:
    """Up to `count` references to what surely is not in the picture."""
    here = {o.category for o in photo.objects}
    bare = {o.category for o in objects if not o.color}
    misses = [
        Reference(kind, color)
        for kind in sorted(here & NOUNS.keys())
        if photo.exhaustive and not any(near(kind, other) for other in bare)
        for color in COLOR_WORDS
        if not _close(color) & {o.color for o in objects if near(kind, o.category)}
    ]
    own = set(photo.words_of_source)
    missing = [n for n in sorted(own & NOUNS.keys()) if photo.exhaustive and not any(near(n, kind) for kind in here)]
    foreign = _unlike(frozenset(own | here) if photo.complete else frozenset(own | here | UNBOXED))
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


@lru_cache(maxsize=None)
def _close(color: str) -> FrozenSet[str]:
    return frozenset((color,)).union(*(pair for pair in CLOSE if color in pair))


@lru_cache(maxsize=4096)
def _unlike(kinds: FrozenSet[str]) -> Tuple[str, ...]:
    """The nouns of the table that nobody says for any of these kinds."""
    return tuple(noun for noun in kind_table.NOUNS if not any(near(noun, kind) for kind in kinds))


@lru_cache(maxsize=None)
def near(noun: str, kind: str) -> bool:
    """Whether somebody may call a thing of a kind so, or the kind is a word for what the noun means."""
    return fits(noun, kind) or disputed(noun, kind) or fits(kind, noun)

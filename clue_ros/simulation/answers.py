"""How a person answers a question about some things: tersely or at length, by what it is or is not, by something else.

Every answer is true, and comes with the objects that it leaves: what a listener may conclude and nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Protocol, Sequence, Tuple

import numpy as np

from clue_ros.simulation.lexicon import POSITIONS, SIZE_CLASSES
from clue_ros.simulation.paraphrases import noun_phrase, pick, relation_phrase
from clue_ros.simulation.referring import Reference, anchors, resolve
from clue_ros.simulation.scene import ImageSize, SceneObject
from clue_ros.simulation.standing import nth
from clue_ros.simulation.utterances import REFUSALS, VERBOSE
from clue_ros.simulation.words import COLOR_WORDS, NOUNS, ORDINALS, SIZE_WORDS

RESTATED, BY_ANOTHER, NEGATIVE, CONTRASTED = 0.10, 0.10, 0.12, 0.12  # shares of the answers
TERSE, PLAIN = 0.4, 0.35  # of the others: one word, "the red one"; the rest are whole sentences


class Offered(Protocol):
    """One answer that a question offers, as `teacher.Option`."""

    @property
    def reference(self) -> Reference: ...

    @property
    def keeps(self) -> Tuple[int, ...]: ...


@dataclass(frozen=True)
class Reply:
    """keeps: the objects that the answer leaves of those that were asked about."""

    text: str
    keeps: Tuple[int, ...]


def reply(
    options: Sequence[Offered],
    target: int,
    remaining: Sequence[int],
    objects: Sequence[SceneObject],
    image: ImageSize,
    rng: np.random.Generator,
    settle: bool = False,
    only_asked: bool = False,
) -> Reply:
    """A true answer to a question about the remaining objects, one of whose options keeps the target.

    settle: nothing weaker than the option itself, because no further question can follow; only_asked: nothing but what
    was asked for, by a person who has just said not to know something else.
    Raises ValueError if no option keeps the target.
    """
    chosen = next((o for o in options if target in o.keeps), None)
    if chosen is None:
        raise ValueError("no option of this question is true: use refusal()")
    others = [o for o in options if o is not chosen]
    roll = rng.random()
    if only_asked and roll < RESTATED + BY_ANOTHER:
        roll = 1 - CONTRASTED  # the option's own name
    if roll < RESTATED:
        said = restated(target, remaining, objects, image, rng)
        if said is not None and set(said.keeps) <= set(chosen.keeps):
            return said
    elif roll < RESTATED + BY_ANOTHER:
        said = by_another(chosen.reference.kind(), target, remaining, objects, image, rng)
        if said is not None and (not settle or len(said.keeps) == 1):
            return said
    elif roll < RESTATED + BY_ANOTHER + NEGATIVE and (len(others) == 1 or len(others) > 1 and not settle):
        rejected = others[int(rng.integers(len(others)))]
        left = tuple(i for i in remaining if i not in rejected.keeps)
        return Reply(negative(rejected.reference, rng), left)
    rival = others[0].reference if len(others) == 1 and roll > 1 - CONTRASTED else None
    return Reply(answer(chosen.reference, rng, None if rival is None else _word(rival, rng)), chosen.keeps)


def answer(reference: Reference, rng: np.random.Generator, other: Optional[str] = None) -> str:
    """How a person names one option. other: a word for the rejected one ('blue', 'bowl'), which is then said too."""
    terse, full = _forms(reference, rng)
    if other:
        rejected = other if reference.kind() == "category" else f"{other} one"
        return pick(("no , {x}", "not the {o} , {x}", "{x} , not the {o}"), rng).format(x=full, o=rejected)
    roll = rng.random()
    if roll < TERSE:
        return terse
    return full if roll < TERSE + PLAIN else pick(VERBOSE, rng).format(x=full)


def negative(reference: Reference, rng: np.random.Generator) -> str:
    """'not the blue one': says what the thing in mind is not."""
    _, full = _forms(reference, rng)
    forms = ["not {x}", "not {x}", "no , not {x}", "i do not mean {x}", "i don't want {x}", "not {x} please"]
    if reference.kind() in ("color_category", "color_only"):
        forms += ["not {w}", "no , not {w}"]
    return pick(forms, rng).format(x=full, w=_word(reference, rng))


def refusal(rng: np.random.Generator, instead: Optional[Reference] = None) -> str:
    """'neither', or 'neither , the green one'."""
    text = pick(REFUSALS, rng)
    return text if instead is None else f"{pick((text, text, 'no'), rng)} , {_forms(instead, rng)[1]}"


def restated(
    target: int, remaining: Sequence[int], objects: Sequence[SceneObject], image: ImageSize, rng: np.random.Generator
) -> Optional[Reply]:
    """The whole thing once more ('the red mug on the left'), which may settle two questions at once; None if that tells
    nothing new."""
    item = objects[target]
    plain = Reference(item.category, item.color or None)
    kept = resolve(plain, objects, image, among=remaining)
    if kept is None or target not in kept:
        return None
    found = [(plain, kept)]
    if len(kept) > 1:
        placed = [Reference(item.category, item.color or None, p) for p in POSITIONS]
        found = [(r, (target,)) for r in placed if resolve(r, objects, image, among=remaining) == (target,)] or found
    reference, kept = found[int(rng.integers(len(found)))]
    if len(kept) == len(remaining):
        return None
    words = f"the {noun_phrase(reference, rng)}"
    return Reply(words if rng.random() < 0.5 else pick(VERBOSE, rng).format(x=words), kept)


def by_another(
    kind: str,
    target: int,
    remaining: Sequence[int],
    objects: Sequence[SceneObject],
    image: ImageSize,
    rng: np.random.Generator,
) -> Optional[Reply]:
    """An answer by something that was not asked for ('the left one' to a question of colour); None if nothing helps."""
    asked = "color_category" if kind == "color_only" else kind
    groups = [(name, refs) for name, refs in _attributes(target, remaining, objects, image) if name != asked]
    for n in rng.permutation(len(groups)):
        references = groups[n][1]
        for m in rng.permutation(len(references)):
            kept = resolve(references[m], objects, image, among=remaining)
            if kept and target in kept and len(kept) < len(remaining):
                return Reply(answer(references[m], rng), kept)
    return None


def _attributes(
    target: int, remaining: Sequence[int], objects: Sequence[SceneObject], image: ImageSize
) -> List[Tuple[str, List[Reference]]]:
    """(kind, references that may be true of the target) by one attribute each."""
    item = objects[target]
    own = {objects[i].category for i in remaining}
    beside = [
        Reference(relation="next_to", anchor=a)
        for a, i in anchors(objects, image)
        if a.category not in own and i not in remaining
    ]
    numbers = [
        Reference(ordinal=(n, "left"))
        for n in range(1, len(ORDINALS))
        if nth(n, "left", remaining, objects, image) == target
    ]
    places = [Reference(position=p) for p in POSITIONS]
    groups = [
        ("position", places),
        ("position", places),
        ("color_category", [Reference(color=item.color)] if item.color else []),
        ("category", [Reference(item.category)]),
        ("size", [Reference(size=s) for s in SIZE_CLASSES]),
        ("relation", beside),
        ("ordinal", numbers),
    ]
    return [(name, references) for name, references in groups if references]


def _forms(reference: Reference, rng: np.random.Generator) -> Tuple[str, str]:
    """('red', 'the red one'): the shortest way to say it, and one that can stand in a sentence."""
    if reference.ordinal:
        number, side = ORDINALS[reference.ordinal[0]], reference.ordinal[1]
        return (
            pick((f"{number} from the {side}", f"the {number} from the {side}"), rng),
            f"the {number} one from the {side}",
        )
    if reference.relation:
        place = relation_phrase(reference, rng)
        return place.replace("that is ", ""), f"the one {place}"
    if reference.position:
        p = reference.position
        at = f"on the {p}" if p in ("left", "right") else f"in the {p}"
        full = [f"the {p} one", f"the {p} one", f"the one {at}", f"the {p} {_noun(reference, rng)}"]
        full += {
            "front": ["the closest one", "the nearest one", "the one in front"],
            "back": ["the farthest one", "the furthest one", "the one at the back"],
            "left": ["the leftmost one"],
            "right": ["the rightmost one"],
            "middle": ["the center one"],
        }[p]
        return pick((p, p, at, f"the {p}"), rng), pick(full, rng)
    if reference.size:
        word = pick(SIZE_WORDS[reference.size], rng)
        return pick((word, f"the {word}"), rng), f"the {word} {_noun(reference, rng)}"
    if reference.color:
        word = pick(COLOR_WORDS[reference.color], rng)
        return pick((word, word, f"the {word}", f"{word} one"), rng), f"the {word} {_noun(reference, rng)}"
    if reference.category is None:
        raise ValueError("a reference to anything at all has no words")
    word = pick(NOUNS[reference.category], rng)
    return word, f"the {word}"


def _noun(reference: Reference, rng: np.random.Generator) -> str:
    return "one" if reference.category is None or rng.random() < 0.6 else pick(NOUNS[reference.category], rng)


def _word(reference: Reference, rng: np.random.Generator) -> str:
    """'blue', 'bowl', 'left', 'small': what tells an option from the others."""
    kind = reference.kind()
    if reference.category and kind == "category":
        return pick(NOUNS[reference.category], rng)
    if kind in ("relation", "ordinal"):
        return ""
    return str(reference.position or reference.size or reference.color)

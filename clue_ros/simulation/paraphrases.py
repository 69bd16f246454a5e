"""One reference in many wordings: polite requests, fragments, other things named beside, the colour after the noun."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from clue_ros.language.kinds import NOUNS as EVERY_NOUN
from clue_ros.language.kinds import kinds_of
from clue_ros.simulation.referring import Reference
from clue_ros.simulation.shapes import COLORS
from clue_ros.simulation.utterances import (
    AMONG,
    CHATTER_AFTER,
    CHATTER_BEFORE,
    DISTRACTED,
    FILLERS,
    INSTRUCTIONS,
    MORE_INSTRUCTIONS,
)
from clue_ros.simulation.words import (
    AMONG_OTHERS,
    ANY_NOUN,
    BETWEEN_MANY,
    COLOR_PHRASES,
    COLOR_WORDS,
    CORNER_PHRASES,
    CORNER_WORDS,
    MORE_POSITION_PHRASES,
    NOUNS,
    ORDINAL_PHRASES,
    ORDINALS,
    PLURALS,
    POSITION_PHRASES,
    RELATION_PHRASES,
    SIZE_WORDS,
    all_words,
)

CORE_SHARE, MORE_SHARE = 0.55, 0.22  # of the frequent wordings, and of the other plain ones
OPPOSITE = {"left": "right", "right": "left", "front": "back", "back": "front", "small": "large", "large": "small"}
_TRAILING = frozenset("that which on to from in at away of by near beside behind between among above below".split())
TYPO_LETTERS = 4  # shorter words are left as they are
ENDING = tuple(t for t in MORE_INSTRUCTIONS if t.endswith(("{n}", "{n} please", "{n} , please")))
_known: set = set()


def pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    """One of them, evenly; ten times faster than Generator.choice, which training feels."""
    return choices[int(rng.random() * len(choices))]


def instruction(
    reference: Reference, rng: np.random.Generator, typo_rate: float = 0.0, chatter_rate: float = 0.0
) -> str:
    """What a person may say who means the reference.

    typo_rate: share of instructions with one misspelt word; chatter_rate: share with words of FILLERS around them. Both
    are for evaluation: the model's text is spell-checked and rid of fillers before it, so it never learns from them.
    """
    text = _instruction(reference, rng)
    if chatter_rate and rng.random() < chatter_rate:
        text = f"{pick(CHATTER_BEFORE, rng)} {text}" if rng.random() < 0.6 else f"{text} {pick(CHATTER_AFTER, rng)}"
    return misspell(text, rng) if typo_rate and rng.random() < typo_rate else text


def plain_instruction(reference: Reference, rng: np.random.Generator) -> str:
    """An instruction in the words that newcomers use, for references by category, colour and position: the demo's."""
    words = str(rng.choice(NOUNS[reference.category] if reference.category else ANY_NOUN))
    if reference.color:
        words = f"{rng.choice(COLOR_WORDS[reference.color])} {words}"
    if reference.position:
        words = str(rng.choice(POSITION_PHRASES[reference.position])).format(n=words)
    return str(rng.choice(INSTRUCTIONS)).format(n=words)


def _instruction(reference: Reference, rng: np.random.Generator) -> str:
    roll = rng.random()
    if roll >= CORE_SHARE + MORE_SHARE:
        for form in _unusual(rng):
            text = form(reference, rng)
            if text:
                return text
    words = noun_phrase(reference, rng)
    # "hand the mug on the left to me" invites a wrong reading, "the mug on the left" at the end does not.
    more = ENDING if _is_long(words) else MORE_INSTRUCTIONS
    template = pick(INSTRUCTIONS if roll < CORE_SHARE else more, rng)
    return _article(template, reference, words).format(n=words)


def _is_long(words: str) -> bool:
    """True if something follows the noun."""
    return bool(_TRAILING & set(words.split()))


def _article(template: str, reference: Reference, words: str) -> str:
    """'a' only for what may be one of several, 'an' before a vowel."""
    if " a {n}" not in template:
        return template
    if reference.position or reference.size or reference.relation or reference.ordinal:
        return template.replace(" a {n}", " the {n}")
    return template.replace(" a {n}", " an {n}") if words[0] in "aeiou" else template


def _unusual(rng: np.random.Generator):
    forms = [fragment, distracted, among]
    return [forms[i] for i in rng.permutation(len(forms))]


def noun_phrase(reference: Reference, rng: np.random.Generator, noun: Optional[str] = None) -> str:
    """'small red mug', 'mug that is red', 'second mug from the left', 'mug next to the bowl': without an article."""
    head = noun or pick(NOUNS[reference.category] if reference.category else ANY_NOUN, rng)
    color = pick(COLOR_WORDS[reference.color], rng) if reference.color else ""
    size = pick(SIZE_WORDS[reference.size], rng) if reference.size else ""
    if reference.position or reference.relation or reference.ordinal or rng.random() > 0.12:
        words = " ".join(w for w in (size, color, head) if w)
    elif color:
        form = pick(COLOR_PHRASES, rng)
        words = form.format(n=" ".join(w for w in (size, head) if w), c=color)
    else:
        words = f"{head} that is {size}" if size else head
    if reference.ordinal:
        number, side = reference.ordinal
        words = pick(ORDINAL_PHRASES, rng).format(o=ORDINALS[number], n=words, s=side)
    if reference.relation:
        words = f"{words} {relation_phrase(reference, rng)}"
    if reference.position:
        words = _placed(reference.position, words, rng)
    return words


def _placed(position: str, words: str, rng: np.random.Generator) -> str:
    """'left mug', 'mug at the upper left corner'."""
    if " " in position:
        vertical, across = (pick(CORNER_WORDS[w], rng) for w in position.split())
        return pick(CORNER_PHRASES, rng).format(v=vertical, h=across, n=words)
    table = POSITION_PHRASES if rng.random() < 0.75 else MORE_POSITION_PHRASES
    forms = table[position] + (AMONG_OTHERS if position == "middle" else ())
    return pick(forms, rng).format(n=words)


def relation_phrase(reference: Reference, rng: np.random.Generator) -> str:
    """'next to the red bowl'. Raises ValueError without a relation."""
    other, relation = reference.anchor, reference.relation
    if other is None or other.category is None or relation is None:
        raise ValueError(f"{reference} has no relation to a thing")
    if relation == "between":
        return _between(other, reference.second, rng)
    place = _named(other, NOUNS, rng)
    link = "that is " if rng.random() < 0.12 else ""
    return link + pick(RELATION_PHRASES[relation], rng).format(a=f"the {place}")


def _named(reference: Reference, words: Dict[str, Tuple[str, ...]], rng: np.random.Generator) -> str:
    """'red bowl', of NOUNS or PLURALS."""
    color = [pick(COLOR_WORDS[reference.color], rng)] if reference.color else []
    return " ".join([*color, pick(words[reference.category or ""], rng)])


def _between(first: Reference, second: Optional[Reference], rng: np.random.Generator) -> str:
    """'between the bowl and the red mug', 'between two mugs'."""
    if second is None:
        return pick(BETWEEN_MANY, rng).format(many=_named(first, PLURALS, rng))
    first, second = (first, second) if rng.random() < 0.5 else (second, first)
    one, other = (f"the {_named(r, NOUNS, rng)}" for r in (first, second))
    return pick(RELATION_PHRASES["between"], rng).format(a=one, b=other)


def fragment(reference: Reference, rng: np.random.Generator) -> str:
    """'mug , red', 'red', 'mug , the left one', 'something red': the least one can say."""
    attribute = reference.color or reference.size or reference.position or reference.relation or reference.ordinal
    if reference.category is None:
        if reference.color is None or reference.kind() != "color_only":
            return ""
        color = pick(COLOR_WORDS[reference.color], rng)
        bare = ("{c}", "{c} please") if color not in NOUNS else ()  # "orange" is a fruit, too
        return pick(
            (*bare, "something {c}", "give me something {c}", "i need something {c}", "the {c} one please"), rng
        ).format(c=color)
    head = pick(NOUNS[reference.category], rng)
    if not attribute:
        return pick(("{n} please", "{n} now", "a {n} please", "{n} , robot", "i need {n}"), rng).format(n=head)
    if reference.color and reference.kind() == "color_category":
        color = pick(COLOR_WORDS[reference.color], rng)
        return pick(
            (
                "{n} , {c}",
                "{n} , {c} please",
                "{n} , the {c} one",
                "the {n} , the {c} one",
                "{c} {n} please",
                "{c} {n} now",
            ),
            rng,
        ).format(n=head, c=color)
    rest = noun_phrase(reference, rng, "one")
    return pick(("{n} , the {r}", "the {n} , the {r}", "give me the {n} , the {r}"), rng).format(n=head, r=rest)


def distracted(reference: Reference, rng: np.random.Generator) -> str:
    """'not the bowls , the red mug', 'the left mug , not the right one': names what is not meant."""
    if reference.category is None:
        return ""
    words, head = noun_phrase(reference, rng), pick(NOUNS[reference.category], rng)
    wrong = ""
    if reference.kind() == "color_category":
        wrong = pick([c for c in COLORS if c != reference.color], rng)
        wrong = "" if wrong == head else wrong  # "the orange orange" says too little
    elif reference.kind() in ("position", "size"):
        wrong = OPPOSITE.get(reference.position or reference.size or "", "")
    if wrong and rng.random() < 0.5:
        return pick(
            (
                "not the {w} one , the {n}",
                "the {n} , not the {w} one",
                "i want the {n} , not the {w} {h}",
                "not the {w} {h} , the {n}",
            ),
            rng,
        ).format(w=wrong, n=words, h=head)
    taken = {r.category for r in (reference, reference.anchor, reference.second) if r is not None and r.category}
    other = pick(EVERY_NOUN, rng)
    while any(kinds_of(other) & kinds_of(noun) for noun in taken):  # "not the cups, the mug" contradicts itself
        other = pick(EVERY_NOUN, rng)
    return pick(DISTRACTED, rng).format(n=words, other=pick(NOUNS[other], rng), others=pick(PLURALS[other], rng))


def among(reference: Reference, rng: np.random.Generator) -> str:
    """'of the mugs , the red one', 'the left one of the red mugs'."""
    narrowed = reference.size or reference.position or reference.relation or reference.ordinal
    if reference.category is None or not (reference.color or narrowed):
        return ""
    many, color = pick(PLURALS[reference.category], rng), reference.color
    if color and narrowed:
        many, color = f"{pick(COLOR_WORDS[color], rng)} {many}", None
    words = noun_phrase(replace(reference, category=None, color=color), rng, "one")
    # "the one on the left of the mugs" would be something else.
    forms = [t for t in AMONG if not (t.startswith("the {n} of") and _is_long(words))]
    return pick(forms, rng).format(many=many, n=words)


def misspell(text: str, rng: np.random.Generator) -> str:
    """The text with one slip of the hand in one word: two neighbours swapped, a letter dropped or doubled.

    Words of at least four letters; the first letter stays; the slip never makes another known word.
    """
    if not _known:
        _known.update(all_words(), FILLERS)
    words = text.split()
    places = [n for n, word in enumerate(words) if len(word) >= TYPO_LETTERS and word.isalpha()]
    for n in rng.permutation(places) if places else ():
        for _ in range(4):
            slipped = _slip(words[n], rng)
            if slipped != words[n] and slipped not in _known:
                return " ".join([*words[:n], slipped, *words[n + 1 :]])
    return text


def _slip(word: str, rng: np.random.Generator) -> str:
    kind, at = int(rng.integers(3)), int(rng.integers(1, len(word)))
    if kind == 0:
        at = min(at, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + (word[at + 1 :] if kind == 1 else word[at] + word[at:])

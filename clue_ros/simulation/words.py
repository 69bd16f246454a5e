"""The words of the tabletop language as tables, and the list of every one of them: the embedded model's vocabulary.

All text is lower case, words and punctuation separated by one space, as the embedded model's tokenizer reads it. The
tables in capitals without MORE_ are the frequent core: what newcomers type, and what episodes of the demo use.
"""

from __future__ import annotations

from typing import Dict, Iterator, Sequence, Tuple

from clue_ros.language import kinds
from clue_ros.language.kinds import words_of
from clue_ros.language.plurals import plural
from clue_ros.simulation.shapes import CATEGORIES, COLORS
from clue_ros.simulation.utterances import (
    AMONG,
    CLICK_WORDS,
    DISTRACTED,
    DONT_KNOW,
    INSTRUCTIONS,
    MORE_INSTRUCTIONS,
    REFUSALS,
    VERBOSE,
)


def _weighted(words: Sequence[str]) -> Tuple[str, ...]:
    """People mostly say the first of several words."""
    return (words[0],) * 3 + tuple(words[1:]) if len(words) > 1 else tuple(words)


# For every noun of language/kinds.py the words that mean the same; first entry: the word that the robot itself uses.
NOUNS: Dict[str, Tuple[str, ...]] = {noun: _weighted(words_of(noun)) for noun in (*CATEGORIES, *kinds.NOUNS)}
PLURALS: Dict[str, Tuple[str, ...]] = {noun: tuple(plural(word) for word in words) for noun, words in NOUNS.items()}
ANY_NOUN = ("thing", "object", "one", "item")
COLOR_WORDS: Dict[str, Tuple[str, ...]] = {
    **{c: (c,) for c in COLORS},
    "purple": ("purple", "purple", "violet"),
    "gray": ("gray", "grey"),
    "brown": ("brown",),
    "pink": ("pink",),
    "silver": ("silver",),
}
SHADES = ("light", "dark")
_SHADED = ("blue", "green", "brown", "gray", "purple")
COLOR_WORDS.update({f"{s} {c}": tuple(f"{s} {w}" for w in COLOR_WORDS[c]) for s in SHADES for c in _SHADED})
SIZE_WORDS: Dict[str, Tuple[str, ...]] = {
    "small": ("small", "small", "small", "little", "smaller", "smallest"),
    "large": ("large", "large", "big", "big", "bigger", "larger", "biggest", "largest"),
    "tall": ("tall", "tallest", "taller"),
    "short": ("short", "shortest", "shorter"),
}
ORDINALS = ("", "first", "second", "third", "fourth")

# {n} is the noun phrase without article.
POSITION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left": ("left {n}", "leftmost {n}", "{n} on the left", "{n} to the left"),
    "right": ("right {n}", "rightmost {n}", "{n} on the right", "{n} to the right"),
    "front": ("front {n}", "closest {n}", "nearest {n}", "{n} in front", "{n} in the front"),
    "back": ("back {n}", "farthest {n}", "furthest {n}", "{n} in the back", "{n} at the back"),
    "middle": ("middle {n}", "{n} in the middle", "center {n}", "{n} in the center"),
    "top": ("top {n}", "upper {n}", "{n} at the top"),
    "bottom": ("bottom {n}", "lower {n}", "{n} at the bottom"),
}
MORE_POSITION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left": ("{n} on the left side", "{n} that is on the left"),
    "right": ("{n} on the right side", "{n} that is on the right"),
    "front": ("{n} at the front", "{n} closest to you", "{n} nearest to you", "{n} that is in front"),
    "back": ("{n} farthest away", "{n} furthest away", "{n} farthest from you", "{n} that is at the back"),
    "middle": ("{n} that is in the middle", "{n} in between", "{n} in the middle of the table"),
    "top": ("{n} on the top", "{n} on the upper side", "{n} which is at the top"),
    "bottom": ("{n} on the bottom", "{n} on the lower side", "{n} which is at the bottom"),
}
# {v}: top or bottom, back or front; {h}: left, right or middle.
CORNER_PHRASES: Tuple[str, ...] = (
    "{v} {h} {n}",
    "{n} at the {v} {h}",
    "{n} on the {v} {h}",
    "{n} in the {v} {h}",
    "{n} at the {v} {h} corner",
    "{n} in the {v} {h} corner",
    "{n} on the {h} {v}",
)
CORNER_WORDS: Dict[str, Tuple[str, ...]] = {
    "top": ("top", "upper"),
    "bottom": ("bottom", "lower"),
    "back": ("back",),
    "front": ("front",),
    "left": ("left", "left", "leftmost"),
    "right": ("right", "right", "rightmost"),
    "middle": ("middle", "center"),
}
# {a}, {b}: the things that the expression leans on, with article.
RELATION_PHRASES: Dict[str, Tuple[str, ...]] = {
    "left_of": ("to the left of {a}", "left of {a}", "on the left of {a}", "on the left side of {a}"),
    "right_of": ("to the right of {a}", "right of {a}", "on the right of {a}", "on the right side of {a}"),
    "next_to": ("next to {a}", "next to {a}", "next to {a}", "beside {a}", "by {a}", "near {a}", "close to {a}"),
    "behind": ("behind {a}",),
    "in_front_of": ("in front of {a}",),
    "above": ("above {a}",),
    "below": ("below {a}", "beneath {a}", "under {a}"),
    "on": ("on top of {a}", "on {a}"),
    "between": ("between {a} and {b}", "in between {a} and {b}", "that is between {a} and {b}"),
}
BETWEEN_MANY = ("between the {many}", "between two {many}", "between two {many}", "in between two {many}")
AMONG_OTHERS = ("{n} among others", "{n} between others", "{n} near the center")  # the middle one
COLOR_PHRASES = ("{n} that is {c}", "{n} that is {c}", "{n} which is {c}", "{n} which color is {c}", "{c} colored {n}")
ORDINAL_PHRASES = (
    "{o} {n} from the {s}",
    "{o} {n} from the {s}",
    "{o} {n} from the {s}",
    "{n} that is {o} from the {s}",
    "{o} {n} on the {s}",
)
ONE_PHRASES: Dict[str, str] = {
    "left": "the left {n}",
    "right": "the right {n}",
    "middle": "the middle {n}",
    "front": "the front {n}",
    "back": "the back {n}",
}
SIGNS_AND_ROLES = ("?", ",", ":", ";", "assistant", "user", "detect", "clarify", "disambiguate")
# What the autoregressive detectors say (ambiguity/autoregressive.py): no text reaches these names, so a person's "no"
# stays a word.
DETECTOR_ANSWERS = ("<yes>", "<no>")
_AFTER_NOUN = frozenset(
    "on in at to from that which is next near behind beside by closest nearest please and , ?".split()
)


def is_noun(words: Sequence[str], at: int) -> bool:
    """Whether "orange" is the fruit where it stands: in "the orange on the left", not in "the orange mug", "the orange
    one" or "orange" alone. words: of a text in lower case; at: an index; True for every word that is no colour's."""
    if not any(words[at] in names for names in COLOR_WORDS.values()):
        return True
    return at > 0 and (at + 1 == len(words) or words[at + 1] in _AFTER_NOUN)


def learn_nouns(category: str, nouns: Sequence[str]) -> None:
    """Makes the nouns of a category that a user brought sayable, the robot's word first; those of the table of kinds
    keep theirs. The embedded model's vocabulary stays as it is."""
    if category not in NOUNS:
        NOUNS[category] = tuple(nouns)
        PLURALS[category] = tuple(plural(noun) for noun in nouns)


def all_words() -> Tuple[str, ...]:
    """Every word of the grammar, sorted: the vocabulary of the embedded model."""
    return tuple(sorted({w for t in _texts() for w in t.split() if not w.startswith("{")}))


def _texts() -> Iterator[str]:
    for noun in kinds.NOUNS:
        for word in words_of(noun):
            yield from (word, plural(word))
    for table in (COLOR_WORDS, SIZE_WORDS, POSITION_PHRASES, MORE_POSITION_PHRASES, CORNER_WORDS, RELATION_PHRASES):
        for phrases in table.values():
            yield from phrases
    for phrases in (
        ANY_NOUN,
        ORDINALS,
        ORDINAL_PHRASES,
        SHADES,
        CORNER_PHRASES,
        BETWEEN_MANY,
        AMONG_OTHERS,
        COLOR_PHRASES,
        INSTRUCTIONS,
        MORE_INSTRUCTIONS,
        DISTRACTED,
        AMONG,
        DONT_KNOW,
        CLICK_WORDS,
        REFUSALS,
        VERBOSE,
        SIGNS_AND_ROLES,
        DETECTOR_ANSWERS,
        CATEGORIES,
        COLORS,
    ):
        yield from phrases
    yield from ONE_PHRASES.values()
    yield "do you mean or , i mean the one please not no in on at front back middle left right an something"
    yield "other another"

"""The noun phrases of an English sentence, by rules: what a caption says is there. Pure functions.

"A red cup sits on a wooden table next to two books." -> "A red cup", "a wooden table", "two books"
"""

from __future__ import annotations

import re
from typing import List, NamedTuple

from clue_ros.language.phrase import COLORS

_DETERMINERS = frozenset(
    "a an the this that these those some several many few another other each every both its their "
    "his her my your our one two three four five six seven eight nine ten".split()
)
_BREAKS = frozenset(
    "and or but with without on in at of to from by for near next beside besides behind under underneath below beneath "
    "above over between among against inside outside into onto across along around through toward towards off up down "
    "is are was were be been being has have had do does did can could will would may might shows show seen see sees "
    "there here it they them he she him who which that what where when while as than then so very also not no "
    "yes front "
    "containing holding wearing filled sits sit sitting stands stand standing lies lie lying rests resting placed "
    "located positioned appears appear looks look made covered surrounded facing isolated featuring includes including "
    "arranged displayed visible depicts depict features i you we".split()
)
# Not things that a box can hold, or not things on the table.
_NOT_THINGS = frozenset(
    "image picture photo photograph view scene background foreground side left right top bottom middle center centre "
    "front back corner edge row group pair set number variety lot bunch couple kind type piece part top-left color "
    "colour area distance way close-up closeup".split()
)
_WORD = re.compile(r"[A-Za-z][\w'-]*")
MAX_WORDS = 5


class NounPhrase(NamedTuple):
    """text[start:end]: the phrase with its determiner; head: without it, lower case, as `detect` wants it."""

    start: int
    end: int
    head: str


def noun_phrases(text: str, colors: bool = False) -> List[NounPhrase]:
    """In order. What stands between words that cannot be part of one (verbs, prepositions, signs); at most MAX_WORDS
    words. The rules know no grammar: a verb that is not in their list stays in a phrase, and `detect` then finds
    nothing for it. colors: also what ends in a colour's word ("the orange", "a traffic light")."""
    found: List[NounPhrase] = []
    run: List["re.Match[str]"] = []
    end = 0
    for word in _WORD.finditer(text):
        lower, gap = word[0].lower(), text[end : word.start()]
        if gap.strip() or lower in _BREAKS and lower not in _DETERMINERS:
            _close(run, found, colors)
        elif lower in _DETERMINERS and run:
            _close(run, found, colors)
        if lower not in _BREAKS or lower in _DETERMINERS:
            run.append(word)
        end = word.end()
    _close(run, found, colors)
    return found


def _close(run: List["re.Match[str]"], found: List[NounPhrase], colors: bool) -> None:
    """Takes the words of `run` as a phrase, if they are one, and empties it."""
    words = [w for w in run if w[0].lower() not in _DETERMINERS]
    kept, first = words[-MAX_WORDS:], run[0].start() if run else 0
    if words and len(words) > MAX_WORDS:
        first = kept[0].start()
    run.clear()
    if not kept or kept[-1][0].lower() in _NOT_THINGS or not colors and kept[-1][0].lower() in COLORS:
        return
    found.append(NounPhrase(first, kept[-1].end(), " ".join(w[0].lower() for w in kept)))

"""What a question about the picture asks for. Rules for the tabletop's English, pure functions.

"what is on the table?"  "which cups do you see?"  "how many red mugs are there?"  "is there a banana?"
"what colour is the ball?"  "where is the green bottle?"  "what is on the left?"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Dict, Optional, Tuple

from clue_ros.language.plurals import plural
from clue_ros.language.positions import DIRECTION_OF
from clue_ros.prompt import clean
from clue_ros.simulation.words import ANY_NOUN, COLOR_WORDS, NOUNS, PLURALS, is_noun

_ANY = frozenset((*ANY_NOUN, "things", "objects", "ones", "items", "everything", "anything", "something", "stuff"))
# Words that a question may hold and that select nothing.
_FRAME = frozenset(
    "what which who where how many much is are was there do does you your can could would see have has i we me my "
    "us in on at of "
    "to the a an any some all every each and or please tell show describe list name count about find look looking now "
    "here this that these those it its they them table tabletop desk scene image picture photo view front side "
    "color colour colors colours kind kinds type types sort else visible standing lying s whats wheres isnt robot hey "
    "hi hello so ok okay just exactly currently right-now detail details detailed".split()
)
_COLOR = re.compile(r"\b(?:what|which) colou?rs?\b|\bcolou?rs? of\b")
_EXISTS = re.compile(
    r"^(?:is|are)(?: there|n't there)?\b|\b(?:do|can|could) you (?:see|find)\b(?! all)|^(?:any|have you)\b|\bis there\b"
)
_OPEN = re.compile(r"\b(?:what|which|describe|list|name|tell|show)\b")


class Kind(Enum):
    LIST = "list"
    COUNT = "count"
    EXISTS = "exists"
    COLOR = "color"
    WHERE = "where"


@dataclass(frozen=True)
class Question:
    """category, color: names of the scene's grammar, None for any; noun: the person's own word for the category, in the
    singular; side: 'left', 'right', 'middle', 'front', 'back', or None; unknown: words that select something nobody
    here knows."""

    kind: Kind
    category: Optional[str] = None
    color: Optional[str] = None
    noun: str = ""
    side: Optional[str] = None
    unknown: Tuple[str, ...] = ()


def understand(text: str) -> Question:
    """A question in words; a bare noun phrase ("the red mugs") asks what there is of it."""
    said = " ".join(re.sub(r"[^\w\s-]", " ", clean(text).replace("'s", " is").replace("n't", " not")).split())
    nouns, color_of = _nouns(), {word: name for name, words in COLOR_WORDS.items() for word in words}
    category, noun = None, ""
    for phrase in sorted(nouns, key=lambda n: -len(n)):
        found = re.search(rf"\b{re.escape(phrase)}\b", said)
        if found and is_noun(said.split(), len(said[: found.start()].split())):
            category, noun = nouns[phrase]
            rest = re.sub(rf"\b{re.escape(phrase)}\b", " ", said)
            break
    else:
        rest = said
    words = rest.split()
    color = next((color_of[w] for w in words if w in color_of), None)
    side = _side(said)
    unknown = tuple(
        dict.fromkeys(
            w
            for w in words
            if w not in _FRAME and w not in _ANY and w not in color_of and w not in DIRECTION_OF and not w.isdigit()
        )
    )
    return Question(kind_of(said), category, color, noun, side, unknown)


def kind_of(said: str) -> Kind:
    """What is asked, by words in lower case without signs."""
    if re.search(r"\bhow many\b|^count\b", said):
        return Kind.COUNT
    if _COLOR.search(said):
        return Kind.COLOR
    if re.search(r"\bwhere\b", said):
        return Kind.WHERE
    if not _OPEN.search(said) and _EXISTS.search(said):
        return Kind.EXISTS
    return Kind.LIST


def _side(said: str) -> Optional[str]:
    found = re.search(
        r"\b(?:on|to|at|in) (?:the |your |my )?(left|right|middle|center|centre|front|back)\b(?! of)", said
    )
    if found is None and re.search(r"\bin front\b(?! of)", said):
        return "front"
    return DIRECTION_OF.get(found[1]) if found else None


def _nouns() -> Dict[str, Tuple[str, str]]:
    """Word for a kind of thing, singular or plural -> (category, singular). Users' own objects are among them."""
    found: Dict[str, Tuple[str, str]] = {}
    for category, words in NOUNS.items():
        for word in words:
            found[word] = category, word
            found.setdefault(plural(word), (category, word))
        for many in PLURALS[category]:
            found.setdefault(many, (category, words[0]))
    return found

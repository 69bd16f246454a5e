"""Words that teach: "this is my thermos", "call it part 17", "forget my thermos", "what do you know?"."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Sequence

from clue_ros.language.owners import OWNERS, without_owner
from clue_ros.prompt import clean

_LEAD = r"(?:(?:hey|ok|okay|look|robot|please|and|from now on|now|so|well)[ ,]+)*"
_THIS = r"(?:this|that|it)(?: one| thing)?(?: here| there)?"
_CALLED = re.compile(
    rf"{_LEAD}(?:(?:you can |i |we |let's |from now on )*(?:call|name) {_THIS}|(?:remember|learn|save|know) {_THIS} as"
    rf"|(?:{_THIS} is|it's|that's|this is) (?:called|named)|(?:its|it's) name is|the name of {_THIS} is) (.+)"
)
_IS = re.compile(rf"{_LEAD}(?:(?:this|that)(?: one| thing)?(?: here| there)? is|that's|here is|here's|these are) (.+)")
_FORGET = re.compile(rf"{_LEAD}(?:you can |please )?(?:forget|unlearn|delete) (?:about )?(.+)")
_KNOW = re.compile(
    rf"{_LEAD}(?:tell me )?(?:what|which things|what things)(?: all)? (?:do you know|have you learn(?:ed|t)"
    r"|have you been taught|did you learn|(?:did|have) i t(?:each|aught) you|were you taught)(?: so far| by now)?"
)
_END = re.compile(r"(?:[ ,]*\b(?:please|from now on|okay|ok|now|robot|thanks))+$")
_NAME = re.compile(r"[a-z0-9' -]{1,60}")
_IDIOMS = frozenset(("a day", "off", "quits", "even", "back", "again"))
_ARTICLES = ("the", "a", "an")


class Lesson(NamedTuple):
    """name: what the thing is to be called; certain: its words can mean nothing else, so that no gesture is needed."""

    name: str
    certain: bool


def lesson_in(text: str) -> Optional[Lesson]:
    """What an utterance teaches; None if it teaches nothing. "This is the red one" needs a gesture to be a lesson."""
    plain = _plain(text)
    called, found = _CALLED.fullmatch(plain), _IS.fullmatch(plain)
    name = (called or found or [plain, ""])[1]
    if not _NAME.fullmatch(name) or name in _IDIOMS:
        return None
    first = name.split()[0]
    certain = called is not None or (first in OWNERS and " " in name) or re.search(r"[a-z] \d+$", name) is not None
    return Lesson(name, certain) if certain or first in _ARTICLES else None


def forgotten_in(text: str, names: Sequence[str]) -> Optional[str]:
    """The name among those that were taught that an utterance wants forgotten."""
    found = _FORGET.fullmatch(_plain(text))
    said = found[1].removeprefix("the ") if found else ""
    meant = [name for name in names if said == name] or [name for name in names if said == without_owner(name)]
    return meant[0] if len(meant) == 1 else None


def asks_what_is_known(text: str) -> bool:
    """Whether an utterance asks what was taught."""
    return _KNOW.fullmatch(_plain(text)) is not None


def teaches(text: str, names: Sequence[str]) -> bool:
    """Whether an utterance is one of these, without a gesture. names: of what was taught."""
    lesson = lesson_in(text)
    certain = lesson is not None and lesson.certain
    return certain or forgotten_in(text, names) is not None or asks_what_is_known(text)


def _plain(text: str) -> str:
    return _END.sub("", clean(text.replace("’", "'")).strip(".!?, "))

"""What of a command names the thing: "put the blue mug on the shelf" is about the blue mug, "the coke can" about a can.

Both functions leave out words. So their answers are for words that a closed vocabulary lacks, and for nothing else.
"""

from __future__ import annotations

import re
from typing import Collection, List, Optional

from clue_ros.language.kinds import noun_of
from clue_ros.language.noun_phrases import NounPhrase, noun_phrases
from clue_ros.language.phrase import without_front
from clue_ros.language.positions import DIRECTION_OF
from clue_ros.prompt import clean

_PLACING = "put place set insert stack hang store stow return throw toss drop".split()  # always somewhere
_MOVING = "move push pull slide carry bring take lift pour".split()
_VERBS = rf"(?:{'|'.join([*_PLACING, *_MOVING, 'give', 'hand', 'pass', 'show', 'hold', 'turn', 'go', 'come'])})"
_INTO = r"(?:into|onto|towards?|(?<!next )(?<!close )(?<!closer )to)"
_AT = (
    "in front of|on top of|next to|close to|closer to|away from|on|in|inside|under|underneath|below|beneath|above|over|"
    "near|beside|behind|between|against|off"
)
_DESTINATIONS = (
    re.compile(rf"^(?P<thing>.*?\S) {_INTO} (?P<where>\S.*)$"),
    re.compile(rf"^(?P<thing>.*\S) (?P<how>{_AT}) (?P<where>\S.*)$"),  # the last one
)
_TO_OR_FROM = ("away from", "closer to")  # never which one
_STARTS = re.compile(rf"(?:{_INTO}|{_AT}|there|here)\b")
_ASIDE = re.compile(r" (?:away|back|down|aside|over there|there|here)$")
_DIRECTION = re.compile(rf"(?:(?:the|your|my) )?(?:far |very )?(?:{'|'.join(DIRECTION_OF)})\b")
_THEN = re.compile(rf"(?:,| and| then|, and)(?: then)? (?:please )?{_VERBS} (?:it|them|that)\b.*$")
_NOT_OF_A_KIND = frozenset("all both every each any no not non un never other another same only half".split())
_BETWEEN = frozenset("up down away back over out off me us please just".split())  # a verb and its thing
_SIGNS = re.compile(r"[^\w\s'-]+")
_CAN = re.compile(r"\bcan\b(?! (?:you|i|we|u|it|he|she|they)\b)")
_ENDS = re.compile(
    r"\b(?:please|kindly|thanks|now|quickly|instead|again|too|then|though|robot|(?:left|right)(?= of))\b"
)
_PARTS = re.compile(r"[\w']+")


def target_of(command: str) -> str:
    """The noun phrase of the thing that a command is about, with its article; the command itself where its form leaves
    a doubt.

    command: "put the blue mug on the shelf" -> "the blue mug"; "pick up the mug and put it away" -> "the mug".
    """
    said = _words(clean(command))
    text = _words(_THEN.sub("", clean(command)))
    rest, determined = without_front(text)
    front = text[: len(text) - len(rest)].split()
    if not determined or not text.endswith(rest) or _STARTS.match(rest):  # "put that on the table"
        return command
    at = max((n for n, word in enumerate(front) if word in _PLACING or word in _MOVING), default=None)
    if at is None:
        return command if text == said else text
    if not set(front[at + 1 : -1]) <= _BETWEEN:  # "put it on the plate" is not about the plate
        return command
    thing = _ASIDE.sub("", rest)
    into, there = (pattern.match(thing) for pattern in _DESTINATIONS)
    if into is not None:
        thing = into["thing"]
    elif there is not None and (front[at] in _PLACING or there["how"] in _TO_OR_FROM):
        thing = there["thing"]
    elif there is not None and not (there["how"] in ("on", "in") and _DIRECTION.match(there["where"])):
        return command  # "take the mug on the shelf" says which one; "move the mug in the sink" may
    return f"{front[-1]} {thing}"


def without_modifiers(text: str, unknown: Collection[str]) -> Optional[str]:
    """The text without unknown words in front of a noun that is known, and without an unknown "of …" or "with …" behind
    one; None if unknown words stand elsewhere too, or turn the meaning round.

    text: "the coke can" -> "the can", "the mug with the handle" -> "the mug"; "the left gizmo", "the non red can" ->
        None.
    unknown: lower case.
    """
    text, left = clean(text), set(unknown)
    if left & _NOT_OF_A_KIND:
        return None
    for phrase in reversed(noun_phrases(_plain(text))):
        words = text[phrase.start : phrase.end].split()
        lacks = [set(_PARTS.findall(word)) & left for word in words]
        if not any(lacks):
            continue
        before = text[: phrase.start].rstrip()
        kept = [word for word, lack in zip(words, lacks) if not lack]
        if not lacks[-1] and _is_noun(kept):
            text = f"{text[: phrase.start]}{' '.join(kept)}{text[phrase.end :]}"
        else:
            thing, _, joined = before.rpartition(" ")
            if joined not in ("of", "with") or not _ends_in_noun(thing):
                return None
            text = thing + text[phrase.end :]
            left.discard(joined)
        left -= set().union(*lacks)
    return None if left else text


def _plain(text: str) -> str:
    """As long as the text: with another noun for "can", which may be a verb, and signs for what ends a phrase."""
    return _ENDS.sub(lambda match: "," * len(match[0]), _CAN.sub("tin", text))


def names_kind(text: str) -> bool:
    """Whether a text ends in a noun of a known kind: "the red mug", not "the red one"."""
    return _ends_in_noun(_words(clean(text)))


def _words(text: str) -> str:
    return " ".join(_SIGNS.sub(" ", text).split())


def _is_noun(words: Collection[str]) -> bool:
    words = list(words)
    return any(noun_of(" ".join(words[start:])) is not None for start in range(len(words)))


def _ends_in_noun(text: str) -> bool:
    phrases: List[NounPhrase] = noun_phrases(_plain(text))
    return bool(phrases) and phrases[-1].end == len(text) and _is_noun(phrases[-1].head.split())

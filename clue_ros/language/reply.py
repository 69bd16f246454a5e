"""What a reply to a question means for the candidates it was asked about. Pure functions.

In this order: agreement and refusal ("yes", "neither", "any of them"), the words of an offered option, positions by
geometry, attributes against what is known of the candidates. Words that decide nothing here come back as `refine`, a
phrase to be put to `detect`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import FrozenSet, List, Optional, Sequence, Tuple

from clue_ros.language.describe import known_attributes
from clue_ros.language.phrase import GENERIC_NOUN, Request, parse_description
from clue_ros.language.positions import Place, choose
from clue_ros.language.questions import options as offered_in
from clue_ros.prompt import clean
from clue_ros.types import Box

_YES = frozenset(
    "yes yeah yep yup sure correct right exactly indeed okay ok true absolutely definitely affirmative".split()
)
_YES_PHRASES = frozenset(
    (
        "that one",
        "this one",
        "that is it",
        "that's it",
        "that is the one",
        "that's the one",
        "that's right",
        "of course",
        "i do",
        "i mean that one",
        "that is right",
        "yes i do",
        "go ahead",
        "it is",
        "yes it is",
    )
)
_NO = frozenset("no nope nah wrong neither none".split())
_NO_PHRASES = frozenset(
    (
        "none of them",
        "none of these",
        "none of those",
        "neither of them",
        "neither one",
        "neither of these",
        "neither of those",
        "not that one",
        "not this one",
        "not that",
        "not those",
        "no i don't",
        "i don't",
        "it is not",
        "it isn't",
        "not at all",
        "the wrong one",
    )
)
_ANY = re.compile(
    r"^(?:(?:any|either|whichever|whatever)(?: (?:one|of them|of these|you like|is fine|will do|works|of the two))*|"
    r"(?:i )?(?:do not|don't) (?:care|mind)|(?:it )?does(?: not|n't) matter(?: to me)?|no preference|you choose|"
    r"your choice|you decide)$"
)
_LOST = re.compile(
    r"^(?:i )?(?:(?:do not|don't|dunno) ?(?:know|remember|understand)?|am not sure|have no idea)$|^no "
    r"idea$|^not sure$|^(?:i'm|i am) not sure$|^what$|^huh$|^hm+$|^maybe$|^dunno$|^pardon$"
)
_OTHER = re.compile(r"^(?:the |that |my )?(?:other|opposite|remaining)(?: one| thing)?$")
_BOTH = re.compile(r"^(?:both|all)(?: of (?:them|these|those))?$")
_NEGATIVE = re.compile(
    r"^(?:no |and )?(?:(?:i )?(?:do not|don't) (?:mean|want|need|like)|definitely not|certainly not|"
    r"(?:it is|it's|that is|that's) not|isn't|not|without|except|but not|(?:anything|everything|all) but|never|neither|"
    r"nor|no)\b"
)
_CLAUSE = re.compile(r"[,.;!?]|(?<!anything )(?<!everything )(?<!all )\bbut\b(?! not\b)")
_POLITE = re.compile(
    r"\b(?:please|thanks|thank you|robot|sorry|oh|uh|um|well|actually|hm+|mm+|i think|i guess|i "
    r"said)\b"
)
_NUMBER_ONLY = re.compile(r"^(?:number )?(\d|one|two|three|four|five|six)$")


class Verdict(str, Enum):
    """KEEP: go on with `kept`; CONFIRMED: `kept` is what the person wants, ask no more; NONE: none of the candidates;
    USELESS: the reply decides nothing; REFINE: ask `detect` for `phrase`."""

    KEEP = "keep"
    CONFIRMED = "confirmed"
    NONE = "none"
    USELESS = "useless"
    REFINE = "refine"


@dataclass(frozen=True)
class Reading:
    """kept: indices of the candidates that remain; for REFINE: `phrase` to detect, `place` to choose by among what it
    finds, and `negative` if that is what the person does not mean; refused: the person said "no" or "neither"."""

    verdict: Verdict
    kept: Tuple[int, ...]
    phrase: str = ""
    place: Place = Place()
    negative: bool = False
    refused: bool = False


def read_reply(
    text: str,
    question: str,
    request: Request,
    boxes: Sequence[Box],
    size: Tuple[float, float],
    words: Sequence[FrozenSet[str]],
    offered: Sequence[Tuple[str, Tuple[int, ...]]] = (),
) -> Reading:
    """What a reply means.

    text: the reply; question: what was asked; request: of the instruction; boxes: of the candidates in pixels of an
    image of `size` (width, height); words: what is known of each candidate (may be empty sets); offered: the options of
    the question as (words, indices), where they are known.
    """
    everything = tuple(range(len(boxes)))
    said = " ".join(re.sub(r"[^\w\s',.;!?-]", " ", clean(text)).split())
    clauses = [" ".join(_POLITE.sub(" ", c).split()) for c in _CLAUSE.split(said)]
    clauses = [c for c in clauses if c]
    known = list(offered) or [(o, _described(o, request, boxes, size, words)) for o in offered_in(question)]
    kept: Optional[Tuple[int, ...]] = None
    rejected: List[int] = []
    refused = confirmed = decided = False
    refine: Optional[Request] = None
    refuse: Optional[Request] = None
    for clause in clauses:
        plain = re.sub(r"^(?:yes|yeah|yep|sure|ok|okay) (?=\S)", "", clause)
        # "right" agrees only where one thing was offered: after "the left one or the right one?" it is a place.
        if (clause in _YES or clause in _YES_PHRASES) and not (clause == "right" and len(known) != 1):
            if len(known) == 1:
                kept, confirmed, decided = _both(kept, known[0][1], everything), True, True
            continue
        if clause in _NO or clause in _NO_PHRASES:
            refused = True
            continue
        if _ANY.match(plain):
            return Reading(Verdict.CONFIRMED, everything)
        if _LOST.match(plain) or _BOTH.match(plain):
            continue
        if _OTHER.match(plain):
            if len(known) == 1:
                rejected += known[0][1]
                decided = True
            continue
        negative = _NEGATIVE.match(plain)
        if negative and plain[: negative.end()] in ("no", "neither"):  # "no the blue one", "neither the green one"
            refused, negative, plain = True, None, plain[negative.end() :].strip()
        body = plain[negative.end() :].strip() if negative else plain
        indices, phrase = _meant(body, request, boxes, size, words, known)
        if negative:
            if indices is not None and len(indices) < len(boxes):
                rejected += indices
                decided = True
            refuse = phrase or refuse
        elif indices is not None:
            kept, decided = _both(kept, indices, everything), True
        elif phrase:
            refine = phrase
    if refused and not decided:  # "no" to "do you mean the left one?"; "neither" to all that was offered
        turned_down = {i for _, members in known for i in members} or set(everything)
        rejected += [i for i in everything if i in turned_down]
        decided = True
    left = tuple(i for i in (everything if kept is None else kept) if i not in rejected)
    if refine is not None and (kept is None or not left):
        return Reading(Verdict.REFINE, left or everything, refine.phrase, refine.place, refused=refused)
    if refuse is not None and not decided:
        return Reading(Verdict.REFINE, everything, refuse.phrase, refuse.place, negative=True)
    if not decided:
        return Reading(Verdict.USELESS, everything)
    if not left:
        gone = refused or kept is None
        return Reading(Verdict.NONE if gone else Verdict.USELESS, () if gone else everything, refused=refused)
    return Reading(Verdict.CONFIRMED if confirmed else Verdict.KEEP, left, refused=refused)


def _meant(
    text: str,
    request: Request,
    boxes: Sequence[Box],
    size: Tuple[float, float],
    words: Sequence[FrozenSet[str]],
    known: Sequence[Tuple[str, Tuple[int, ...]]],
) -> Tuple[Optional[Tuple[int, ...]], Optional[Request]]:
    """(indices that a description keeps, None), or (None, what to ask `detect` for), or (None, None): it says
    nothing."""
    everything = tuple(range(len(boxes)))
    number = _NUMBER_ONLY.match(text)
    if number:
        text = f"number {number[1]}"
    found = parse_description(text)
    if found is None:
        return None, None
    option = _option(found, known)
    if option is not None:
        return option, None
    kept: Optional[Tuple[int, ...]] = None
    attributes = known_attributes(found)
    if attributes and any(words):
        fitting = tuple(i for i in everything if all(a in words[i] for a in attributes))
        if fitting:
            kept = fitting
    if attributes and kept is None:
        noun = found.noun if not found.generic and found.noun not in attributes else request.noun
        noun = GENERIC_NOUN if noun == "one" else noun
        return None, replace(found, phrase=" ".join([*attributes, noun]))
    if found.place:
        pool = everything if kept is None else kept
        chosen = tuple(pool[n] for n in choose(found.place, [boxes[i] for i in pool], size))
        return chosen or None, None
    if kept is not None:
        return kept, None
    if found.generic or found.noun == request.noun:
        return None, None
    fitting = tuple(i for i in everything if set(found.noun.split()) <= words[i]) if any(words) else ()
    return (fitting, None) if fitting and len(fitting) < len(boxes) else (None, found)


def _option(found: Request, known: Sequence[Tuple[str, Tuple[int, ...]]]) -> Optional[Tuple[int, ...]]:
    """The candidates of the one offered option that says the same attributes and place as a description."""
    wanted = (set(known_attributes(found)), found.place)
    if not wanted[0] and not wanted[1]:
        return None
    same = []
    for option, members in known:
        other = parse_description(option)
        if other is not None and members and wanted[0] <= set(known_attributes(other)) and found.place == other.place:
            same.append(members)
    return same[0] if len(same) == 1 else None


def _described(
    option: str, request: Request, boxes: Sequence[Box], size: Tuple[float, float], words: Sequence[FrozenSet[str]]
) -> Tuple[int, ...]:
    """The candidates that an option of a question by somebody else describes; none if that cannot be told."""
    indices, _ = _meant(option, request, boxes, size, words, ())
    return indices or ()


def _both(kept: Optional[Tuple[int, ...]], more: Tuple[int, ...], everything: Tuple[int, ...]) -> Tuple[int, ...]:
    return tuple(i for i in (everything if kept is None else kept) if i in more)

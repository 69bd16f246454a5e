"""What is done about words that a closed vocabulary lacks, before they are given back as unknown.

    "put the blue mug on the shelf"   the thing is known: "the blue mug"
    "the coke can"                    'The word "coke" is new to me. Do you mean the can?'
    "the timepiece"                   "Do you mean the clock?", where synonyms.py is installed

What is said about the thing is never left out or replaced without a yes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable, NamedTuple, Optional, Sequence

from clue_ros.dialogue.phrases import choice, named_thing, offer
from clue_ros.language.commands import names_kind, target_of, without_modifiers
from clue_ros.language.phrase import parse_description
from clue_ros.prompt import clean
from clue_ros.types import Answer, Decision, Outcome, Turn

_FILLERS = re.compile(r"^(?:(?:oh|um|uh|er|well|hmm|so|sorry|hey|robot)\b[,. ]*)+")
_NO = re.compile(
    r"(?:no|nope|nah|not|neither|none|nothing|wrong|i (?:don't|do not|didn't|did not) (?:mean|want)"
    r"(?: that| it| this)?(?: one)?)\b[,. ]*(.*)"
)
_YES = re.compile(
    r"(?:yes|yeah|yep|yup|sure|ok|okay|right|exactly|correct|please|of course|i (?:do|did)(?! not)|"
    r"(?:that|this)(?: one|(?:'s| is) (?:it|right|correct))|any|do it|go ahead)\b[,. ]*(.*)"
)

Decide = Callable[[str, Sequence[Turn]], Decision]  # (expression, turns) -> what the grounder decides
Near = Callable[[str], Optional[str]]  # a word -> the known noun that means nearly the same


class _Offer(NamedTuple):
    """meant: the instruction that a yes stands for."""

    question: str
    meant: str


def settle(
    decision: Decision, decide: Decide, expression: str, turns: Sequence[Turn], may_ask: bool, near: Optional[Near]
) -> Decision:
    """What is decided about an instruction with unknown words.

    decision: that of the grounder, UNKNOWN_WORDS; decide: the grounder; expression, turns, may_ask: as for
    Grounder.ground; near: None without synonyms.
    """
    words = clean(expression)
    if not _are_of(decision.unknown_words, words):
        return decision  # of an answer
    target = target_of(words)
    if target != words:
        found = decide(target, turns)
        if found.outcome is not Outcome.UNKNOWN_WORDS or not _are_of(found.unknown_words, target):
            return found
        decision, words = found, target
    offer = _offer(words, decision.unknown_words, near)
    if offer is None:
        return decision
    rest = [turn for turn in turns if turn.question != offer.question]
    answers = [turn.answer for turn in turns if turn.question == offer.question]
    settled = _answered(decision, decide, offer, answers[-1], rest) if answers else None
    if settled is not None or not may_ask:
        return settled or decision
    there = decide(offer.meant, rest)
    if there.outcome is Outcome.NOT_FOUND:  # no can at all, whatever "coke" means
        return there
    return replace(decision, outcome=Outcome.ASK, question=offer.question, ambiguity=there.ambiguity)


def _are_of(unknown: Sequence[str], words: str) -> bool:
    return set(unknown) <= set(re.findall(r"[\w']+", words))


def _offer(words: str, unknown: Sequence[str], near: Optional[Near]) -> Optional[_Offer]:
    meant = without_modifiers(words, unknown)
    if meant is not None:
        request = parse_description(meant)
        thing = named_thing(meant) or (f"the {request.label}" if request is not None else "")
        return _Offer(offer(unknown, thing), meant) if thing else None
    noun = near(unknown[0]) if near is not None and len(unknown) == 1 else None
    if noun is None:
        return None
    return _Offer(choice([f"the {noun}"]), re.sub(rf"\b{re.escape(unknown[0])}\b", noun, words))


def _answered(
    decision: Decision, decide: Decide, offer: _Offer, answer: Answer, rest: Sequence[Turn]
) -> Optional[Decision]:
    """decision: for a no. None for an answer that is neither yes nor no and names nothing."""
    if answer.point is not None or answer.box is not None:
        return decide(offer.meant, [*rest, Turn(offer.question, Answer(point=answer.point, box=answer.box))])
    more = _FILLERS.sub("", clean(answer.text).strip(".! "))
    agreed = _YES.fullmatch(more)
    more = agreed[1] if agreed is not None else more  # "ok, no"
    refused = _NO.fullmatch(more)
    more = refused[1] if refused is not None else more
    described = parse_description(more)
    told = described is not None and bool(described.attributes or described.place or described.relation)
    if agreed is not None and refused is None:  # "yes, the red one"
        return decide(offer.meant, [*rest, Turn(offer.question, Answer(more))] if told else rest)
    if names_kind(more) or (named_thing(more) and not (described is not None and described.generic)):
        return decide(more, rest)  # "no, the mug"
    if refused is not None:
        return decide(more, rest) if told else decision
    return decide(offer.meant, [*rest, Turn(offer.question, Answer(more))]) if told else None  # "the red one"

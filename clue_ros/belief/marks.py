"""Numbered candidates (Set-of-Mark): "do you mean 1, 2 or 3?", and which one an answer names.

Only a whole answer counts: "two", "number 2", "the second one"; not "the one on the left", nor "the second from the
left", which the model reads itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Callable, Optional, Sequence, Tuple

from clue_ros.belief.belief import Belief
from clue_ros.dialogue.phrases import choice
from clue_ros.types import Box, Decision, Outcome, Turn

LIMIT = 9  # more numbers nobody can tell apart on a picture
_CARDINALS = "zero one two three four five six seven eight nine".split()
_ORDINALS = "zeroth first second third fourth fifth sixth seventh eighth ninth".split()
_AROUND = frozenset(
    "the number mark no nr um uh oh ok okay well please thanks yes it its is i mean want take that this would"
    " be one choose pick box candidate".split()
)
_DIGITS = re.compile(r"#?(\d)(?:st|nd|rd|th)?$")
_QUESTION = re.compile(r"do you mean 1(?:, \d)*(?: or (\d))?\?")


def question(count: int) -> str:
    """ "Do you mean 1, 2 or 3?" for 1 to LIMIT candidates. Raises ValueError for another count."""
    if not 1 <= count <= LIMIT:
        raise ValueError(f"{count} candidates cannot be numbered: 1 to {LIMIT} can")
    return choice([str(n) for n in range(1, count + 1)])


def asked_about(asked: str) -> int:
    """How many numbers a question offers; 0 if it is no question of numbers."""
    found = _QUESTION.fullmatch(" ".join(asked.lower().split()))
    return 0 if found is None else int(found[1] or 1)


def number_in(turn: Turn) -> Optional[int]:
    """The number that a turn's answer names, if its question offered numbers."""
    return number_said(turn.answer.text, asked_about(turn.question))


def number_said(text: str, count: int) -> Optional[int]:
    """The number from 1 to `count` that an answer names, None if it names none or says more than that."""
    words = re.sub(r"[^\w#\s]", " ", text.lower().replace("'", "").replace("’", "")).split()
    said = [(_value(word, count), word) for word in words]
    numbers = [value for value, word in said if value and word != "one"]
    if any(not value and word not in _AROUND for value, word in said) or len(numbers) > 1:
        return None
    if not numbers:  # "one", "number one", but not "this one"
        ones = [n for n, word in enumerate(words) if word == "one"]
        plain = not {"the", "that", "this"} & set(words)
        return 1 if len(ones) == 1 and plain and count >= 1 else None
    return numbers[0] if numbers[0] <= count else None


def numbered(
    decide: Callable[[Sequence[Turn], bool], Decision], turns: Sequence[Turn], may_ask: bool, asks: bool
) -> Decision:
    """What `decide` decides, with its questions asked in numbers and a number understood as an answer.

    decide: turns and may_ask to a decision; asks: whether its own questions become questions of numbers.
    """
    number = number_in(turns[-1]) if turns and asked_about(turns[-1].question) else None
    if number is not None:
        before = decide(turns[:-1], True)
        boxes = _offered(before)
        if number <= len(boxes):
            return replace(
                before, outcome=Outcome.FOUND, box=boxes[number - 1], confidence=1.0, question="", candidates=boxes,
                mask=None,
            )  # fmt: skip
    decision = decide(turns, may_ask)
    boxes = _offered(decision)
    if asks and decision.outcome is Outcome.ASK and len(boxes) > 1:
        return replace(decision, question=question(len(boxes)), candidates=boxes)
    return decision


def _offered(decision: Decision) -> Tuple[Box, ...]:
    """The candidates in the order of their numbers."""
    return Belief.of(decision.candidates[:LIMIT]).ordered().boxes


def _value(word: str, count: int) -> int:
    found = _DIGITS.match(word)
    if found:
        return int(found[1])
    if word == "last":
        return count
    for table in (_CARDINALS, _ORDINALS):
        if word in table[1:]:
            return table.index(word)
    return 0

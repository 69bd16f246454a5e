"""The one prompt builder, used by training, evaluation and serving alike.

A prefix is `detect ‖ C` (ambiguity detector) or `clarify ‖ C` (dialogue and grounding), where the context C is the
instruction U followed by every finished turn: C(k+1) = C(k) ‖ "assistant: " ‖ R ‖ "user: " ‖ H (CLUE, Algorithm 1).
The sequence is: image tokens, <bos>, prefix, "\\n" tokenised on its own, suffix, <eos>.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Optional, Sequence, Tuple

from clue_ros.location import box_to_text, point_to_text
from clue_ros.types import Answer, Box, InvalidAnswerError, InvalidExpressionError, Turn

DETECT, CLARIFY = "detect", "clarify"
ANSWER = "answer"  # a model plays the person (InViG's Oracle); also the name of the adapter that is trained for it
MAX_CHARACTERS = 1000  # of an instruction or an answer
MAX_DIALOGUE = 30_000  # characters of all turns together: twenty questions, the longest answers
# What gives a prompt its form. A closed vocabulary takes none of them from a person, an open one no role with its
# colon.
RESERVED = frozenset({DETECT, CLARIFY, "assistant", "user", ":"})
_SPACES = re.compile(r"\s+")
_ROLE = re.compile(r"\b(assistant|user)[\s:]*:")


def clean(text: str) -> str:
    """Lower-case text on one line that can smuggle in neither a token nor a turn that nobody spoke: control characters,
    '<' and '>' are removed, and the colon behind a role's name ("user: yes")."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'")
    text = "".join(" " if unicodedata.category(c)[0] == "C" or c in "<>" else c for c in text)
    return _SPACES.sub(" ", _ROLE.sub(r"\1 ", text.lower())).strip()


def check_expression(expression: str) -> str:
    """The cleaned instruction. Raises InvalidExpressionError if it is empty or longer than MAX_CHARACTERS."""
    if not isinstance(expression, str):
        raise InvalidExpressionError(f"expected the instruction as text, got {type(expression).__name__}")
    if len(expression) > MAX_CHARACTERS:
        raise InvalidExpressionError(
            f"the instruction has {len(expression)} characters; at most {MAX_CHARACTERS} are accepted: say it shorter"
        )
    cleaned = clean(expression)
    if not any(c.isalnum() for c in cleaned):
        raise InvalidExpressionError('the instruction is empty: say what to look for, for example "the red mug"')
    return cleaned


def check_turns(turns: Sequence[Turn]) -> Tuple[Turn, ...]:
    """The turns as they came. Raises InvalidAnswerError if one is no Turn, InvalidExpressionError if they hold more
    than MAX_DIALOGUE characters."""
    turns = tuple(turns)
    for turn in turns:
        if not isinstance(turn, Turn):
            raise InvalidAnswerError(f"a turn must be Turn(question, Answer(text)), got {str(turn)[:80]}")
    length = sum(len(t.question) + len(t.answer.text) for t in turns)
    if length > MAX_DIALOGUE:
        raise InvalidExpressionError(
            f"the dialogue has {length} characters; at most {MAX_DIALOGUE} are accepted: start a new one"
        )
    return turns


def answer_text(answer: Answer, size: Tuple[float, float]) -> str:
    """An answer as it stands in a prompt; a click or the centre of a box becomes '<locY><locX>'. size: (width, height)
    of the original image in pixels."""
    words = clean(answer.text[:MAX_CHARACTERS])
    point = answer.point if answer.point is not None else (answer.box.center if answer.box is not None else None)
    if point is None:
        return words
    return f"{words or 'this one'} {point_to_text(point, *size)}"


def build_prefix(task: str, expression: str, turns: Sequence[Turn] = (), size: Tuple[float, float] = (1.0, 1.0)) -> str:
    """The prefix text without <bos> and the closing newline. `expression` must come from `check_expression`."""
    exchanges = [(clean(t.question), answer_text(t.answer, size)) for t in turns]
    return linearize(task, expression, exchanges)


def linearize(task: str, expression: str, exchanges: Sequence[Tuple[str, str]] = ()) -> str:
    """The prefix of already cleaned texts: [(question, answer), …]."""
    return " ".join([task, expression, *(f"assistant: {q} user: {a}" for q, a in exchanges)])


def oracle_prefix(
    expression: str, turns: Sequence[Turn], question: str, target: Optional[Box], size: Tuple[float, float]
) -> str:
    """`answer <loc…×4> ‖ C ‖ assistant: Q user:`: what a person with a target in mind is to reply.

    expression: from `check_expression`
    target: pixels; None: nothing in the image is meant
    size: (width, height) of the original image in pixels
    """
    where = box_to_text(target, *size) if target is not None else ""
    context = build_prefix(" ".join(part for part in (ANSWER, where) if part), expression, turns, size)
    return f"{context} assistant: {clean(question)} user:"

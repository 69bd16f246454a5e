"""Sense and nonsense of a generated question."""

from __future__ import annotations

import re
from typing import Tuple

OPEN_QUESTION = "Which one do you mean?"  # where there is no better one

_LEAD = re.compile(r"^\s*do you mean\s+", re.IGNORECASE)
_ARTICLES = ("the", "a", "an")
_SAID_TWICE = frozenset("very really so no yes ok okay that had bye far much".split())
_ASKS = re.compile(
    r"(which|what|where|who|whose|whom|when|why|how|do|does|did|is|are|am|was|were|can|could|shall|should|will|"
    r"would|may|might|have|has|had|isn't|aren't|don't|doesn't)\b",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*,\s*|\s+or\s+")


def options(question: str) -> Tuple[str, ...]:
    """The alternatives of "do you mean A, B or C?", lower case; empty for another form of question."""
    text = question.lower().strip().rstrip("?").strip()
    if not _LEAD.match(text):
        return ()
    return tuple(part for part in _SEPARATOR.split(_LEAD.sub("", text)) if part)


def misleading_words(question: str) -> Tuple[str, ...]:
    """Words that a question offers twice as if they told things apart: ('yellow',) for "do you mean the yellow mug or
    the yellow mug?". Empty if every option is different, or if a repeated one holds no word but article and noun."""
    given = options(question)
    repeated = {option for option in given if given.count(option) > 1}
    words = [word for option in sorted(repeated) for word in option.split()[:-1] if word not in _ARTICLES]
    return tuple(dict.fromkeys(words))


def is_broken(question: str) -> bool:
    """Whether a generated question is noise: no word at all, or a word twice in a row, as on an image of noise (three
    times if people do say it twice). What it is about and how it is punctuated is the model's affair."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]", question.lower())
    if not any(word[0].isalnum() for word in words):
        return True
    if any(a == b and a[0].isalnum() and a not in _SAID_TWICE for a, b in zip(words, words[1:])):
        return True
    return any(a == b == c and a[0].isalnum() for a, b, c in zip(words, words[1:], words[2:]))


def tidy(text: str) -> str:
    """Generated words as a sentence: 'do you mean the red mug , or … ?' -> 'Do you mean the red mug, or …?'.

    A question without its mark gets one; anything else that the model says stays what it is."""
    text = " ".join(text.split())
    for sign in ("?", ",", ".", "!"):
        text = text.replace(f" {sign}", sign)
    if text and text[-1].isalnum() and (_ASKS.match(text) or " or " in text):
        text += "?"
    return text[:1].upper() + text[1:]

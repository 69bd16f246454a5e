"""Sense and nonsense of a generated question."""

from __future__ import annotations

import re
from typing import Tuple

OPEN_QUESTION = "Which one do you mean?"  # where there is no better one

_LEAD = re.compile(r"^\s*do you mean\s+", re.IGNORECASE)
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
    words = [word for option in sorted(repeated) for word in option.split()[:-1] if word != "the"]
    return tuple(dict.fromkeys(words))


def is_broken(question: str) -> bool:
    """Whether a generated question is none: a word twice in a row, as on an image of noise, or no question mark (the limit
    of tokens cut it off)."""
    words = question.lower().replace("?", " ? ").replace(",", " , ").split()
    return "?" not in question or any(a == b for a, b in zip(words, words[1:]))

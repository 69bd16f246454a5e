"""Answers whose words a model may take for their opposite, said in words that it knows. Pure functions.

A model with a closed vocabulary leaves out what it lacks: of "the one that isn't red" it would read "the one that red",
of "none of the above" what is above. And which thing "the second one" is only the question says.
"""

from __future__ import annotations

import re
from typing import Optional

from clue_ros.language.questions import options

_LEAD = (
    r"(?:(?:oh|um|uh|er|well|hmm|so|ok|okay|yes|yeah|please|i mean|i meant|i want|i need"
    r"|i would like|id like|take|give me) )*"
)
_TAIL = r"(?: (?:please|thanks|thank you|robot|i think|i guess))*$"
_NONE = re.compile(
    rf"{_LEAD}(?:no )?(?:none|neither|not any|not one|nothing)(?: one)?"
    r"(?: of (?:the above|the two|those two|these two|the|them|those"
    rf"|these|your options|the options|both|either))?{_TAIL}"
)
_NOT = re.compile(
    rf"{_LEAD}(?:(?:the|any) (?:one|ones|other one) (?:that|which)(?: is|s)?(?: not|nt)"
    r"|(?:the|any) (?:one|ones|other one)"
    r" (?:that|which) (?:isnt|arent|wasnt|aint)|(?:anything|everything|any|all|any one|anyone|every one|whichever)"
    r" (?:but|except|besides|apart from|other than)|(?:the )?non|(?:it|that|this) (?:isnt|is not|aint)) "
    rf"(.+?){_TAIL}"
)
_RANKS = {
    "first": 0, "1st": 0, "former": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "4th": 3,
    "last": -1, "latter": -1,
}  # fmt: skip
_NUMBERS = {"one": 0, "1": 0, "a": 0, "two": 1, "2": 1, "b": 1, "three": 2, "3": 2, "c": 2, "four": 3, "4": 3, "d": 3}
_RANK = re.compile(
    rf"{_LEAD}(?:the )?(?:very )?(?:({'|'.join(_RANKS)})(?: one| option| choice| thing| you said| you mentioned)*"
    rf"|(?:option|choice|number|answer) ({'|'.join(_NUMBERS)})){_TAIL}"
)


def settled(question: str, said: str) -> str:
    """The answer in plain words, as it was said where there are no plainer ones.

    question: what was asked; said: the person's words. "None of the above" becomes "neither", "the one that isn't red"
    "not red", and "the second one" the second of exactly as many things as the question offers.
    """
    plain = " ".join(re.sub(r"[^\w\s]", " ", re.sub("[’']", "", said.lower())).split())
    if _NONE.match(plain):
        return "neither"
    denied = _NOT.match(plain)
    if denied is not None:
        return f"not {denied[1]}"
    return _offered(plain, question) or said


def _offered(plain: str, question: str) -> Optional[str]:
    offered, found = options(question), _RANK.match(plain)
    if found is None or len(offered) < 2 or len(set(offered)) < len(offered):
        return None
    if any(re.search(rf"\b(?:{'|'.join(_RANKS)}|number)\b", option) for option in offered):
        return None  # "the first mug or the second mug": the words are those of a place
    place = _RANKS[found[1]] if found[1] else _NUMBERS[found[2]]
    if (found[1] in ("former", "latter") and len(offered) != 2) or place >= len(offered):
        return None
    return offered[place]

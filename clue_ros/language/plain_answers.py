"""Answers whose words a model may take for their opposite, said in words that it knows. Pure functions.

A model with a closed vocabulary leaves out what it lacks: of "the one that isn't red" it would read "the one that red",
of "none of the above" what is above. And which thing "the second one" is only the question says, or that "this one" and
"red or blue" choose none.
"""

from __future__ import annotations

import re
from typing import Optional, Sequence

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
_ANY = re.compile(
    rf"{_LEAD}(?:just )?(?:(?:any|either|whichever|whatever)(?: one)?(?: of (?:them|these|those|the two|both))?"
    r"(?: (?:is|would be|will be) (?:fine|ok|okay|good)| will do| works| you (?:like|want|prefer))?"
    r"|(?:i )?(?:dont|do not) (?:care|mind)(?: which(?: one)?)?"
    r"|(?:it )?(?:doesnt|does not) matter(?: to me| which(?: one)?)?"
    r"|no preference|you (?:choose|decide|pick)|(?:its )?(?:your choice|up to you)|surprise me"
    rf"|(?:pick|choose|take) (?:any|one)(?: of them)?|(?:they are|theyre) (?:all )?the same){_TAIL}"
)
# Neither tells one of several from the others.
_UNDECIDED = re.compile(
    r"(?:(?:the |that )?(?:other|opposite)(?: one)?"
    r"|(?:this|that|these|those)(?: one| thing)?(?: (?:over )?(?:here|there))?"
    r"|(?:over )?(?:here|there)"
    r"|(?:(?:yes|yeah|yep|yup|sure|ok|okay|hmm?|um+|uh+|er+|huh|what|pardon|sorry|thanks|thank you"
    rf"|please|exactly|correct|say again|repeat that) ?)+){_TAIL}"
)
_LINKS = frozenset("or and the a an one ones either both".split())  # "red or blue" says again what was asked
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
    "not red", "the second one" the second of as many things as the question offers, "any of them" the first, and what
    chooses none of them "i do not know".
    """
    plain = " ".join(re.sub(r"[^\w\s]", " ", re.sub("[’']", "", said.lower())).split())
    if _NONE.match(plain):
        return "neither"
    denied = _NOT.match(plain)
    if denied is not None:
        return f"not {denied[1]}"
    return _offered(plain, question) or (_chosen(plain, options(question)) if plain else None) or said


def _chosen(plain: str, offered: Sequence[str]) -> Optional[str]:
    if len(offered) < 2:
        return None
    if _ANY.match(plain):
        return offered[0]
    each = [set(option.split()) for option in offered]
    said = set(plain.split())
    repeats = said <= set.union(*each) | _LINKS and all((words - set.intersection(*each)) & said for words in each)
    return "i do not know" if repeats or _UNDECIDED.match(plain) else None


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

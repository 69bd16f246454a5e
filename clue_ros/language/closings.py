"""Courtesies at the end of a dialogue, when what is meant was settled: "OK, here you are." – "Thank you!".

English only: words that are not known leave an exchange as it is, so a dialogue in another language is never cut.
"""

from __future__ import annotations

import re
from typing import Sequence

# Each pattern is a whole clause. Neither speaker may say anything about a thing but "it".
_NOD = r"(?:(?:oh|ah|well|hmm?|yes|yeah|yep|ok|okay|sure|then|good|great|fine|nice|perfect|cool|wonderful|right) ?)+"
_POLITE = "|".join(
    (
        r"(?:no problem|of course|all right|alright|certainly|very (?:good|well)|got it|i got it|i see|i understand)",
        r"(?:many )?(?:thanks|thank you)(?: (?:very|so) much| a lot| again| for your help| robot)*",
        r"(?:(?:you re|you are) (?:very |most )?welcome|my pleasure|with pleasure|not at all|don t mention it)",
        r"(?:good ?)?bye(?: ?bye)?|good (?:night|day)|see you(?: later| soon| next time| again)?",
    )
)
_IT = r"(?:it|that|this|them|these|those|that one|this one|the thing)"
_TO = r"(?: (?:over|back|up|down|out|here))?(?: (?:to|for) (?:you|me))?(?: (?:over|now|right (?:now|away)|at once))?"
_NOW = r"(?: (?:now|soon|later|immediately|at once|right (?:now|away)|in a (?:moment|minute|second)))?"
_GIVE = r"(?:get|bring|fetch|take|pass|hand|give|send|pick|grab|wrap|pack|put|hold)"
_ROBOT = "|".join(
    (
        r"here (?:you are|you go|it is|they are)|there you (?:are|go)|this is for you|it s (?:all )?yours|it is yours",
        rf"(?:i ll|i will|let me|i m going to) (?:go (?:and )?)?{_GIVE} (?:you )?{_IT}{_TO}{_NOW}",
        r"(?:please )?(?:wait|just|one)(?: a| for a)?(?: (?:moment|minute|second|while))?(?: please)?",
        r"right away|(?:i ll|i will) be (?:right )?(?:back|there)|coming(?: right)?(?: up)?",
        rf"(?:please )?(?:take|enjoy|keep|have) (?:{_IT}|yourself|your \w+)(?: slowly)?|have fun|take care(?: of it)?",
        r"have a (?:nice|good|great|lovely|pleasant) \w+|anything else|i (?:have )?found it|done",
    )
)
_PERSON = rf"(?:please |can you |could you |just )?{_GIVE} (?:me )?{_IT}{_TO}(?: please)?|please"
# What the robot will bring may be named again; then only thanks tell that nobody was asked to confirm it.
_OFFER = rf"(?:i ll|i will|let me) (?:go (?:and )?)?{_GIVE} \w.*"
_IS_NOD = re.compile(_NOD)
_IS_POLITE = re.compile(_POLITE)
_IS_ROBOTS = re.compile(_ROBOT)
_IS_PERSONS = re.compile(_PERSON)
_IS_OFFER = re.compile(_OFFER)
_CLAUSE = re.compile(r"[.,;:!~…]+|\band\b")
_NOT_A_LETTER = re.compile(r"[^\w]+")


def is_closing(robot: str, person: str) -> bool:
    """Whether an exchange settles nothing: the robot asks nothing and offers no thing to confirm, and the person only
    thanks, agrees, takes leave, or wants "it" handed over. person: '' where nothing was said any more."""
    if "?" in robot or not _only(person, _IS_POLITE, _IS_NOD, _IS_PERSONS, empty=True):
        return False
    if _only(robot, _IS_POLITE, _IS_NOD, _IS_ROBOTS):
        return True
    thanks = _only(person, _IS_POLITE, _IS_NOD, empty=True) and (not person.strip() or _has(person, _IS_POLITE))
    return thanks and _only(robot, _IS_POLITE, _IS_NOD, _IS_ROBOTS, _IS_OFFER)


def closings(exchanges: Sequence[Sequence[str]]) -> int:
    """How many of the last exchanges (robot's words, person's words) are closings."""
    count = 0
    for robot, person in reversed(exchanges):
        if not is_closing(robot, person):
            break
        count += 1
    return count


def _clauses(text: str) -> Sequence[str]:
    parts = _CLAUSE.split(text.replace("?", "").lower())
    return [plain for part in parts if (plain := _NOT_A_LETTER.sub(" ", part).strip())]


def _only(text: str, *patterns: "re.Pattern[str]", empty: bool = False) -> bool:
    clauses = _clauses(text)
    return all(any(p.fullmatch(c) for p in patterns) for c in clauses) if clauses else empty and not text.strip()


def _has(text: str, pattern: "re.Pattern[str]") -> bool:
    return any(pattern.fullmatch(c) for c in _clauses(text))

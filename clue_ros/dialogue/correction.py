"""What a person says about a target that the robot has named: "the other one", "no, the left one", "never mind".

    past = Concluded.of(session)                      # a session that ended with a target
    correction = understand(Answer("no, the left one"))
    session = reopen(past, correction, now=clock())   # a new session with the history
    decision = Regrounding(past, correction)(ask_the_grounder, session.turns, may_ask=session.may_ask)

`regrounding.correct` does all of it in one call. Pure functions from words to values. Only what cannot be a new
instruction is a correction: it has to take back ("no, …", "not …", "wrong one"), to speak of another one, or to repair
("I meant …", "… instead"). "The left mug" alone begins a new dialogue as ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import List, Optional, Tuple

from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import End, Policy
from clue_ros.dialogue.stopping import after_stop, is_stop
from clue_ros.language.questions import OPEN_QUESTION
from clue_ros.types import Answer, Box, Decision, Turn

QUESTION = OPEN_QUESTION  # what the robot would have asked: the words of a correction answer it

_FILLERS = frozenset("oh ok okay well please actually sorry hey robot so ah um uh hmm thanks thank you".split())
_NO = frozenset("no nope nah".split())
# What may follow a "no" without a comma, which speech recognition leaves out: "no the left one", but not "no mugs".
_AFTER_NO = frozenset("the that thats this it its a an not wrong i other another take pick give get hand bring".split())
_REPAIR = r"(?:i (?:mean|meant|said|asked for|wanted)|i did mean)"
_COMMAND = r"(?:(?:take|pick up|pick|grab|get me|get|give me|hand me|bring me|bring|pass me|i want|i need|its|it is) )?"
_DENIAL = re.compile(
    r"(?:not (?:that|this|it|these|those)(?: one| thing)?|not what i (?:mean|meant|want|wanted|said)"
    r"|(?:thats|that is|that was|this is|its|it is)(?: a| the)?"
    r" (?:wrong(?: one)?|not (?:it|right|the one|the right one|that one|this one|what i (?:mean|meant|want|wanted)))"
    r"|(?:that|this) one is (?:wrong|not (?:it|right|the one))|(?:the )?wrong(?: one| thing)?"
    r"|i (?:dont|do not|didnt|did not) (?:mean|want) (?:that|this|it)(?: one)?)(?:$| )"
)
_GOES_FOR = r"(?:take|pick up|pick|grab|get|give me|hand me|bring me|bring|want|mean|touch|use|go for|reach for)"
_FORBIDS = re.compile(
    rf"(?:(?:no|{'|'.join(sorted(_FILLERS))}|,) )*(?:(?:dont|do not) (?:{_GOES_FOR} )?|never mind |forget "
    r"|forget about )"
    r"(?=(?:the|that|this|those|these|my|a|an) )(.+)$"
)
_INSTEAD = re.compile(rf" ?, (?:but |and )?| but | (?=(?:and )?{_GOES_FOR} (?:the|that|this|my|a|an)\b)")
_OTHER = re.compile(rf"(?:{_REPAIR} )?{_COMMAND}(?:the other|another|a different)\b ?(.*)$")


class Kind(Enum):
    """What a correction wants."""

    WITHDRAW = "withdraw"  # no target at all: "never mind"
    OTHER = "other"  # the other one of two
    REJECT = "reject"  # not this one, and none that was rejected before
    NAMED = "named"  # what its words say: "no, the left one"
    POINTED = "pointed"  # what was clicked on


@dataclass(frozen=True)
class Correction:
    """`answer`: the correction as an answer to QUESTION, with text for NAMED and a point or box for POINTED; `said`:
    the person's own words."""

    kind: Kind
    answer: Answer = Answer()
    said: str = ""


@dataclass(frozen=True)
class Concluded:
    """A dialogue that ended with a target: what a correction has to know of it.

    first: the first decision, whose candidates and regions competed; box: the target, in pixels of the image; rejected:
    earlier targets of the same chain of corrections; at: when it ended, in the session's monotonic seconds.
    """

    expression: str
    policy: Policy
    max_questions: int
    turns: Tuple[Turn, ...]
    first: Decision
    box: Box
    at: float
    rejected: Tuple[Box, ...] = ()

    @classmethod
    def of(cls, session: DialogueSession, past: "Optional[Concluded]" = None) -> "Optional[Concluded]":
        """The finished session as something to correct; None if it gave no target. past: what it corrected itself."""
        finish, first = session.finished, session.first_decision
        found = None if finish is None or finish.end is not End.FOUND else finish.decision
        if found is None or found.box is None or first is None:
            return None
        return cls(
            session.expression, session.policy, session.max_questions, session.turns,
            first if past is None else past.first, Box(*found.box),
            session.transcript[-1].at, () if past is None else (*past.rejected, past.box),
        )  # fmt: skip


def understand(answer: Answer, past: Optional[Concluded] = None) -> Optional[Correction]:
    """What an utterance, a click or a drawn box says about the target; None if it is no correction of it.

    past: the dialogue that would be corrected. Its own last answer once more (a double click, a speech recogniser that
    repeats itself), or a click on its target, corrects nothing.
    """
    said = answer.text.strip()
    wanted = after_stop(said)  # "Stop! The left one."
    if past is not None and past.turns and past.turns[-1].answer == replace(answer, text=wanted or said):
        return None
    pointed = answer.point if answer.box is None else (answer.point or Box(*answer.box).center)
    if pointed is not None:
        x, y = pointed
        on_target = past is not None and past.box.x0 <= x <= past.box.x1 and past.box.y0 <= y <= past.box.y1
        return None if on_target else Correction(Kind.POINTED, answer, said)
    if is_stop(said):
        return Correction(Kind.WITHDRAW, said=said)
    not_this, instead = forbidden(wanted or said) or ("", "")
    if instead:
        return Correction(Kind.NAMED, Answer(instead), said)
    if not_this:
        if re.fullmatch(r"(?:that|this|those|these)(?: one| thing)?", not_this):
            return Correction(Kind.REJECT, said=said)
        return Correction(Kind.NAMED, Answer(f"not {not_this}"), said)
    denied, body = _without_no(wanted or said)
    denied = denied or wanted is not None
    if not body:
        polite = "thank" in said.lower()  # "no, thanks": nothing at all
        return Correction(Kind.WITHDRAW if polite else Kind.REJECT, said=said) if denied else None
    denial = _DENIAL.match(body)
    if denial is not None:
        denied, body = True, _trim(body[denial.end() :].split())
        if not body:
            return Correction(Kind.REJECT, said=said)
    other = _OTHER.match(body)
    if other is not None:
        rest = other[1].removesuffix("instead").strip()
        if len(rest.split()) <= 1:  # "the other one", "the other mug"
            return Correction(Kind.OTHER, said=said)
        return Correction(Kind.NAMED, Answer(f"the {rest}"), said)
    words = re.sub(rf"^(?:but )?(?:{_REPAIR} )?{_COMMAND}", "", body)
    repaired = re.match(rf"(?:but )?{_REPAIR} ", body) is not None or body.startswith("not ")
    if body.endswith(" instead"):
        words, repaired = words.removesuffix(" instead"), True
    return Correction(Kind.NAMED, Answer(words), said) if words and (denied or repaired) else None


def forbidden(text: str) -> Optional[Tuple[str, str]]:
    """What a person forbids, and what is wanted instead, empty if nothing: "don't take the red one, take the blue
    one" -> ("the red one", "the blue one"). None for words that forbid nothing, as "don't forget the red one"."""
    plain = re.sub(r"[.!?;,]+", " , ", re.sub("[’']", "", text.lower()))
    found = _FORBIDS.match(" ".join(re.sub(r"[^\w\s,]", " ", plain).split()))
    if found is None:
        return None
    first, *then = _INSTEAD.split(found[1], maxsplit=1)
    instead = _trim(" ".join(then).replace(",", " ").split())
    command = rf"^(?:and |but )?(?:{_REPAIR} |i want |i need )?(?:{_GOES_FOR} )?"
    return _trim(first.split()), re.sub(command, "", instead)


def reopen(
    past: Concluded, correction: Correction, *, now: float, answer_timeout_s: Optional[float] = 30.0,
    timeout_s: Optional[float] = None, min_confidence: Optional[float] = None,
) -> DialogueSession:  # fmt: skip
    """A new session about the same instruction: the earlier turns are its history, and what was named or pointed at
    answers QUESTION. Policy and budget of questions are those of the dialogue that is corrected."""
    turns = past.turns
    if correction.kind in (Kind.NAMED, Kind.POINTED):
        turns = (*turns, Turn(QUESTION, correction.answer))
    return DialogueSession(
        past.expression, past.policy, past.max_questions, answer_timeout_s, timeout_s, now=now,
        min_confidence=min_confidence, history=turns, opening=replace(correction.answer, text=correction.said),
    )  # fmt: skip


def _without_no(said: str) -> Tuple[bool, str]:
    """Whether it begins with a "no" that takes back, and the other words, lower case, without signs and fillers."""
    text = said.lower().replace("’", "'").replace("'", "")
    commas = re.sub(r"[^\w\s,]", " ", text).replace(",", " , ").split()
    denied = False
    while commas and (commas[0] in _FILLERS or commas[0] in _NO or commas[0] == ","):
        word, following = commas[0], commas[1:]
        if word in _NO:
            if following and following[0] not in (*_AFTER_NO, *_NO, *_FILLERS, ",") and following[-1] != "one":
                break
            denied = True
        commas = following
    return denied, _trim([word for word in commas if word != ","])


def _trim(words: List[str]) -> str:
    """Without fillers at both ends."""
    while words and words[0] in _FILLERS | {"but", "wait"}:
        words = words[1:]
    while words and words[-1] in _FILLERS:
        words = words[:-1]
    return " ".join(words)

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

from clue_ros.dialogue.forbidding import forbidden
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import End, Policy
from clue_ros.dialogue.stopping import after_stop, is_stop
from clue_ros.language.kinds import disputed, fits, noun_of
from clue_ros.language.phrase import ATTRIBUTES
from clue_ros.language.positions import DIRECTION_OF
from clue_ros.language.questions import OPEN_QUESTION
from clue_ros.types import Answer, Box, Decision, InvalidExpressionError, Turn

QUESTION = OPEN_QUESTION  # what the robot would have asked: the words of a correction answer it

_FILLERS = frozenset("oh ok okay well please actually sorry hey robot so ah um uh er hmm thanks thank you".split())
_NO = re.compile(r"(?:no+|(?:no){2,}|nope|nah|naw|na|nay|negative)$")
# What may follow a "no" without a comma, which speech recognition leaves out: "no the left one", but not "no mugs".
_AFTER_NO = frozenset("the that thats this it its a an not wrong i other another take pick give get hand bring".split())
_LOOKS = ATTRIBUTES | set(DIRECTION_OF)  # "no, left", "no, the blue"
_REPAIR = r"(?:i (?:mean|meant|said|asked for|wanted|told you)|i did (?:mean|say)|didnt i (?:say|ask for))"
_POLITE = (
    r"(?:(?:can|could|may|would|will|ill|let) (?:i|we|you|me) (?:please )?(?:have|get|take|give me|bring me|pick|try)"
    r"|(?:id|i would|ill) (?:rather|prefer|like|take)(?: to)?(?: have| take| get| see)?|(?:rather|try|better)"
    r"|(?:make|change|switch)(?: it| that)?(?: to)?)"
)
_COMMAND = (
    r"(?:(?:take|pick up|pick|grab|get me|get|give me|hand me|bring me|bring|pass me|i want|i need|its|it is"
    rf"|{_POLITE}) )?"
)
_RIGHT = (
    r"(?:th(?:at|is) one|it|this|that|right|correct|mine"
    r"|the (?:right )?one(?: (?:that )?i (?:mean|meant|want|wanted|said|asked for))?"
    r"(?! (?:on|in|at|to|next|near|by|with|behind|beside|under|above|below|from|that|which)\b)"
    r"|what i (?:mean|meant|want|wanted|said|asked for))"
)
_ITS = r"(?:thats|that is|that was|this is|this was|its|it is|it was|th(?:at|is) one is)"
_ARTICLE = r"(?:the|a|an|my|our|his|her)"
_THING = rf"(?: (?!{_ARTICLE}\b|its\b|thats\b|i\b|but\b|take\b|give\b|{'|'.join(sorted(_LOOKS))})[a-z]+)"
_DENIAL = re.compile(
    rf"(?:not (?:these|those|{_RIGHT})(?: one| thing)?|not (?:quite|really)"
    rf"|{_ITS} (?:incorrect|not(?=$)|not {_RIGHT}|(?:a |the )?wrong{_THING}?)"
    rf"|(?:th(?:at|is)(?: one)?|it) (?:isnt|is not|wasnt|was not|aint)(?: {_RIGHT}|(?=$))"
    rf"|(?:{_ITS} not|(?:th(?:at|is)|it) (?:isnt|is not|wasnt)) {_ARTICLE}"
    r"(?: (?!its\b|thats\b|i\b|take\b|give\b|but\b)\w+)+(?=$)"
    r"|(?:(?:you|youve) )?(?:(?:have|got|picked|took|chose|found|grabbed|gave me|selected|taken|brought me|brought)"
    rf"(?: up)? )*the wrong{_THING}|(?:the )?wrong{_THING}?|incorrect"
    r"|i (?:dont|do not|didnt|did not) (?:mean|want) (?:that|this|it)(?: one)?)(?:$| )"
)
_AGREES = re.compile(
    rf"(?:(?:(?:{_ITS}|youre|you are|all|everythings|everything is)(?: all| very| quite| perfectly| exactly)? )"
    r"(?:right|good|enough|cool|done|lovely|it|all|the (?:right )?one|fine|perfect|correct|great|alright|okay|ok|yes)"
    rf"|fine|perfect|correct|great|alright|{_ITS}|youre|keep (?:it|that|this)(?: one)?)$"
)
# Who says so goes on about the same things where no thing is named: "actually, the blue one".
_CHANGES = re.compile(
    r"(?:(?:oh|ok|okay|no|um|uh|er|hmm|well|wait) )*(?:actually|sorry|rather|instead(?: of th(?:at|is)(?: one)?)?"
    r"|on second thoughts?|(?:id|i would) (?:rather|prefer)|(?:make|change|switch)(?: it| that)?(?: to)?)\b"
)
_NAMELESS = re.compile(rf"\bones?\b|^(?:the )?(?:{'|'.join(sorted(_LOOKS))})$")
_INSTEAD_OF = re.compile(r"^(.+?) (?:instead of|rather than) (?:the|that|this)\b.*$")
_OTHER = re.compile(
    rf"(?:{_REPAIR} )?{_COMMAND}(?:(?:the )?(?:other|next|different)(?= one|$| please|\b.*\binstead)"
    r"|the other|another|a different)\b ?(.*)$"
)


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
    if (denied and _AGREES.match(body)) or re.match(r"not (?:bad|sure|today|again)\b", body):  # "no, that's right"
        return None
    denial = _DENIAL.match(body)
    if denial is not None:
        denied, body = True, _trim(body[denial.end() :].split())
        if not body:
            return Correction(Kind.REJECT, said=said)
    other = _OTHER.match(body)
    if other is not None:
        rest = other[1].removesuffix("instead").strip()
        if len(rest.split()) <= 1:  # "the other one", "the other mug"; but of a mug "another fork" is no other one
            return Correction(Kind.OTHER, said=said) if past is None or _may_be(rest, past) else None
        return Correction(Kind.NAMED, Answer(f"the {rest}"), said)
    plain = " ".join(re.sub(r"[^\w\s]", "", (wanted or said).lower().replace("-", " ")).split())
    changes = _CHANGES.match(body)
    words = body if changes is None else body[changes.end() :].strip() or body
    words = re.sub(rf"^(?:but )?(?:{_REPAIR} )?{_COMMAND}", "", words)
    repaired = re.match(rf"(?:but )?{_REPAIR} ", body) is not None or body.startswith("not ")
    repaired = repaired or (_CHANGES.match(plain) is not None and _NAMELESS.search(words) is not None)
    if body.endswith(" instead"):
        words, repaired = words.removesuffix(" instead"), True
    in_place_of = _INSTEAD_OF.match(words)
    if in_place_of is not None:
        words, repaired = in_place_of[1], True
    if _NO.match(words):  # "I said no"
        return Correction(Kind.REJECT, said=said)
    return Correction(Kind.NAMED, Answer(words), said) if words and (denied or repaired) else None


def refuses(text: str) -> bool:
    """True if the words only say what is not wanted, so that nobody may look for it: "don't take the red one", "you
    took the wrong one", "no". False where something else is wanted."""
    not_this, instead = forbidden(text) or ("", "")
    found = understand(Answer(text))
    return bool(not_this and not instead) or (found is not None and found.kind is Kind.REJECT)


def check_wanted(expression: str) -> None:
    """Raises InvalidExpressionError if the instruction `refuses`."""
    if refuses(expression):
        raise InvalidExpressionError(f"{expression.strip()[:80]!r} says what is not wanted: say what is")


def _may_be(word: str, past: Concluded) -> bool:
    """Whether a word ("one", "mug") may name the kind of thing that the dialogue was about."""
    kind = noun_of(word)
    spoken = [past.expression, *(text for turn in past.turns for text in (turn.question, turn.answer.text))]
    known = {noun for text in spoken for said in re.findall(r"[\w-]+", text.lower()) if (noun := noun_of(said))}
    return (
        kind is None
        or not known
        or any(fits(kind, noun) or fits(noun, kind) or disputed(kind, noun) or disputed(noun, kind) for noun in known)
    )


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
    while commas and (commas[0] in _FILLERS or _NO.match(commas[0]) or commas[0] == ","):
        word, following = commas[0], commas[1:]
        if _NO.match(word):
            alone = not following or following[0] in _AFTER_NO | _FILLERS | {","} or _NO.match(following[0])
            if not alone and following[-1] != "one" and not set(following) <= _LOOKS | _FILLERS:
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

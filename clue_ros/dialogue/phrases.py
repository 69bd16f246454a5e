"""What the robot says when a dialogue ends, and words that name nothing.

Pure functions from values to text; the only module that holds sentences, so that another language is one file.
"""

from __future__ import annotations

import re
from typing import Optional, Sequence

from clue_ros.dialogue.steps import End
from clue_ros.prompt import clean
from clue_ros.types import Answer, Decision

MAX_QUOTED_CHARACTERS = 80
UNSURE = "I think this is it, but I am not sure."

# Answers and politeness that name nothing. Words that may be a whole instruction ("right", "robot", "well") are not
# here.
_NAMELESS = frozenset(
    "yes yeah yep yup no nope nah ok okay sure alright please sorry thanks oh ah uh um hm hmm hey hi hello".split()
)
# What is there to be seen is a question for `chat` and names no thing to give.
_OPEN_QUESTION = re.compile(
    r"\bwhat (?:things |objects |else )?(?:(?:is|are)(?: (?:all|lying|standing|there))*"
    r" (?:here|there|(?:on|in) (?:the|this|my) (?:table|desk|picture|image|photo))"
    r"|(?:do|can) you see(?: (?:here|there|now))?)$"
)
_NAMELESS_PHRASES = re.compile(
    r"\b(?:thank you(?: (?:so|very) much)?|of course|all right|well done"
    r"|(?:good|great|nice) (?:job|work|robot|boy|girl|one)"
    r"|no (?:problem|worries|idea|doubt|way|kidding)|not bad(?: at all)?|(?:i ?a?m )?not sure|not again|you ?a?re right"
    r"|keep (?:it|that|this)(?: one)?|you are welcome|good (?:morning|evening|afternoon|night)"
    r"|(?:(?:that|this|it) ?i?s|th(?:at|is) one is|all|everything ?i?s)(?: all| very| quite| perfectly| exactly)?"
    r" (?:right|good|fine|it|all|enough|perfect|correct|great|alright|okay|ok|lovely|cool|the (?:right )?one|done)"
    r"(?: (?:for (?:now|today)|folks))?|(?:perfect|great|correct|exactly|good|nice|excellent|wonderful|cool|bye|goodbye"
    r"|nothing)(?: else)?)(?=$| (?:thanks|thank you|please|robot|yes|no|ok|okay|sorry|oh)\b)"
)
_THANKS = re.compile(
    r"(?:oh |ok |okay )*(?:thank you|thanks|cheers)(?: (?:so|very) much| a lot)? for\b"
    r"(?!.*\b(?:give|take|get|bring|hand|pass|now)\b)"
)


def names_nothing(text: str) -> bool:
    """True if `text` as a whole is no instruction: agreement, refusal, politeness ("yes", "no thanks", "ok"), or asks
    what there is ("what is on the table?")."""
    said = " ".join(text.lower().split())
    plain = " ".join(re.sub(r"[^\w\s]", " ", re.sub("[’']", "", said)).split())
    words = _NAMELESS_PHRASES.sub("ok", plain).split()
    asked = " ".join(re.sub(r"[^\w\s]", " ", said.replace("what's", "what is")).split())
    return bool(words) and (
        all(word in _NAMELESS for word in words) or any(p.search(asked) for p in (_OPEN_QUESTION, _THANKS))
    )


_HERE = re.compile(r"\b(?:here|this|that|these|those|there)\b")


def speaks_of_place(words: str) -> bool:
    """Whether words need a gesture: "this one", "the one here"."""
    return _HERE.search(words.lower()) is not None


_WISH = r"(?<!would )(?<!\bi )(?<!'d )(?<!\bid )(?<!you )"  # "I would like this one" is about the thing itself
LIKENESS = re.compile(
    rf"\b(?:(?:just |exactly )?{_WISH}like|similar to|(?:the )?same as) (?:this|that|it)\b"
    r"(?: (?:one|thing|here|there))?"
)


def speaks_of_likeness(expression: str) -> bool:
    """Whether an instruction asks for another thing like one that is pointed at: "another one like this"."""
    return LIKENESS.search(clean(expression)) is not None


def closing(end: End, expression: str, decision: Optional[Decision] = None, corrected: bool = False) -> str:
    """The robot's last sentence for the utterance topic; `decision` supplies the unknown words. corrected: the dialogue
    was about another one than the target before."""
    if end is End.FOUND:
        return UNSURE if decision is not None and decision.unsure else "I see it."
    if end is End.NOT_FOUND and corrected:
        return "I see no other one."
    if end is End.NOT_FOUND:
        thing = named_thing(expression)
        return f"I do not see {thing}." if thing else f"I see nothing that fits “{shorten(expression)}”."
    if end is End.UNKNOWN_WORDS:
        return _unknown_words(decision.unknown_words if decision is not None else ())
    if end is End.AMBIGUOUS:
        return "I am still not sure which one you mean."
    if end is End.ANSWER_TIMEOUT:
        return "I did not get an answer, so I stop here."
    if end is End.TIMEOUT:
        return "I ran out of time, so I stop here."
    if end is End.ABANDONED:
        return "All right, never mind."
    return "All right, I stop."


def announced(words: str, expression: str) -> Optional[End]:
    """The end that a line of the robot announces, of `closing` without unknown words; None for any other line."""
    if words == UNSURE:
        return End.FOUND
    forms = ((end, closing(end, expression, None, corrected)) for end in End for corrected in (False, True))
    return next((end for end, form in forms if form == words), None)


def withdrawn(given_up: bool) -> str:
    """After the result the person took the target back; given_up: and wants no other."""
    return "All right, never mind." if given_up else "All right, not that one."


def choice(names: Sequence[str]) -> str:
    """A question that offers the things: ("the red mug", "the blue mug") -> Do you mean the red mug or the blue mug?"""
    return f"Do you mean {', '.join(names[:-1])} or {names[-1]}?" if len(names) > 1 else f"Do you mean {names[0]}?"


def offer(unknown: Sequence[str], thing: str) -> str:
    """(["coke"], "the can") -> The word "coke" is new to me. Do you mean the can?"""
    quoted = " and ".join(f'"{shorten(word, 40)}"' for word in unknown)
    new = f"The word {quoted} is new to me." if len(unknown) == 1 else f"The words {quoted} are new to me."
    return f"{new} {choice([thing])}"


def named_thing(expression: str) -> str:
    """The noun phrase of an instruction, from its first article on: "hand me the mug please" -> "the mug".

    Empty if there is no article to cut at. Good enough to speak of it; the model gets the whole instruction.
    """
    found = re.search(r"\b(?:the|a|an|my|that|this|those|these)\s+\S.*", shorten(expression), flags=re.IGNORECASE)
    if found is None:
        return ""
    return re.sub(r"[\s,]+(?:please|thanks|thank you|now)$", "", found[0], flags=re.IGNORECASE).rstrip(" ,")


def describe_answer(answer: Answer) -> str:
    """An answer as a line of the transcript: its text, and where the person pointed in pixels of the image."""
    parts = [answer.text.strip()] if answer.text.strip() else []
    if answer.point is not None and answer.box is not None:
        parts.append(f"(scribbles around {answer.point[0]:.0f}, {answer.point[1]:.0f})")
    elif answer.point is not None:
        parts.append(f"(points at {answer.point[0]:.0f}, {answer.point[1]:.0f})")
    elif answer.box is not None:
        parts.append(f"(draws a box around {answer.box.center[0]:.0f}, {answer.box.center[1]:.0f})")
    return " ".join(parts)


def shorten(text: str, limit: int = MAX_QUOTED_CHARACTERS) -> str:
    """`text` on one line with at most `limit` characters; a cut is marked by an ellipsis."""
    text = " ".join(text.split()).rstrip(".!?")
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _unknown_words(words: Sequence[str]) -> str:
    if not words:
        return "I do not know some of these words."
    if len(words) == 1:
        return f'I do not know the word "{shorten(words[0])}".'
    shown = [f'"{shorten(word, 40)}"' for word in words[:5]]
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return "I do not know the words " + ", ".join(shown) + more + "."

"""Lessons by voice, as a part of the pure machine (turn_taking.py): what is to be taught, and the questions about it.

A lesson is an act (Teach, Forget, Recount) whose player reports back; what the robot then says, and whether it asks, is
decided here, so that node and replay say the same. A question of a lesson waits QUESTION_S for its answer, and anything
that is none drops it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple, Optional, Sequence

from clue_ros.dialogue.acts import Acts, Forget, Recount, Say, Teach
from clue_ros.dialogue.lesson_words import asks_what_is_known, forgotten_in, lesson_in
from clue_ros.dialogue.phrases import shorten, withdrawn
from clue_ros.language.owners import spoken
from clue_ros.types import Answer

QUESTION_S = 30.0  # how long a question of a lesson is open, and how long a gesture waits for words that teach
_YES = re.compile(r"(?:yes|yeah|yep|yup|sure|ok|okay|do it|please do|right|exactly)\b.*")
_NO = re.compile(r"(?:no|nope|nah|don't|do not|rather not)\b.*")


class Told(Enum):
    """How a lesson went."""

    DONE = "done"
    NO_PLACE = "no_place"  # nothing says which thing is meant
    KNOWN = "known"  # the model has words for this name
    REFUSED = "refused"


class Report(NamedTuple):
    """What came of a lesson. names: of everything that is taught now; views: of the thing; why: it was refused."""

    told: Told
    names: Sequence[str] = ()
    views: int = 0
    why: str = ""


class Shown(NamedTuple):
    """What "this" may mean: a place in the image, and what is needed to see that image again (None: the camera's)."""

    answer: Answer
    scene: Any = None


@dataclass(frozen=True)
class _Question:
    about: Teach
    shadow: bool  # it asks whether to hide what the model knows; else for a place
    until: float


class Lessons:
    """At most one question. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._question: Optional[_Question] = None

    def wants_place(self, now: float) -> bool:
        """Whether the next gesture shows what is to be taught."""
        question = self._question
        return question is not None and not question.shadow and now < question.until

    def drop(self) -> Acts:
        """Words of stopping end a lesson."""
        question, self._question = self._question, None
        return () if question is None else (Say(withdrawn(True)),)

    def close(self) -> None:
        """Something else begins."""
        self._question = None

    def point(self, answer: Answer) -> Acts:
        """A gesture while `wants_place`."""
        assert self._question is not None
        about, self._question = self._question.about, None
        return (replace(about, shown=answer, scene=None),)

    def answer(self, text: str, now: float) -> Acts:
        """Words that may answer the question of a lesson; nothing if they do not."""
        question, self._question = self._question, None
        said = text.lower().strip(" .!,")
        if question is None or now >= question.until or not question.shadow:
            return ()
        if _NO.fullmatch(said):
            return (Say(withdrawn(True), text),)
        return (replace(question.about, shadow=True, said=text),) if _YES.fullmatch(said) else ()

    def hear(self, text: str, names: Sequence[str], shown: Optional[Shown]) -> Acts:
        """Words that begin a lesson; nothing if they do not. names: of what is taught."""
        lesson = lesson_in(text)
        if lesson is not None and (lesson.certain or shown is not None):
            return (Teach(lesson.name, *((shown.answer, shown.scene) if shown else (None, None)), said=text),)
        name = forgotten_in(text, names)
        if name is not None:
            return (Forget(name, text),)
        return (Recount(text),) if asks_what_is_known(text) else ()

    def report(self, act: "Teach | Forget | Recount", report: Report, now: float) -> Acts:
        """What the robot says about a lesson that its player has carried out."""
        self._question = None
        if report.told is Told.REFUSED:
            return (Say(f"I cannot do that: {shorten(report.why, 160)}."),)
        if isinstance(act, Recount):
            known = [spoken(name) for name in report.names]
            listed = " and ".join(known) if len(known) < 3 else f"{', '.join(known[:-1])} and {known[-1]}"
            return (Say(f"You showed me {listed}." if known else "Nobody has shown me anything yet."),)
        if isinstance(act, Forget):
            return (Say(f"I have forgotten {spoken(act.name)}."),)
        if report.told is Told.DONE:
            seen = f", seen {report.views} times" if report.views > 1 else ""
            return (Say(f"Now I know {spoken(act.name)}{seen}."),)
        known_word = report.told is Told.KNOWN
        self._question = _Question(act, known_word, now + QUESTION_S)
        if known_word:
            return (Say(f"I already know the word “{act.name}”. Shall I call only this one so from now on?"),)
        return (Say(f"Which one is {spoken(act.name)}? Click on it, or draw a box around it."),)

"""The words in which a dialogue session and its caller talk: policies, steps, ends, lines of the transcript."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Optional, Union

from clue_ros.types import Decision

PERSON = "person"
ROBOT = "robot"


class Policy(str, Enum):
    """When the robot may ask; the constants of action/Ground have the same names."""

    ASK = "ask"  # when the instruction is ambiguous
    BEST_GUESS = "best_guess"  # never: the likeliest box
    FAIL = "fail"  # never: an ambiguous instruction fails
    ASK_UNTIL_CONFIDENT = "ask_until_confident"  # also when the box's confidence is low; then the best box

    @property
    def asks(self) -> bool:
        return self in (Policy.ASK, Policy.ASK_UNTIL_CONFIDENT)


class End(str, Enum):
    """How a dialogue ended."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    UNKNOWN_WORDS = "unknown_words"
    AMBIGUOUS = "ambiguous"  # policy FAIL, or the budget of questions is spent and it is still ambiguous
    ANSWER_TIMEOUT = "answer_timeout"
    TIMEOUT = "timeout"
    CANCELED = "canceled"  # the client asked
    ABANDONED = "abandoned"  # words of stopping: "stop", "never mind"


@dataclass(frozen=True)
class Utterance:
    """One line of the transcript. `speaker` is PERSON or ROBOT, `at` in the caller's monotonic seconds."""

    speaker: str
    text: str
    at: float


@dataclass(frozen=True)
class Ask:
    """Put `question` to the person, then call `on_answer`."""

    question: str


@dataclass(frozen=True)
class Continue:
    """Run the grounder (again) with `session.turns` and `session.may_ask`, then call `on_decision`."""


@dataclass(frozen=True)
class Ignored:
    """The event changed nothing; `reason` is one sentence for a log or a service response."""

    reason: str


@dataclass(frozen=True)
class Finish:
    """The dialogue is over. `decision`: the last one, None if the model gave none; `words`: what the robot says."""

    end: End
    decision: Optional[Decision]
    words: str


Step = Union[Ask, Continue, Ignored, Finish]

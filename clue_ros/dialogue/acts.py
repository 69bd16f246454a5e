"""The words in which the turn-taking of a conversation and its caller talk: rules, instructions, dialogues, and acts.

An event makes acts (turn_taking.py), and the caller carries them out in their order: the ROS node with an executor and
messages, the replay of a bag at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Optional, Tuple, Union

from clue_ros.dialogue.correction import Concluded, Correction, reopen
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Continue, Finish, Policy
from clue_ros.types import Answer

MAX_CHARACTERS = 1000  # of an instruction or an answer
REMEMBERED = 4  # utterances of the robot that a microphone may still bring back


@dataclass(frozen=True)
class Rules:
    """The node's parameters of the same names (docs/interfaces.md). Times in seconds.

    speech_mode: 'start': words may begin a dialogue, or one that corrects; 'answer': they only answer and take back;
    'off': they only stop. taught: names of what was taught; None: nothing can be.
    """

    speech_mode: str = "start"
    correction_window_s: float = 10.0
    point_window_s: float = 3.0
    taught: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What begins a dialogue. Times in seconds; None: no limit.

    spoken: nobody but the person waits for its result, so newer words may replace it; pointing: the place that came
    with the words; dialogue: its id; corrects: the id of the dialogue that it corrects, empty if none.
    """

    expression: str
    policy: Policy = Policy.ASK
    max_questions: int = 3
    answer_timeout_s: Optional[float] = 30.0
    timeout_s: Optional[float] = None
    wait_for_image_s: float = 2.0
    min_confidence: Optional[float] = None
    spoken: bool = False
    pointing: Optional[Answer] = None
    dialogue: str = ""
    corrects: str = ""


@dataclass(frozen=True)
class Target:
    """A target that may still be corrected. scene: what the caller gave to see it again, freed with the window;
    until: monotonic seconds."""

    past: Concluded
    instruction: Instruction
    scene: Any
    until: float


@dataclass(frozen=True)
class Reopening:
    """What a dialogue that corrects another begins with; `said` as an answer in the person's own words."""

    target: Target
    correction: Correction
    said: Answer


class Dialogue:
    """One dialogue as the rules see it. Its player tells it `looks` and `sees`, and asks `session` for the steps."""

    def __init__(self, instruction: Instruction, now: float, reopening: Optional[Reopening] = None) -> None:
        """now: monotonic seconds at which its words were heard."""
        self.instruction = instruction
        self.reopening = reopening
        self.stopped = False  # from outside; its player has yet to close it
        self.image_until: Optional[float] = None  # while it waits for an image: until when
        limits = {
            "now": now, "answer_timeout_s": instruction.answer_timeout_s, "timeout_s": instruction.timeout_s,
            "min_confidence": instruction.min_confidence,
        }  # fmt: skip
        if reopening is None:
            policy, budget = instruction.policy, instruction.max_questions
            self.session = DialogueSession(instruction.expression, policy, budget, **limits)
        else:
            self.session = reopen(reopening.target.past, reopening.correction, **limits)

    @property
    def past(self) -> Optional[Concluded]:
        """The dialogue that it corrects."""
        return None if self.reopening is None else self.reopening.target.past

    def looks(self, now: float) -> None:
        """It waits for an image from now on, and not for ever."""
        self.image_until = now + self.instruction.wait_for_image_s

    def sees(self) -> None:
        """It has its image."""
        self.image_until = None


class Cause(Enum):
    """Why a dialogue was stopped from outside."""

    PREEMPTED = "preempted"  # a newer one took over
    CANCELED = "canceled"  # its client gave it up
    NOT_ACTIVE = "not_active"  # nobody listens any more
    NO_IMAGE = "no_image"  # none came in time
    ABANDONED = "abandoned"  # the person said stop while it waited behind another


class Why(Enum):
    """Why words came to nothing."""

    MODE = "mode"  # speech_mode
    SPEAKS = "speaks"  # the robot itself
    REFUSED = "refused"  # they make no instruction, or no answer
    TURN = "turn"  # nothing that is open takes them


@dataclass(frozen=True)
class Begin:
    """Play this dialogue. waits: not before its Admit."""

    dialogue: Dialogue
    waits: bool = False


@dataclass(frozen=True)
class Admit:
    """The turn of a dialogue that waited has come."""

    dialogue: Dialogue


@dataclass(frozen=True)
class Proceed:
    """The dialogue goes on (Continue) or is over (Finish); said: the words or the place that did it, None: time."""

    dialogue: Dialogue
    step: Union[Continue, Finish]
    said: Optional[Answer] = None


@dataclass(frozen=True)
class Stop:
    """End this dialogue, whatever it does; then close it."""

    dialogue: Dialogue
    cause: Cause


@dataclass(frozen=True)
class TakeBack:
    """A target holds no longer, and no other is looked for. instruction: of the withdrawal, with an id of its own and
    that of the dialogue in `corrects`; words: the robot's, empty if it has said them already."""

    instruction: Instruction
    reopening: Reopening
    words: str


@dataclass(frozen=True)
class Ignore:
    """It changed nothing; `reason` is one sentence for a log or a service response."""

    why: Why
    reason: str


@dataclass(frozen=True)
class Teach:
    """Keep a view of what was shown under this name, then report (lessons.py). shown: a place in the image, None: the
    only thing that is there; scene: what its image was, None: the camera's newest; shadow: the name may hide words that
    the model knows; said: the person's words."""

    name: str
    shown: Optional[Answer] = None
    scene: Any = None
    shadow: bool = False
    said: str = ""


@dataclass(frozen=True)
class Forget:
    """Drop what is taught under this name, then report."""

    name: str
    said: str = ""


@dataclass(frozen=True)
class Recount:
    """Report what is taught."""

    said: str = ""


@dataclass(frozen=True)
class Say:
    """The robot says these words, outside any dialogue; said: the person's, if they were not told yet."""

    words: str
    said: str = ""


Act = Union[Begin, Admit, Proceed, Stop, TakeBack, Ignore, Teach, Forget, Recount, Say]
Acts = Tuple[Act, ...]

"""What goes into the replay of a bag and what comes out of it: frames, words, gestures; dialogues and what came to
nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, List, NamedTuple, Optional, Union

import numpy as np

from clue_ros.dialogue.acts import Rules
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Policy
from clue_ros.types import Answer, Box, Decision

NS = 10**9
WITHDRAWN = "withdrawn"  # the outcome of words that take the last target back


@dataclass(frozen=True)
class ReplaySettings:
    """The node's parameters of the same names, with its defaults. `threshold` None: the model's own."""

    threshold: Optional[float] = None
    max_questions: int = 3
    answer_timeout_s: float = 30.0
    max_image_age_s: float = 1.0
    wait_for_image_s: float = 2.0
    correction_window_s: float = 10.0
    point_window_s: float = 3.0
    mute_after_utterance_s: float = 0.0
    min_confidence: Optional[float] = None
    speech_policy: str = Policy.ASK.value
    question_policy: str = "learned"

    @property
    def rules(self) -> Rules:
        return Rules("start", self.correction_window_s, self.point_window_s)


class Frame(NamedTuple):
    """time, stamp: ns; stamp 0: the driver does not stamp. rgb() decodes it and may raise a ClueError."""

    time: int
    stamp: int
    rgb: Callable[[], np.ndarray]


class Heard(NamedTuple):
    """index: of this message among everything that is said."""

    time: int
    text: str
    index: int


class Pointed(NamedTuple):
    """Somebody points at a place in the image; answer: a click, in pixels, or None with the reason why it is none."""

    time: int
    answer: Optional[Answer]
    reason: str = ""


Event = Union[Frame, Heard, Pointed]


@dataclass
class Played:
    """One dialogue.

    number: counts dialogues from 1; corrects: the number of the one whose target it corrects; heard: ns, when its words
    came; index: of these words (-1: a gesture); image_stamp: ns, of the frame that was taken (its arrival where the
    driver does not stamp), None if none was; outcome: an `End` value, 'withdrawn' (words that took the target back),
    'no_image', 'invalid_image', 'unsupported_encoding', 'preempted', 'error'; seconds: spent in the model and in
    decoding the frame.
    """

    number: int
    heard: int
    index: int
    session: DialogueSession
    corrects: Optional[int] = None
    image_stamp: Optional[int] = None
    outcome: str = ""
    reason: str = ""
    decisions: List[Decision] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def words(self) -> str:
        """What the person began it with: the instruction, or the correction."""
        return self.session.transcript[0].text

    @property
    def box(self) -> Optional[Box]:
        """Pixels of the recorded image; None unless found."""
        return self.decisions[-1].box if self.outcome == "found" else None


class NotTaken(NamedTuple):
    """What was said or shown and came to nothing; text: the words."""

    time: int
    text: str
    reason: str


class Lesson(NamedTuple):
    """What was taught, forgotten or asked for (dialogue/lessons.py); text: the words; said: by the robot."""

    time: int
    text: str
    said: str

"""A bag through the Grounder and the node's own dialogue, offline: the same DialogueSession, the bag's clock.

The rules are those of ros/conversation.py and ros/grounding.py. Speech with no dialogue open is an instruction; the
newest frame is taken if it is not older than `max_image_age_s` by its stamp, else the next one that is young enough
within `wait_for_image_s`; the image is encoded once a dialogue; speech while a question is open is the answer; limits
of time count in the bag's time, also behind its last message. The model is taken to need no time: a decision stands
before the next message comes. So nothing depends on the machine, and two replays give the same.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Union

import numpy as np

from clue_ros.dialogue.phrases import is_give_up, names_nothing
from clue_ros.dialogue.session import Ask, Continue, DialogueSession, Finish, Ignored, Policy, Step
from clue_ros.image_messages import UnsupportedEncodingError
from clue_ros.types import Answer, ClueError, Decision, InvalidImageError

MAX_CHARACTERS = 1000  # of an instruction or an answer, as the node takes them
NS = 10**9


@dataclass(frozen=True)
class ReplaySettings:
    """The node's parameters of the same names, with its defaults. `threshold` None: the model's own."""

    threshold: Optional[float] = None
    max_questions: int = 3
    answer_timeout_s: float = 30.0
    max_image_age_s: float = 1.0
    wait_for_image_s: float = 2.0


class Frame(NamedTuple):
    """time, stamp: ns; stamp 0: the driver does not stamp. rgb() decodes it and may raise a ClueError."""

    time: int
    stamp: int
    rgb: Callable[[], np.ndarray]


class Heard(NamedTuple):
    """index: of this message among those of the speech topic."""

    time: int
    text: str
    index: int


Event = Union[Frame, Heard]


@dataclass
class Played:
    """One dialogue. heard: ns, when its instruction came; index: of the speech message that began it; image_stamp: ns,
    of the frame that was taken (its arrival where the driver does not stamp), None if none was; outcome: an `End`
    value, or 'no_image', 'invalid_image', 'unsupported_encoding', 'preempted', 'error'; seconds: spent in the model and
    in decoding the frame."""

    heard: int
    index: int
    session: DialogueSession
    image_stamp: Optional[int] = None
    outcome: str = ""
    reason: str = ""
    decisions: List[Decision] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def box(self):
        """Pixels of the recorded image; None unless found."""
        return self.decisions[-1].box if self.outcome == "found" else None


class NotTaken(NamedTuple):
    """Speech that neither began nor answered anything."""

    heard: Heard
    reason: str


class Replay:
    """Plays one stream of events; `not_taken` lists the speech that came to nothing.

    Args:
        grounder: a `Grounder`, or anything with its `encode` and `ground`.
    """

    def __init__(self, grounder: Any, settings: ReplaySettings = ReplaySettings()) -> None:
        self.not_taken: List[NotTaken] = []
        self._grounder = grounder
        self._settings = settings
        self._frame: Optional[Frame] = None
        self._open: Optional[Played] = None
        self._encoded: Any = None
        self._finished: List[Played] = []

    def run(self, events: Iterable[Event]) -> Iterator[Played]:
        """Yields the dialogues as they end, in the order of their instructions. Events must come in order of time."""
        now = 0
        for event in events:
            now = max(now, event.time)
            self._pass_time(now)
            if isinstance(event, Frame):
                self._frame = event
                self._take_image(now)
            else:
                self._hear(event, now)
            yield from self._drain()
        self._pass_time(now + 3600 * NS * 24)  # nobody says anything any more
        yield from self._drain()

    def _drain(self) -> List[Played]:
        finished, self._finished = self._finished, []
        return finished

    def _pass_time(self, now: int) -> None:
        played = self._open
        if played is None:
            return
        late = played.session.on_time(now / NS)
        if late is not None:
            self._end(late.end.value, late.words)
        elif played.image_stamp is None and now - played.heard >= self._settings.wait_for_image_s * NS:
            self._end("no_image", self._why_no_image(now))

    def _hear(self, heard: Heard, now: int) -> None:
        text = heard.text.strip()
        played = self._open
        if not text or len(text) > MAX_CHARACTERS:
            self.not_taken.append(NotTaken(heard, f"{len(text)} characters: 1 to {MAX_CHARACTERS} are taken"))
        elif played is None and (is_give_up(text) or names_nothing(text)):
            self.not_taken.append(NotTaken(heard, "no dialogue was open"))
        elif played is None:
            self._instruct(text, heard, now)
        else:
            step = played.session.on_answer(Answer(text=text), now / NS)
            if not isinstance(step, Ignored):
                self._follow(step, now)
            elif played.session.open_question is None and played.session.questions_asked == 0:
                self._end("preempted", "a newer instruction took over before the image came")
                self._instruct(text, heard, now)
            else:
                self.not_taken.append(NotTaken(heard, step.reason))

    def _instruct(self, text: str, heard: Heard, now: int) -> None:
        settings = self._settings
        session = DialogueSession(
            text, Policy.ASK, settings.max_questions, settings.answer_timeout_s, now=now / NS
        )
        self._open = Played(heard.time, heard.index, session)
        self._take_image(now)

    def _take_image(self, now: int) -> None:
        """Begins with the newest frame if the open dialogue waits for one and it is young enough."""
        played, frame = self._open, self._frame
        if played is None or played.image_stamp is not None or frame is None:
            return
        if now - (frame.stamp or frame.time) > self._settings.max_image_age_s * NS:
            return
        played.image_stamp = frame.stamp or frame.time
        began = clock.perf_counter()
        try:
            self._encoded = self._grounder.encode(frame.rgb())
        except ClueError as error:
            self._end(_outcome_of(error), str(error))
            return
        finally:
            played.seconds += clock.perf_counter() - began
        self._follow(Continue(), now)

    def _follow(self, step: Step, now: int) -> None:
        """Goes on until a question is open or the dialogue is over."""
        played, session = self._open, self._open.session
        while isinstance(step, Continue):
            began = clock.perf_counter()
            try:
                decision = self._grounder.ground(
                    self._encoded, session.expression, session.turns, may_ask=session.may_ask,
                    threshold=self._settings.threshold, min_confidence=session.min_confidence,
                )  # fmt: skip
            except ClueError as error:
                self._end(_outcome_of(error), str(error))
                return
            finally:
                played.seconds += clock.perf_counter() - began
            played.decisions.append(decision)
            step = session.on_decision(decision, now / NS)
        if isinstance(step, Finish):
            self._end(step.end.value, "")
        elif not isinstance(step, Ask):
            raise RuntimeError(f"the dialogue stands still at {step}")

    def _end(self, outcome: str, reason: str) -> None:
        played, self._open, self._encoded = self._open, None, None
        played.outcome, played.reason = outcome, reason
        self._finished.append(played)

    def _why_no_image(self, now: int) -> str:
        if self._frame is None:
            return "no frame had been recorded before the instruction, and none came in time"
        played = self._open
        age = (played.heard - (self._frame.stamp or self._frame.time)) / NS
        if age < 0:
            return f"the frames that came within {self._settings.wait_for_image_s:g} s were too old by their stamps"
        return (
            f"the newest frame was {age:.2f} s old when the instruction came, {self._settings.max_image_age_s:g} s are"
            " allowed, and no other came in time: check the camera's stamps and rate"
        )


def _outcome_of(error: ClueError) -> str:
    if isinstance(error, UnsupportedEncodingError):
        return "unsupported_encoding"
    return "invalid_image" if isinstance(error, InvalidImageError) else "error"

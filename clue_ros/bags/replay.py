"""A bag through the Grounder and the node's own rules of a conversation, offline, at the bag's clock.

Who is answered, corrected, replaced or ignored is decided by dialogue/turn_taking.py, as in the node. Which image
counts is as in ros/serving/grounding.py: the newest frame, if it is not older than `max_image_age_s` by its stamp, else
the next one that is young enough within `wait_for_image_s`; it is encoded once a dialogue. Limits of time count in the
bag's time, also behind its last message. The model is taken to need no time: a decision stands before the next message
comes. So nothing depends on the machine, and two replays give the same.
"""

from __future__ import annotations

import itertools
import time as clock
from collections import deque
from dataclasses import replace
from typing import Any, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union

from clue_ros.bags.events import NS, WITHDRAWN, Event, Frame, Heard, Lesson, NotTaken, Played, Pointed, ReplaySettings
from clue_ros.dialogue.acts import (
    REMEMBERED,
    Act,
    Begin,
    Cause,
    Dialogue,
    Forget,
    Ignore,
    Instruction,
    Proceed,
    Recount,
    Rules,
    Say,
    Stop,
    TakeBack,
    Teach,
)  # fmt: skip
from clue_ros.dialogue.lessons import Report, Told
from clue_ros.dialogue.regrounding import Regrounding
from clue_ros.dialogue.session import DialogueSession
from clue_ros.dialogue.steps import Continue, Finish, Policy, Step
from clue_ros.dialogue.turn_taking import TurnTaking
from clue_ros.images.encodings import UnsupportedEncodingError
from clue_ros.seams import Capability, Grounder
from clue_ros.taught.asking import asking, knowing
from clue_ros.types import Answer, ClueError, Decision, InvalidImageError


class _Scene(NamedTuple):
    """What the target's dialogue saw, for its correction; size: (width, height) of the image in pixels."""

    number: int
    encoded: Any
    image_stamp: Optional[int]
    size: Tuple[int, int]


class Replay:
    """Plays one stream of events; `not_taken` lists what was said or shown and came to nothing, `lessons` what was
    taught.

    A TaughtGrounder is taught by the bag: give it a copy of a folder that is to stay as it is.

    Args:
        grounder: a `Grounder`, or anything with its `encode` and `ground`.
    """

    def __init__(self, grounder: Grounder, settings: ReplaySettings = ReplaySettings()) -> None:
        self.not_taken: List[NotTaken] = []
        self._grounder = grounder
        self._settings = settings
        self._ids = map(str, itertools.count(1))
        self.lessons: List[Lesson] = []
        self._turns = TurnTaking(self._instruct, self._rules, lambda: next(self._ids))
        self._frame: Optional[Frame] = None
        self._open: Optional[Played] = None
        self._dialogue: Optional[Dialogue] = None  # the rules' side of the open one
        self._encoded: Any = None
        self._size = (0, 0)  # of the image that was encoded last
        self._belief: Any = None
        self._said: Deque[str] = deque(maxlen=REMEMBERED)  # by the robot, last
        self._said_at: Optional[int] = None  # when that was, ns
        self._given: Dict[str, Tuple[int, Optional[int]]] = {}  # number and image_stamp of dialogues that gave a target
        self._count = 0
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
                self._take_words(event, now)
            yield from self._drain()
        self._pass_time(now + 3600 * NS * 24)  # nobody says anything any more
        yield from self._drain()

    def _drain(self) -> List[Played]:
        finished, self._finished = self._finished, []
        return finished

    def _instruct(self, text: str) -> Instruction:
        settings = self._settings
        return Instruction(
            expression=text, policy=Policy(settings.speech_policy), max_questions=settings.max_questions,
            answer_timeout_s=settings.answer_timeout_s, wait_for_image_s=settings.wait_for_image_s,
            min_confidence=settings.min_confidence, spoken=True, dialogue=next(self._ids),
        )  # fmt: skip

    def _rules(self) -> Rules:
        known = Capability.TAUGHT in self._grounder.capabilities
        return replace(self._settings.rules, taught=knowing(self._grounder).memory.store.names if known else None)

    def _pass_time(self, now: int) -> None:
        for act in self._turns.on_time(now / NS):
            self._carry_out(act, None, now)

    def _take_words(self, event: Union[Heard, Pointed], now: int) -> None:
        if isinstance(event, Pointed):
            reason = event.reason or self._why_outside(event.answer, now)
            if reason or event.answer is None:
                self.not_taken.append(NotTaken(event.time, "(a gesture)", reason))
                return
            acts = self._turns.point(event.answer, now / NS)
        elif not event.text.strip():
            self.not_taken.append(NotTaken(event.time, event.text, "nothing was said"))
            return
        else:
            muted = self._said_at is not None and now - self._said_at < self._settings.mute_after_utterance_s * NS
            acts = self._turns.hear(event.text, now / NS, robot_speaks=muted, robot_said=self._said)
        for act in acts:
            self._carry_out(act, event, now)

    def _why_outside(self, answer: Optional[Answer], now: int) -> str:
        """Why a place is none in the image that it is about; empty if it is one, or no image is known yet."""
        if answer is None or answer.point is None:
            return "it shows no place"
        (x, y), (width, height) = answer.point, self._size
        about = self._encoded is not None or self._turns.target(now / NS) is not None
        if x < 0 or y < 0 or (about and (x > width or y > height)):
            return f"pixel ({x:g}, {y:g}) is outside the image"
        return ""

    def _carry_out(self, act: Act, event: Optional[Union[Heard, Pointed]], now: int) -> None:
        """event: what was said or shown; None: time has passed."""
        if isinstance(act, Proceed) and isinstance(act.step, Finish):
            self._end(act.step.end.value, act.step.words if act.said is None else "", now)
        elif isinstance(act, Proceed):
            self._follow(act.step, now)
        elif isinstance(act, Stop) and act.cause is Cause.NO_IMAGE:
            self._end(Cause.NO_IMAGE.value, self._why_no_image(), now)
        elif isinstance(act, Stop):
            self._end(act.cause.value, "a newer instruction took over before the image came", now)
        elif event is not None:  # only what somebody said or showed begins, takes back or comes to nothing
            self._take_up(act, event, now)

    def _take_up(self, act: Act, event: Union[Heard, Pointed], now: int) -> None:
        text = event.text if isinstance(event, Heard) else "(a gesture)"
        if isinstance(act, Begin):
            self._begin(act.dialogue, event, now)
        elif isinstance(act, TakeBack):
            self._take_back(act, event, now)
        elif isinstance(act, (Teach, Forget, Recount)):
            for then in self._turns.report(act, self._learn(act), now / NS):
                self._take_up(then, event, now)
        elif isinstance(act, Say):
            self.lessons.append(Lesson(event.time, text, act.words))
            self._says(act.words, now)
        elif isinstance(act, Ignore):
            self.not_taken.append(NotTaken(event.time, text, act.reason))

    def _says(self, words: str, now: int) -> None:
        self._said.append(words)
        self._said_at = now

    def _learn(self, act: Union[Teach, Forget, Recount]) -> Report:
        from clue_ros.taught.lesson import carry_out  # here: a scripted grounder needs no torch

        image: Any = None
        if isinstance(act, Teach) and act.scene is not None:
            image = act.scene.encoded
        elif isinstance(act, Teach):
            if self._frame is None:
                return Report(Told.REFUSED, why="no image came")
            try:
                image = self._frame.rgb()
            except ClueError as error:
                return Report(Told.REFUSED, why=str(error))
        return carry_out(knowing(self._grounder), image, act)

    def _in_progress(self) -> Tuple[Played, Dialogue]:
        """The open dialogue: as it is reported, and the rules' side of it."""
        if self._open is None or self._dialogue is None:
            raise RuntimeError("no dialogue is open")
        return self._open, self._dialogue

    def _new(self, session: DialogueSession, event: Union[Heard, Pointed], corrects: Optional[int]) -> Played:
        self._count += 1
        return Played(self._count, event.time, event.index if isinstance(event, Heard) else -1, session, corrects)

    def _begin(self, dialogue: Dialogue, event: Union[Heard, Pointed], now: int) -> None:
        scene: Optional[_Scene] = None if dialogue.reopening is None else dialogue.reopening.target.scene
        self._dialogue = dialogue
        played = self._open = self._new(dialogue.session, event, None if scene is None else scene.number)
        self._belief = asking(self._grounder, self._settings.question_policy)
        if scene is None:
            dialogue.looks(now / NS)
            self._take_image(now)
        else:
            self._encoded, played.image_stamp, self._size = scene.encoded, scene.image_stamp, scene.size
            self._follow(Continue(), now)

    def _take_back(self, act: TakeBack, event: Union[Heard, Pointed], now: int) -> None:
        number, image_stamp = self._given[act.instruction.corrects]
        dialogue = Dialogue(act.instruction, now / NS, act.reopening)
        played = self._new(dialogue.session, event, number)
        played.image_stamp, played.outcome, played.reason = image_stamp, WITHDRAWN, act.words
        if act.words:
            self._says(act.words, now)
        self._finished.append(played)

    def _take_image(self, now: int) -> None:
        """Begins with the newest frame if the open dialogue waits for one and it is young enough."""
        played, dialogue, frame = self._open, self._dialogue, self._frame
        if played is None or dialogue is None or played.image_stamp is not None or frame is None:
            return
        if now - (frame.stamp or frame.time) > self._settings.max_image_age_s * NS:
            return
        played.image_stamp = frame.stamp or frame.time
        dialogue.sees()
        began = clock.perf_counter()
        try:
            rgb = frame.rgb()
            self._size = (rgb.shape[1], rgb.shape[0])
            self._encoded = self._grounder.encode(rgb)
        except ClueError as error:
            self._end(_outcome_of(error), str(error), now)
            return
        finally:
            played.seconds += clock.perf_counter() - began
        self._follow(Continue(), now)

    def _follow(self, step: Step, now: int) -> None:
        """Goes on until a question is open or the dialogue is over."""
        played, dialogue = self._in_progress()
        session = dialogue.session
        while isinstance(step, Continue):
            began = clock.perf_counter()
            try:
                decision = self._decide()
            except ClueError as error:
                self._end(_outcome_of(error), str(error), now)
                return
            finally:
                played.seconds += clock.perf_counter() - began
            played.decisions.append(decision)
            step = session.on_decision(decision, now / NS)
        if isinstance(step, Finish):
            self._end(step.end.value, "", now)
        else:
            self._says(session.open_question or "", now)

    def _decide(self) -> Decision:
        _, dialogue = self._in_progress()
        session = dialogue.session

        def ground(turns, may_ask: bool, min_confidence: Optional[float]) -> Decision:
            decision = self._belief.ground(
                self._encoded, session.expression, turns, may_ask=may_ask, threshold=self._settings.threshold,
                min_confidence=min_confidence, pointing=dialogue.instruction.pointing,
            )  # fmt: skip
            return decision.doubted_below(self._belief.min_confidence)

        wanted = (session.turns, session.may_ask, session.min_confidence)
        if dialogue.reopening is None:
            return ground(*wanted)
        return Regrounding(dialogue.reopening.target.past, dialogue.reopening.correction)(ground, *wanted)

    def _end(self, outcome: str, reason: str, now: int) -> None:
        played, dialogue = self._in_progress()
        played.outcome, played.reason = outcome, reason
        scene = _Scene(played.number, self._encoded, played.image_stamp, self._size) if outcome == "found" else None
        if outcome != Cause.PREEMPTED.value:
            finish = dialogue.session.finished
            self._said += [] if finish is None else [finish.words]
            self._said_at = now
        if scene is not None:
            self._given[dialogue.instruction.dialogue] = (played.number, played.image_stamp)
        self._open = self._dialogue = self._encoded = self._belief = None
        self._finished.append(played)
        self._turns.close(dialogue, now / NS, scene)

    def _why_no_image(self) -> str:
        if self._frame is None:
            return "no frame had been recorded before the instruction, and none came in time"
        age = (self._in_progress()[0].heard - (self._frame.stamp or self._frame.time)) / NS
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

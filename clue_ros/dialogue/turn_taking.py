"""Who talks with whom: the rules of a conversation, as one pure machine for the node and for the replay of a bag.

    turns = TurnTaking(instruct=lambda text: Instruction(expression=text, spoken=True), rules=Rules)
    for act in turns.hear("the mug", now=clock()):    # Begin(dialogue): play it
        ...
    step = dialogue.session.on_decision(grounder.ground(...), clock())
    turns.close(dialogue, clock(), scene)             # its result is out

At most one dialogue is open, whether a client's goal or words began it; goals may wait behind it. Speech with no
dialogue open is an instruction; while a question is open it is the answer. Between the two, while the model works, a
new instruction replaces a spoken one that has asked nothing yet, and anything else is ignored: the second half of an
answer must neither start nor stop a robot. For a while after a result with a target, words that take it back re-open
the dialogue. Words of stopping (stopping.py) end the open dialogue, or take the last target back, in every state;
those that halt also end the goals that wait, and take back earlier targets within their windows. Where things can be
taught (Rules.taught), words outside a dialogue may teach (lessons.py).

All times are monotonic seconds that the caller passes in. Not thread-safe: serialise the calls.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, Callable, Iterable, List, Optional, Tuple

from clue_ros.dialogue.acts import (
    MAX_CHARACTERS,
    Acts,
    Admit,
    Begin,
    Cause,
    Dialogue,
    Forget,
    Ignore,
    Instruction,
    Proceed,
    Recount,
    Reopening,
    Rules,
    Stop,
    TakeBack,
    Target,
    Teach,
    Why,
)  # fmt: skip
from clue_ros.dialogue.correction import Concluded, Correction, Kind, refuses, understand
from clue_ros.dialogue.lessons import QUESTION_S, Lessons, Report, Shown
from clue_ros.dialogue.phrases import names_nothing, speaks_of_place, withdrawn
from clue_ros.dialogue.steps import Finish, Ignored
from clue_ros.dialogue.stopping import after_stop, halts, is_stop, same_words
from clue_ros.types import Answer, InvalidExpressionError

NO_QUESTION = "no question is open"
NOTHING_TO_STOP = "no dialogue is open, and no target that could be taken back"
MAX_EARLIER = 64  # targets before the last one that words of stopping still take back


class TurnTaking:
    """The open dialogue, those that wait, the last target, the last gesture.

    Args:
        instruct: makes an instruction of words; may raise InvalidExpressionError, whose text says why they are none.
        rules: gives the rules as they are now; they may change between two events.
        new_id: gives ids for dialogues that correct others.
    """

    def __init__(
        self, instruct: Callable[[str], Instruction], rules: Callable[[], Rules],
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:  # fmt: skip
        self.active = True  # False: nobody is heard
        self._instruct_from = instruct
        self._rules = rules
        self._new_id = new_id
        self._current: Optional[Dialogue] = None
        self._waiting: List[Dialogue] = []
        self._running: List[Dialogue] = []
        self._target: Optional[Target] = None
        self._earlier: List[Target] = []  # oldest first; newer dialogues have begun, but somebody may still act on them
        self._pointed: Optional[Tuple[Answer, float]] = None  # where somebody pointed without a question, and when
        self._lessons = Lessons()

    @property
    def current(self) -> Optional[Dialogue]:
        """The open dialogue."""
        return self._current

    @property
    def waiting(self) -> Tuple[Dialogue, ...]:
        return tuple(self._waiting)

    @property
    def busy(self) -> bool:
        """True until the last dialogue is closed."""
        return bool(self._running)

    @property
    def pointed(self) -> Optional[Answer]:
        """The place that the next "this one" may mean."""
        return None if self._pointed is None else self._pointed[0]

    def target(self, now: float) -> Optional[Target]:
        """What may be corrected now; there is none while a dialogue is open. Past its window it is freed."""
        if self._target is not None and now >= self._target.until:
            self._target = None
        return self._target

    def begin(self, instruction: Instruction, now: float, waits: bool = False) -> Tuple[Dialogue, Acts]:
        """A new dialogue, which supersedes the open one and goals that wait; `waits`: it waits behind them instead."""
        return self._begin(instruction, now, waits)

    def hear(self, text: str, now: float, robot_speaks: bool = False, robot_said: Iterable[str] = ()) -> Acts:
        """Words from a microphone. robot_speaks: they may be its own, so that only what begins with words of stopping
        counts, unless it is one of the robot's last utterances (robot_said)."""
        text = text.strip()
        if not self.active or not text:
            return ()
        answer, current = Answer(text=text), self._current
        if robot_speaks and any(same_words(text, said) for said in robot_said):
            return (Ignore(Why.SPEAKS, "the robot itself says that"),)
        if is_stop(text):
            dropped = self._lessons.drop()  # what the robot does is stopped before what it asks
            return self._end(answer, now) or dropped or (Ignore(Why.TURN, NOTHING_TO_STOP),)
        wanted = after_stop(text)  # "Stop! The left one."
        if self._rules().speech_mode == "off":
            return (self._end(answer, now) if wanted else ()) or (Ignore(Why.MODE, "speech_mode is off"),)
        if robot_speaks and wanted is None:
            return (Ignore(Why.SPEAKS, "the robot itself speaks"),)
        if len(text) > MAX_CHARACTERS:
            return (Ignore(Why.REFUSED, f"{len(text)} characters were said, {MAX_CHARACTERS} are allowed"),)
        if current is None:
            return (
                self._lessons.answer(text, now) or self._correct(answer, now, self._may_start)
                or self._lesson(text, now) or self._instruct(text, now)
            )  # fmt: skip
        if current.session.open_question is not None:
            return self._answer(current, answer, now)
        if current.instruction.spoken and current.session.questions_asked == 0 and (self._may_start or not wanted):
            return self._instruct(text, now)
        if wanted:  # whatever it is: not what the model works on
            return self._end(answer, now) or (Ignore(Why.TURN, NOTHING_TO_STOP),)
        over = current.session.finished is not None
        return (Ignore(Why.TURN, "the dialogue is over" if over else NO_QUESTION),)

    def answer(self, answer: Answer, now: float) -> Acts:
        """Words or a place that are meant for the robot, not for a microphone: speech_mode does not matter."""
        if not self.active:
            return (Ignore(Why.TURN, NO_QUESTION),)
        if answer.point is None and answer.box is None and is_stop(answer.text):
            dropped = self._lessons.drop()
            return self._end(answer, now) or dropped or (Ignore(Why.TURN, NO_QUESTION),)
        if self._current is not None:
            return self._answer(self._current, answer, now)
        learned = self._point_at_lesson(answer, now) or self._lessons.answer(answer.text, now)
        if learned:
            return learned
        reason = NO_QUESTION if self.target(now) is None else f"{NO_QUESTION}, and this corrects no target"
        return self._correct(answer, now, may_reopen=True) or (Ignore(Why.TURN, reason),)

    def point(self, answer: Answer, now: float, corrects: bool = True) -> Acts:
        """Somebody points: the answer to the open question, a correction, or what the next "this one" means.

        corrects: it is about the image of the last target.
        """
        if not self.active:
            return ()
        if self._current is not None and self._current.session.open_question is not None:
            return self._answer(self._current, answer, now)
        learned = self._point_at_lesson(answer, now)
        if learned:
            return learned
        corrected: Acts = ()
        if self._current is None and corrects:
            corrected = self._correct(answer, now, self._may_start)
        if not corrected:
            self._pointed = (answer, now)
        return corrected

    def report(self, act: "Teach | Forget | Recount", report: Report, now: float) -> Acts:
        """A lesson was carried out."""
        return self._lessons.report(act, report, now) if self.active else ()

    def cancel(self, dialogue: Dialogue) -> Acts:
        """Its client gives it up."""
        return self._stop([dialogue], Cause.CANCELED) if dialogue in self._running else ()

    def end_all(self) -> Acts:
        """Deactivation and shutdown: every dialogue ends, and no target can be corrected any more."""
        self._target, self._earlier = None, []
        return self._stop(list(self._running), Cause.NOT_ACTIVE)

    def on_time(self, now: float) -> Acts:
        """Applies the limits of time. Call it from a slow timer while `busy` or a target may be corrected."""
        acts: List[Any] = []
        for dialogue in (self._current, *self._waiting):
            if dialogue is None:
                continue
            late = dialogue.session.on_time(now)
            if late is not None:
                acts.append(Proceed(dialogue, late))
            elif dialogue.image_until is not None and now >= dialogue.image_until:
                dialogue.sees()  # once
                acts += self._stop([dialogue], Cause.NO_IMAGE)
        self.target(now)
        return tuple(acts)

    def close(self, dialogue: Dialogue, now: float, scene: Any = None) -> Acts:
        """Its result is out. scene: what a correction of its target looks at; None: it gave no target."""
        self._running.remove(dialogue)
        if dialogue in self._waiting:
            self._waiting.remove(dialogue)
        if dialogue is not self._current:
            return ()
        self._current = None
        past = None if scene is None or dialogue.stopped else Concluded.of(dialogue.session, dialogue.past)
        window_s = self._rules().correction_window_s
        if self.active and past is not None and window_s > 0:
            self._target = Target(past, dialogue.instruction, scene, now + window_s)
        if not self._waiting:
            return ()
        following = self._waiting.pop(0)
        self._take(following)
        return (Admit(following),)

    @property
    def _may_start(self) -> bool:
        return self._rules().speech_mode == "start"

    def _begin(
        self, instruction: Instruction, now: float, waits: bool = False, reopening: Optional[Reopening] = None
    ) -> Tuple[Dialogue, Acts]:
        dialogue = Dialogue(self._with_gesture(instruction, now), now, reopening)
        self._running.append(dialogue)
        if waits and self._current is not None:
            self._waiting.append(dialogue)
            return dialogue, (Begin(dialogue, waits=True),)
        superseded = [self._current] if self._current is not None else []
        if not instruction.spoken:  # words that replace the words before do not replace the goals that wait behind them
            superseded += self._waiting
            self._waiting = []
        stopped = self._stop(superseded, Cause.PREEMPTED)
        self._take(dialogue)
        return dialogue, (*stopped, Begin(dialogue))

    def _take(self, dialogue: Dialogue) -> None:
        """It is the open dialogue from now on. The target before it holds, and only what halts is about it still."""
        self._current = dialogue
        self._lessons.close()
        if self._target is not None:
            self._earlier = [*self._earlier, replace(self._target, scene=None)][-MAX_EARLIER:]
        self._target = None

    def _stop(self, dialogues: List[Dialogue], cause: Cause) -> Acts:
        for dialogue in dialogues:
            dialogue.stopped = True
        return tuple(Stop(dialogue, cause) for dialogue in dialogues)

    def _with_gesture(self, instruction: Instruction, now: float) -> Instruction:
        """With the place that was pointed at just before, if its words speak of one."""
        pointed, self._pointed = self._pointed, None
        if pointed is None or instruction.pointing is not None or not speaks_of_place(instruction.expression):
            return instruction
        recent = now - pointed[1] < self._rules().point_window_s
        return replace(instruction, pointing=pointed[0]) if recent else instruction

    def _end(self, answer: Answer, now: float) -> Acts:
        """What was said ends the open dialogue or takes the last target back, and where it halts all that waits and is
        still acted on; nothing if nothing is open."""
        acts: List[Any] = []
        if self._current is None:
            acts += self._correct(answer, now, may_reopen=False)
        elif not self._current.stopped:
            step = self._current.session.take_back(answer.text, now)
            acts += [] if isinstance(step, Ignored) else [Proceed(self._current, step, answer)]
        if is_stop(answer.text) and not halts(answer.text):
            return tuple(acts)
        waiting, self._waiting = self._waiting, []
        acts += self._stop(waiting, Cause.ABANDONED)
        earlier, self._earlier = self._earlier, []
        for target in reversed(earlier):
            if now < target.until:
                reopening = Reopening(target, Correction(Kind.WITHDRAW, said=answer.text), answer)
                said = any(isinstance(act, (Proceed, TakeBack)) for act in acts)
                acts.append(TakeBack(self._corrects(target), reopening, "" if said else withdrawn(True)))
        return tuple(acts)

    def _answer(self, dialogue: Dialogue, answer: Answer, now: float) -> Acts:
        step = dialogue.session.on_answer(answer, now)
        if isinstance(step, Ignored):
            return (Ignore(Why.TURN, step.reason),)
        if isinstance(step, Finish) and step.end.value.endswith("timeout"):
            return (Proceed(dialogue, step), Ignore(Why.TURN, "the answer came too late"))
        return (Proceed(dialogue, step, answer),)

    def _correct(self, answer: Answer, now: float, may_reopen: bool) -> Acts:
        """Takes it as a correction of the last target; nothing if it is none.

        may_reopen: without it a correction takes the target back and nothing else, for it would move the robot.
        """
        target = self.target(now)
        correction = None if target is None else understand(answer, target.past)
        if target is None or correction is None:
            return ()
        self._target = None
        reopening = Reopening(target, correction, answer)
        instruction = self._corrects(target)
        if correction.kind is Kind.WITHDRAW or not may_reopen:
            return (TakeBack(instruction, reopening, withdrawn(correction.kind is Kind.WITHDRAW)),)
        return self._begin(instruction, now, reopening=reopening)[1]

    def _lesson(self, text: str, now: float) -> Acts:
        """Takes it as words that teach; nothing if they are none, or nothing can be taught."""
        names = self._rules().taught
        if names is None or not self._may_start:
            return ()
        target, shown = self.target(now), None
        if self._pointed is not None and now < self._pointed[1] + QUESTION_S:
            shown = Shown(self._pointed[0])
        elif target is not None:
            shown = Shown(Answer(box=target.past.box), target.scene)
        return self._lessons.hear(text, names, shown)

    def wants_place(self, now: float) -> bool:
        """Whether the next gesture, into any image, shows what is to be taught."""
        return self._current is None and self._lessons.wants_place(now)

    def _point_at_lesson(self, answer: Answer, now: float) -> Acts:
        """A gesture as what is to be taught; nothing if that is not asked for."""
        placed = answer.point is not None or answer.box is not None
        return self._lessons.point(answer) if placed and self.wants_place(now) else ()

    def _corrects(self, target: Target) -> Instruction:
        """Of a dialogue about it, with an id of its own. Nobody waits for its result."""
        old = target.instruction
        return replace(old, dialogue=self._new_id(), corrects=old.dialogue, spoken=True)

    def _instruct(self, text: str, now: float) -> Acts:
        if not self._may_start:
            return (Ignore(Why.MODE, f"{NO_QUESTION}, and speech_mode is answer"),)
        if names_nothing(text):  # late: no model may look for a thing called "yes"
            return (Ignore(Why.TURN, NOTHING_TO_STOP),)
        if refuses(after_stop(text) or text):  # what the model still works on is not wanted, whatever it is
            if self._current is not None and not self._current.stopped:
                step = self._current.session.take_back(text, now)
                if isinstance(step, Finish):
                    return (Proceed(self._current, step, Answer(text)),)
            return (Ignore(Why.TURN, "it forbids something, and asks for nothing"),)
        try:
            instruction = self._instruct_from(after_stop(text) or text)
        except InvalidExpressionError as error:
            return (Ignore(Why.REFUSED, str(error)),)
        return self._begin(instruction, now)[1]

"""The conversation on ROS's side: what is heard goes to the rules (dialogue/turn_taking.py), and their acts are carried
out.

A dialogue is a Grounding here, a coroutine of the executor. The `answer` service is its own; speech, pointing and goals
come from their modules.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Optional, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType

from clue_ros.action import Ground
from clue_ros.dialogue.acts import (
    Act,
    Acts,
    Admit,
    Begin,
    Cause,
    Dialogue,
    Ignore,
    Proceed,
    Rules,
    Stop,
    TakeBack,
    Why,
)  # fmt: skip
from clue_ros.dialogue.lessons import Report as LessonReport
from clue_ros.dialogue.turn_taking import NO_QUESTION, TurnTaking
from clue_ros.ros.running.parameters import read
from clue_ros.ros.serving.corrections import Corrections, Scene
from clue_ros.ros.serving.gestures import request_to_answer
from clue_ros.ros.serving.grounding import Grounding, Parts
from clue_ros.ros.serving.report import OnFeedback
from clue_ros.ros.serving.request import Request, from_speech
from clue_ros.srv import Answer as AnswerSrv
from clue_ros.types import Answer, InvalidAnswerError

Code = Ground.Result
TICK_S = 0.05  # how exactly limits of time are kept
MAX_WAITING = 64  # goals under goal_policy queue; each may hold an image
_STOPS = {
    Cause.PREEMPTED: (
        Code.PREEMPTED, "a newer goal or instruction took over: send this one again if it still holds"
    ),
    Cause.CANCELED: (Code.CANCELED, "canceled by the client"),
    Cause.ABANDONED: (Code.ABANDONED, "the person said stop while this goal waited: send it again if it still holds"),
    Cause.NOT_ACTIVE: (Code.NOT_ACTIVE, "the node was deactivated: activate it"),
}  # fmt: skip


class Conversation:
    """Plays what the rules say, and serves `answer`. For the executor's single thread.

    clock: gives monotonic seconds.
    """

    def __init__(self, parts: Parts, group: CallbackGroup, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._node = parts.node
        self._clock = clock
        self._turns = TurnTaking(lambda text: from_speech(text, read(self._node)), self._rules)
        self._turns.active = False
        self._playing: Dict[Dialogue, Grounding] = {}
        self._corrections = Corrections(parts.node, parts.outputs)
        self.on_result: Callable[[Ground.Result], None] = lambda result: None  # called with every result
        self.on_lesson: Callable[[Act], None] = lambda act: None  # called with every act of a lesson (teaching.py)
        # Steady: limits of time hold also when a simulation's clock stands still.
        self._timer = self._node.create_timer(
            TICK_S, self._on_time, callback_group=group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        self._answer = self._node.create_service(AnswerSrv, "answer", self._on_answer, callback_group=group)

    @property
    def active(self) -> bool:
        return self._turns.active

    @active.setter
    def active(self, active: bool) -> None:
        self._turns.active = active

    @property
    def busy(self) -> bool:
        """True until the last dialogue has given its result."""
        return self._turns.busy

    @property
    def full(self) -> bool:
        """True while no further goal may wait."""
        return len(self._turns.waiting) >= MAX_WAITING

    @property
    def current(self) -> Optional[Grounding]:
        """The open dialogue."""
        return None if self._turns.current is None else self._playing[self._turns.current]

    @property
    def corrigible(self) -> Optional[Scene]:
        """What the last target's dialogue saw, while that may still be corrected."""
        target = self._turns.target(self._clock())
        return None if target is None else target.scene

    @property
    def shown(self) -> Tuple[Any, Optional[Answer]]:
        """What the last target's dialogue saw, encoded, and the target's box, while that may still be corrected."""
        target = self._turns.target(self._clock())
        return (None, None) if target is None else (target.scene.view.encoded, Answer(box=target.past.box))

    @property
    def pointed(self) -> Optional[Answer]:
        """The place that the next "this one" may mean."""
        return self._turns.pointed

    def begin(self, request: Request, on_feedback: OnFeedback = lambda *_: None, *, waits: bool = False) -> Grounding:
        """A client's dialogue; `run` plays it. It supersedes the open one and goals that wait; `waits`: it waits as
        well.
        """
        dialogue, acts = self._turns.begin(request, self._clock(), waits)
        self._carry_out(acts, on_feedback)
        return self._playing[dialogue]

    async def run(self, grounding: Grounding) -> Ground.Result:
        result: Optional[Ground.Result] = None
        try:
            result = await grounding.run()
            self.on_result(result)
            return result
        finally:
            del self._playing[grounding.dialogue]
            found = result is not None and result.error_code == Code.NONE
            scene = grounding.scene if found else None
            self._carry_out(self._turns.close(grounding.dialogue, self._clock(), scene))

    def cancel(self, grounding: Grounding) -> None:
        """Its client gives it up."""
        self._carry_out(self._turns.cancel(grounding.dialogue))

    def end_all(self, message: str) -> None:
        """Deactivation and shutdown: every dialogue ends with NOT_ACTIVE, and no target can be corrected any more."""
        for act in self._turns.end_all():
            self._playing[act.dialogue].end(Code.NOT_ACTIVE, message)

    def hear(self, text: str, robot_speaks: bool = False) -> None:
        """Words of the person; robot_speaks: they may be the robot's own."""
        self._carry_out(self._turns.hear(text, self._clock(), robot_speaks, self._parts.outputs.said))

    def point(self, answer: Answer, corrects: bool = True) -> None:
        """Somebody points into the image; corrects: it is about the image of the last target."""
        self._carry_out(self._turns.point(answer, self._clock(), corrects))

    def report(self, act: Any, report: LessonReport) -> None:
        """A lesson was carried out."""
        self._carry_out(self._turns.report(act, report, self._clock()))

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._answer)

    def _rules(self) -> Rules:
        parameters = read(self._node)
        return Rules(
            parameters.speech_mode, parameters.correction_window_s, parameters.point_window_s,
            self._parts.inference.taught,
        )  # fmt: skip

    def _carry_out(self, acts: Acts, on_feedback: OnFeedback = lambda *_: None) -> None:
        """on_feedback: of a client's dialogue that begins."""
        for act in acts:
            if isinstance(act, Begin):
                self._play(act, on_feedback)
            elif isinstance(act, Admit):
                self._playing[act.dialogue].admit()
            elif isinstance(act, Proceed):
                self._playing[act.dialogue].proceed(act.step, act.said)
            elif isinstance(act, Stop) and act.cause is Cause.NO_IMAGE:
                self._playing[act.dialogue].starve()
            elif isinstance(act, Stop):
                self._playing[act.dialogue].end(*_STOPS[act.cause])
            elif isinstance(act, TakeBack):
                self._corrections.taken_back(act)
            elif isinstance(act, Ignore):
                self._log(act)
            else:
                self.on_lesson(act)

    def _play(self, act: Begin, on_feedback: OnFeedback) -> None:
        dialogue = act.dialogue
        if dialogue.reopening is not None:
            self._corrections.begun(dialogue)
        grounding = self._playing[dialogue] = Grounding(dialogue, self._parts, on_feedback, act.waits)
        self._timer.reset()
        if dialogue.instruction.spoken:  # a client runs its own
            self._node.executor.create_task(self._run_spoken, grounding)

    async def _run_spoken(self, grounding: Grounding) -> None:
        result = await self.run(grounding)
        dialogue = grounding.dialogue
        if dialogue.reopening is not None:
            self._corrections.ended(dialogue, result)
            return
        self._node.get_logger().info(
            f"instruction {dialogue.instruction.expression[:80]!r} ended with {result.error_code} {result.error_msg};"
            f" decided {result.response_time * 1e3:.0f} ms after the last word"
        )

    def _on_time(self) -> None:
        for grounding in tuple(self._playing.values()):
            grounding.on_time()
        self._carry_out(self._turns.on_time(self._clock()))
        if not self._playing and self.corrigible is None:
            self._timer.cancel()

    def _on_answer(self, request: AnswerSrv.Request, response: AnswerSrv.Response) -> AnswerSrv.Response:
        current, scene = self.current, self.corrigible
        question = None if current is None else current.open_question
        size = current.image_size if current is not None else (0, 0) if scene is None else scene.size
        if self._turns.wants_place(self._clock()):
            size = self._parts.camera.size or size
        try:
            answer = request_to_answer(request, size, question or "")
        except InvalidAnswerError as error:
            something = self.active and (question is not None or scene is not None)
            response.message = str(error) if something else NO_QUESTION
            return response
        acts = self._turns.answer(answer, self._clock())
        self._carry_out(tuple(act for act in acts if not isinstance(act, Ignore)))
        response.message = next((act.reason for act in acts if isinstance(act, Ignore)), "")
        response.accepted = not response.message
        return response

    def _log(self, act: Ignore) -> None:
        logger = self._node.get_logger()
        if act.why is Why.REFUSED:
            logger.warning(f"speech refused: {act.reason}", throttle_duration_sec=1.0)
        elif act.why is Why.MODE:
            logger.info(f"speech ignored: {act.reason}", throttle_duration_sec=10.0)
        else:
            logger.info(f"speech ignored: {act.reason}", throttle_duration_sec=1.0)

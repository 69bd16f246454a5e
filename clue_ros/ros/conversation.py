"""Who talks with whom: at most one dialogue at a time, whether a client's goal or a spoken instruction began it.

Speech with no dialogue open is an instruction; while a question is open it is the answer. Between the two, while the
model works, "never mind" ends the dialogue, a new instruction replaces a spoken one that has asked nothing yet, and
anything else is ignored: the second half of an answer must neither start nor stop a robot.

For a while after a result with a target, words that take it back re-open the dialogue (`corrections`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Callable, List, Optional, Set, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType

from clue_ros.action import Ground
from clue_ros.belief.pointing import speaks_of_place
from clue_ros.dialogue.phrases import is_give_up, names_nothing
from clue_ros.ros.corrections import Corrections, Reopening, Scene
from clue_ros.ros.gestures import MAX_ANSWER_CHARACTERS, request_to_answer
from clue_ros.ros.grounding import Grounding, Parts
from clue_ros.ros.parameters import read
from clue_ros.ros.report import OnFeedback
from clue_ros.ros.request import Request, from_speech
from clue_ros.srv import Answer as AnswerSrv
from clue_ros.types import Answer, InvalidAnswerError, InvalidExpressionError

Code = Ground.Result
TICK_S = 0.05  # how exactly limits of time are kept
MAX_WAITING = 64  # goals under goal_policy queue; each may hold an image


class Conversation:
    """The open dialogue, what is said to it, and the `answer` service. For the executor's single thread."""

    def __init__(self, parts: Parts, group: CallbackGroup) -> None:
        self._parts = parts
        self._node = parts.node
        self._current: Optional[Grounding] = None
        self._waiting: List[Grounding] = []
        self._running: Set[Grounding] = set()
        self._corrections = Corrections(parts.node, parts.outputs)
        self._pointed: Optional[Tuple[Answer, float]] = None  # where somebody pointed without a question, and when
        self.active = False
        self.on_result: Callable[[Ground.Result], None] = lambda result: None  # called with every result
        # Steady: limits of time hold also when a simulation's clock stands still.
        self._timer = self._node.create_timer(
            TICK_S, self._on_time, callback_group=group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        self._answer = self._node.create_service(AnswerSrv, "answer", self._on_answer, callback_group=group)

    @property
    def busy(self) -> bool:
        """True until the last dialogue has given its result."""
        return bool(self._running)

    @property
    def full(self) -> bool:
        """True while no further goal may wait."""
        return len(self._waiting) >= MAX_WAITING

    @property
    def may_give_up(self) -> bool:
        """True while "never mind" has something to end or to take back."""
        return self.busy or self._corrections.open is not None

    def begin(
        self, request: Request, on_feedback: OnFeedback = lambda *_: None, *, waits: bool = False,
        reopening: Optional[Reopening] = None,
    ) -> Grounding:  # fmt: skip
        """A new dialogue; `run` plays it. It supersedes the open one and goals that wait; `waits`: it waits as well."""
        waits = waits and self._current is not None
        request = self._with_gesture(request)
        grounding = Grounding(request, self._parts, on_feedback, reopening, waits)
        self._running.add(grounding)
        if waits:
            self._waiting.append(grounding)
            return grounding
        superseded = [self._current] if self._current is not None else []
        if not request.spoken:  # words that replace the words before do not replace the goals that wait behind them
            superseded += self._waiting
            self._waiting = []
        for old in superseded:
            old.end(Code.PREEMPTED, "a newer goal or instruction took over: send this one again if it still holds")
        self._take(grounding)
        return grounding

    async def run(self, grounding: Grounding) -> Ground.Result:
        try:
            result = await grounding.run()
            self.on_result(result)
            return result
        finally:
            self._running.discard(grounding)
            if grounding in self._waiting:
                self._waiting.remove(grounding)
            if self._current is grounding:
                self._current = None
                if self.active:
                    self._corrections.remember(grounding.scene, read(self._node).correction_window_s)
                if self._waiting:
                    self._take(self._waiting.pop(0))

    def end_all(self, message: str) -> None:
        """Deactivation and shutdown: every dialogue ends with NOT_ACTIVE, and no target can be corrected any more."""
        self._corrections.forget()
        for grounding in tuple(self._running):
            grounding.end(Code.NOT_ACTIVE, message)

    def hear(self, text: str, may_start: bool = True) -> None:
        """Words of the person, without blanks around them. may_start: without a dialogue they may begin one."""
        if not self.active:
            return
        current = self._current
        if current is None:
            if len(text) > MAX_ANSWER_CHARACTERS or not self._correct(Answer(text=text), may_start):
                self._instruct(text, may_start)
            return
        if len(text) > MAX_ANSWER_CHARACTERS:
            self._node.get_logger().warning(
                f"an answer of {len(text)} characters was ignored", throttle_duration_sec=5.0
            )
            return
        reason = current.offer(Answer(text=text))
        if reason is None:
            return
        if current.request.spoken and current.open_question is None and current.questions_asked == 0:
            self._instruct(text, may_start)
        else:
            self._node.get_logger().info(f"speech ignored: {reason}", throttle_duration_sec=1.0)

    @property
    def current(self) -> Optional[Grounding]:
        return self._current

    @property
    def corrigible(self) -> Optional[Scene]:
        """The last target that may still be corrected, and what its dialogue saw."""
        return self._corrections.open

    def point(self, answer: Answer, corrects: bool = True) -> None:
        """Somebody points into the image: the answer to the open question, a correction, or what the next "this one" means.

        corrects: it is about the image of the last target.
        """
        if not self.active:
            return
        current = self._current
        if current is not None and current.open_question is not None:
            current.offer(answer)
        elif current is not None or not corrects or not self._correct(answer, read(self._node).speech_mode == "start"):
            self._pointed = (answer, time.monotonic())

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._answer)

    def _take(self, grounding: Grounding) -> None:
        """It is the open dialogue from now on, and the target before it holds or is not this one's affair."""
        self._current = grounding
        self._corrections.forget()
        self._timer.reset()
        grounding.admit()

    def _with_gesture(self, request: Request) -> Request:
        """The request with the place that was pointed at just before, if its words speak of one."""
        pointed, self._pointed = self._pointed, None
        if pointed is None or request.pointing is not None or not speaks_of_place(request.expression):
            return request
        recent = time.monotonic() - pointed[1] < read(self._node).point_window_s
        return replace(request, pointing=pointed[0]) if recent else request

    def _on_time(self) -> None:
        for grounding in (self._current, *self._waiting):
            if grounding is not None:
                grounding.on_time()
        if self._current is None and self._corrections.open is None:
            self._timer.cancel()

    def _correct(self, answer: Answer, may_reopen: bool) -> bool:
        """Takes it as a correction of the last target; False if it is none."""
        taken, reopening = self._corrections.hear(answer, may_reopen)
        if reopening is not None:
            request = reopening.request
            self._corrections.begun(request, answer)
            grounding = self.begin(request, reopening=reopening)
            self._node.executor.create_task(self._replay, grounding, answer)
        return taken

    async def _replay(self, grounding: Grounding, said: Answer) -> None:
        result = await self.run(grounding)
        self._corrections.ended(grounding.request, said, result)

    def _instruct(self, text: str, may_start: bool) -> None:
        if not may_start:
            self._node.get_logger().info(
                "speech ignored: no question is open, and speech_mode is answer", throttle_duration_sec=10.0
            )
            return
        if is_give_up(text) or names_nothing(text):  # late: no model may look for a thing called "stop" or "yes"
            self._node.get_logger().info("speech ignored: no dialogue is open, and no target that could be taken back")
            return
        try:
            request = from_speech(text, read(self._node))
        except InvalidExpressionError as error:
            self._node.get_logger().warning(f"instruction refused: {error}")
            return
        self._node.executor.create_task(self._play, self.begin(request))

    async def _play(self, grounding: Grounding) -> None:
        result = await self.run(grounding)
        self._node.get_logger().info(
            f"instruction {grounding.request.expression[:80]!r} ended with {result.error_code} {result.error_msg};"
            f" decided {result.response_time * 1e3:.0f} ms after the last word"
        )

    def _on_answer(self, request: AnswerSrv.Request, response: AnswerSrv.Response) -> AnswerSrv.Response:
        current = self._current
        scene = self._corrections.open
        if not self.active or ((current is None or current.open_question is None) and scene is None):
            response.message = "no question is open"
            return response
        try:
            size, question = (scene.size, "") if current is None else (current.image_size, current.open_question)
            answer = request_to_answer(request, size, question)
            if current is None:  # the service is no microphone: it may correct whatever speech_mode says
                reason = None if self._correct(answer, True) else "no question is open, and this corrects no target"
            else:
                reason = current.offer(answer)
        except InvalidAnswerError as error:
            reason = str(error)
        response.accepted = reason is None
        response.message = reason or ""
        return response

"""Who talks with whom: at most one dialogue at a time, whether a client's goal or a spoken instruction began it.

Speech with no dialogue open is an instruction; while a question is open it is the answer. Between the two, while the
model works, "never mind" ends the dialogue, a new instruction replaces a spoken one that has asked nothing yet, and
anything else is ignored: the second half of an answer must neither start nor stop a robot.
"""

from __future__ import annotations

from typing import Callable, Optional, Set

from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType

from clue_ros.action import Ground
from clue_ros.ros.grounding import Grounding, Parts
from clue_ros.ros.messages import MAX_ANSWER_CHARACTERS, InvalidAnswerError, request_to_answer
from clue_ros.ros.parameters import read
from clue_ros.ros.report import OnFeedback
from clue_ros.ros.request import Request, from_speech
from clue_ros.srv import Answer as AnswerSrv
from clue_ros.types import Answer, InvalidExpressionError

Code = Ground.Result
TICK_S = 0.05  # how exactly limits of time are kept


class Conversation:
    """The open dialogue, what is said to it, and the `answer` service. For the executor's single thread."""

    def __init__(self, parts: Parts, group: CallbackGroup) -> None:
        self._parts = parts
        self._node = parts.node
        self._current: Optional[Grounding] = None
        self._running: Set[Grounding] = set()
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

    def begin(self, request: Request, on_feedback: OnFeedback = lambda *_: None) -> Grounding:
        """A new dialogue, which supersedes the open one; `run` plays it."""
        if self._current is not None:
            self._current.end(
                Code.PREEMPTED, "a newer goal or instruction took over: send this one again if it still holds"
            )
        self._current = Grounding(request, self._parts, on_feedback)
        self._running.add(self._current)
        self._timer.reset()
        return self._current

    async def run(self, grounding: Grounding) -> Ground.Result:
        try:
            result = await grounding.run()
            self.on_result(result)
            return result
        finally:
            self._running.discard(grounding)
            if self._current is grounding:
                self._current = None
                self._timer.cancel()

    def end_all(self, message: str) -> None:
        """Deactivation and shutdown: every dialogue ends with NOT_ACTIVE."""
        for grounding in tuple(self._running):
            grounding.end(Code.NOT_ACTIVE, message)

    def hear(self, text: str, may_start: bool = True) -> None:
        """Words of the person, without blanks around them. may_start: without a dialogue they may begin one."""
        if not self.active:
            return
        current = self._current
        if current is None:
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

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._answer)

    def _on_time(self) -> None:
        if self._current is not None:
            self._current.on_time()

    def _instruct(self, text: str, may_start: bool) -> None:
        if not may_start:
            self._node.get_logger().info(
                "speech ignored: no question is open, and speech_mode is answer", throttle_duration_sec=10.0
            )
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
        if not self.active or current is None or current.open_question is None:
            response.message = "no question is open"
            return response
        try:
            reason = current.offer(request_to_answer(request, current.image_size))
        except InvalidAnswerError as error:
            reason = str(error)
        response.accepted = reason is None
        response.message = reason or ""
        return response

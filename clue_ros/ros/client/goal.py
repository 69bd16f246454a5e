"""One goal from the call to its outcome: waits for the server, sends, asks for the result at once, notices what is
missing.

It always ends, with exactly one outcome. Responses and topics move it, and a tick, ten times a second, looks at the
limits. All its methods may be called by any thread.
"""

from __future__ import annotations

import copy
import threading
import time
import uuid
from typing import Any, Awaitable, Callable, FrozenSet, Generator, List, Optional, Tuple, Union

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from rclpy.task import Future

from clue_ros.action import Ground
from clue_ros.ros.client.outcome import FINAL, ClientCode, Code, GroundOutcome, verdict
from clue_ros.ros.client.promise import Promise
from clue_ros.ros.client.requests import Reply, duration
from clue_ros.ros.client.wires import Wires, ask, forget, uuid_message

State = Ground.Feedback
OnQuestion = Callable[[str], Union[None, Reply, Awaitable[Optional[Reply]]]]
CANCEL_S = 5.0  # for the result of a canceled goal
LATE_S = 1.0  # what the server's own TIMEOUT may come later than the call's
LOOK_S = 0.5  # between two looks for the server
GONE_S = 1.0  # it must be away so long: its last words may still be under way
AGAIN_S = 1.0  # the goal has ended, as its status says: then its result is asked for again
ASKED_AGAIN = 5  # times at most


class Limits:
    """Seconds. result: of the whole call, None: none but the goal's own."""

    def __init__(self, server: float, acceptance: float, result: Optional[float]) -> None:
        for name, seconds in (("server_timeout", server), ("acceptance_timeout", acceptance), ("timeout", result)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name} is {seconds}: give seconds, more than 0")
        self.server, self.acceptance, self.result = server, acceptance, result


class Goal:
    """A goal that was sent, or is about to be. Times are monotonic seconds; None: not yet.

    `await` it or `wait()` for its GroundOutcome; `cancel()` it; `feedback` and `question` say how far it is.
    """

    def __init__(
        self, wires: Wires, message: Ground.Goal, limits: Limits, *, token: Optional[threading.Event] = None,
        on_question: Callable[["Goal", str, int], None] = lambda *_: None,
        on_feedback: Optional[Callable[[Ground.Feedback], Any]] = None,
    ) -> None:  # fmt: skip
        self.expression = message.expression
        self.dialogue = uuid.uuid4().hex
        self.feedback: List[Ground.Feedback] = []
        self.begun = time.monotonic()
        self.sent: Optional[float] = None
        self.accepted: Optional[float] = None
        self.finished: Optional[float] = None
        self.asked: List[float] = []  # when each question came
        self._message: Optional[Ground.Goal] = copy.copy(message)  # until the goal is over: it may hold an image
        self._wires, self._limits, self._token = wires, limits, token
        self._on_question, self._on_feedback = on_question, on_feedback
        self._lock = threading.RLock()
        self._promise = Promise()
        self._error: Optional[BaseException] = None  # of one of the program's callbacks
        self._rejected: List[str] = []
        self._canceled: Optional[float] = None
        self._asking: List[Future] = []  # for the result
        self._asked_again = 0
        self._ended: Optional[float] = None  # when its status said so
        self._servers: FrozenSet[Tuple[int, ...]] = frozenset()
        self._looked = self._seen = self.begun

    # What a program sees.

    @property
    def done(self) -> bool:
        return self._promise.done

    @property
    def outcome(self) -> GroundOutcome:
        """Of one that is done. Raises what a callback of the program raised."""
        return self._promise.result()

    @property
    def question(self) -> str:
        """The open question; empty while none is open."""
        with self._lock:
            newest = self.feedback[-1] if self.feedback and not self.done else None
            return newest.question if newest is not None and newest.state == State.WAITING_FOR_ANSWER else ""

    @property
    def rejected_answers(self) -> Tuple[str, ...]:
        return tuple(self._rejected)

    def cancel(self) -> None:
        """Asks the server for it, as soon as it has the goal; the outcome is the result that then comes."""
        with self._lock:
            if self.done or self._canceled is not None:
                return
            self._canceled = time.monotonic()
            if self.sent is None:
                self._end(GoalStatus.STATUS_UNKNOWN, Code.CANCELED, "canceled before it was sent")
            elif self.accepted is not None:
                self._send_cancel()

    def wait(self, limit_s: Optional[float] = None) -> bool:
        """Blocks this thread; False if it is not done within `limit_s` seconds. `ClueClient.finish` also checks that it
        may.
        """
        return self._promise.wait(limit_s)

    def __await__(self) -> Generator[Any, None, GroundOutcome]:
        return self._promise.__await__()

    def then(self, listener: Callable[[], None]) -> None:
        """Called when it is done."""
        self._promise.then(listener)

    # What happens to it: for the client.

    def fail(self, error: BaseException) -> None:
        """A callback of the program raised: the goal is canceled, and who waits for it gets the error."""
        with self._lock:
            self._error = self._error or error
            if self.sent is None:
                self._end(GoalStatus.STATUS_UNKNOWN, Code.CANCELED, "a callback failed")
            self.cancel()

    def reject_answer(self, why: str) -> None:
        self._rejected.append(why)

    def close(self, why: str) -> None:
        """Nothing can be heard of it any more."""
        with self._lock:
            self._end(GoalStatus.STATUS_UNKNOWN, ClientCode.CLOSED, why)

    def on_tick(self, now: float) -> None:
        with self._lock:
            if self.done:
                return
            if self._token is not None and self._token.is_set():
                self.cancel()
            if self.sent is None:
                self._look_for_server(now)
            elif self.accepted is None:
                self._limit_acceptance(now)
            else:
                self._limit_result(now)

    def on_status(self, status: int) -> None:
        with self._lock:
            if self.done:
                return
            if self.accepted is None:  # the acceptance itself was lost on the way
                self._on_acceptance(True)
            if status in FINAL and self._ended is None:
                self._ended = time.monotonic()

    def on_feedback(self, feedback: Ground.Feedback) -> None:
        now = time.monotonic()
        with self._lock:
            if self.done:
                return
            new = feedback.state == State.WAITING_FOR_ANSWER and feedback.questions_asked > len(self.asked)
            self.feedback.append(feedback)
            if new:
                self.asked.append(now)
                number = len(self.asked)
        if self._on_feedback is not None:
            try:
                self._on_feedback(feedback)
            except Exception as error:  # of the program: its caller gets it, not the executor
                self.fail(error)
        if new:
            self._on_question(self, feedback.question, number)

    # The steps, under the lock.

    def _look_for_server(self, now: float) -> None:
        if self._wires.serves_goals():
            self._send(now)
        elif now >= self.begun + self._limits.server or self._is_over(now):
            waited = now - self.begun
            self._end(
                GoalStatus.STATUS_UNKNOWN,
                ClientCode.NO_SERVER,
                (
                    f"nobody serves the action {self._wires.action} within {waited:.1f} s: start the node and "
                    "configure it, or"
                    " correct namespace, action and ROS_DOMAIN_ID"
                ),
            )

    def _send(self, now: float) -> None:
        if self._limits.result is not None:
            own = self._message.timeout
            if own.sec == 0 and own.nanosec == 0:
                self._message.timeout = duration(max(0.001, self.begun + self._limits.result - now))
        self.sent = now
        request = Ground.Impl.SendGoalService.Request(goal_id=uuid_message(self.dialogue), goal=self._message)
        ask(self._wires.client("send_goal"), request, lambda response: self._on_acceptance(response.accepted))

    def _on_acceptance(self, accepted: bool) -> None:
        with self._lock:
            if self.done and accepted and self.accepted is None:
                self._send_cancel()  # it came too late: a dialogue that nobody waits for must not go on
            if self.done or self.accepted is not None:
                return
            if not accepted:
                self._end(
                    GoalStatus.STATUS_UNKNOWN,
                    ClientCode.REJECTED,
                    (
                        "the node refused the goal: it is not active (ros2 lifecycle set ... activate), or too many "
                        "goals wait;"
                        " its log says which"
                    ),
                )
                return
            self.accepted = self._seen = time.monotonic()
            self._servers = self._wires.servers()
            self._ask_for_result()
            if self._canceled is not None:
                self._send_cancel()

    def _ask_for_result(self) -> None:
        request = Ground.Impl.GetResultService.Request(goal_id=uuid_message(self.dialogue))
        self._asking.append(ask(self._wires.client("get_result"), request, self._on_result))

    def _on_result(self, response: Any) -> None:
        with self._lock:
            code, message = verdict(response.status, response.result)
            self._end(response.status, code, message, response.result)

    def _send_cancel(self) -> None:
        request = CancelGoal.Request()
        request.goal_info.goal_id = uuid_message(self.dialogue)
        ask(self._wires.client("cancel_goal"), request, lambda response: None)

    def _limit_acceptance(self, now: float) -> None:
        if now < self.sent + self._limits.acceptance and not self._is_over(now):
            return
        waited = now - self.sent
        self._end(GoalStatus.STATUS_UNKNOWN, ClientCode.NO_ACCEPTANCE, (
            f"the node said neither yes nor no to the goal within {waited:.1f} s: it is loading, or stuck; see its log"
        ))  # fmt: skip
        self._send_cancel()  # it may have the goal, and its answer was lost

    def _limit_result(self, now: float) -> None:
        if self._ended is not None and now >= self._ended + AGAIN_S and self._asked_again < ASKED_AGAIN:
            self._ended = now
            self._asked_again += 1
            self._ask_for_result()
        if self._canceled is not None and now >= max(self._canceled, self.accepted) + CANCEL_S:
            self._end(GoalStatus.STATUS_UNKNOWN, ClientCode.NO_RESULT, (
                f"canceled, but the node gave no result within {CANCEL_S:g} s: it may still be at it; see its log"
            ))  # fmt: skip
        elif self._is_over(now, LATE_S) and self._canceled is None:
            self._send_cancel()
            self._end(GoalStatus.STATUS_UNKNOWN, ClientCode.NO_RESULT, (
                f"no result within {self._limits.result:g} s, nor the node's own TIMEOUT: it is stuck; the goal was"
                " canceled; see the node's log"
            ))  # fmt: skip
        elif now >= self._looked + LOOK_S:
            self._looked = now
            self._look_after_server(now)

    def _look_after_server(self, now: float) -> None:
        there = self._wires.servers()
        if not self._servers:  # it was not discovered yet when it accepted
            self._servers = there
        if self._servers & there:
            self._seen = now
        elif now >= self._seen + GONE_S:
            again = " (another one has come: send the goal again)" if there else ": start it and send the goal again"
            self._end(
                GoalStatus.STATUS_UNKNOWN, ClientCode.SERVER_GONE, f"the node went away while the goal ran{again}"
            )

    def _is_over(self, now: float, late_s: float = 0.0) -> bool:
        return self._limits.result is not None and now >= self.begun + self._limits.result + late_s

    def _end(self, status: int, code: int, message: str, result: Optional[Ground.Result] = None) -> None:
        if self.done:
            return
        self.finished = time.monotonic()
        for future in self._asking:
            forget(self._wires.client("get_result"), future)
        self._asking = []
        self._message = None
        outcome = GroundOutcome(
            self.expression, self.dialogue, status, int(code), message, result, self.rejected_answers
        )
        self._promise.set(outcome, self._error)

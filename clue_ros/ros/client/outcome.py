"""How a goal or a service call ended, as a pipeline wants it: one frozen value, whatever happened.

`ok` is true only for a goal whose status is SUCCEEDED and whose error_code is NONE. Everything else has a code and a
sentence that says what to do: the server's own codes (7000 to 7099, action/Ground), or a ClientCode where the server
told nothing. A result that the server has forgotten is such a case: ROS then sends the status UNKNOWN with a result
that nobody filled in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Optional, Tuple

from action_msgs.msg import GoalStatus

from clue_ros.action import Ground
from clue_ros.msg import Box, Target, Turn
from clue_ros.types import ClueError

Code = Ground.Result
FINAL = (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED)
_SERVER_NAMES = {
    getattr(Code, name): name
    for name in dir(Code)
    if name.isupper() and type(getattr(Code, name)) is int and not name.endswith("__DEFAULT")
}


class ClientCode(IntEnum):
    """What only a client can know. The server's codes end at 7099."""

    NO_SERVER = 7101  # nobody serves the action
    REJECTED = 7102  # the node refused the goal: it is not active, or too many goals wait
    NO_ACCEPTANCE = 7103  # the node said neither yes nor no in time
    NO_RESULT = 7104  # the time of the call is over, or a canceled goal gave no result
    RESULT_LOST = 7105  # the server does not know the goal (any more): its result came too late, or it was restarted
    SERVER_GONE = 7106  # the server went away while the goal ran
    CLOSED = 7107  # this client was closed, or rclpy was shut down
    NO_REASON = 7108  # it ended without success, and the server gave no error code


class GroundFailed(ClueError):
    """`GroundOutcome.require()` of a goal that gave no target; `outcome` has the rest."""

    def __init__(self, outcome: "GroundOutcome") -> None:
        super().__init__(f"{outcome.expression!r}: {outcome.error_name}: {outcome.error_msg}")
        self.outcome = outcome


class CallFailed(ClueError):
    """`CallOutcome.require()` of a call that gave no answer; `outcome` has the rest."""

    def __init__(self, outcome: "CallOutcome") -> None:
        super().__init__(f"{outcome.service}: {outcome.error_name}: {outcome.error_msg}")
        self.outcome = outcome


def error_name(code: int) -> str:
    """NOT_FOUND for 7005, NO_SERVER for 7101; the number itself for one that this version does not know."""
    if code in _SERVER_NAMES:
        return _SERVER_NAMES[code]
    return ClientCode(code).name if code in set(ClientCode) else str(code)


@dataclass(frozen=True)
class GroundOutcome:
    """How a goal ended.

    status: action_msgs/GoalStatus, UNKNOWN (0) where the server gave none.
    error_code: 0 only if `ok`; a constant of action/Ground's result, or a ClientCode.
    error_msg: empty only if `ok`; otherwise what to do.
    dialogue: the goal's id, 32 hexadecimal digits, as in Target.dialogue and Correction.corrects.
    result: the server's message, as it came; None where none came.
    rejected_answers: why the node did not take an answer of `on_question`, in order.
    """

    expression: str
    dialogue: str
    status: int
    error_code: int
    error_msg: str = ""
    result: Optional[Ground.Result] = field(default=None, repr=False)
    rejected_answers: Tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """There is a target."""
        return self.status == GoalStatus.STATUS_SUCCEEDED and self.error_code == Code.NONE

    def __bool__(self) -> bool:
        return self.ok

    @property
    def error_name(self) -> str:
        """As in the action: NONE, NOT_FOUND, ..., or of a ClientCode."""
        return error_name(self.error_code)

    @property
    def target(self) -> Optional[Target]:
        """The target as the server sent it; None unless `ok`. Look at its `has_position` before its `position`."""
        return self.result.target if self.ok else None

    @property
    def candidates(self) -> Tuple[Box, ...]:
        """The boxes that competed, most likely first; those of the goal in its order if it gave any. Pixels."""
        return () if self.result is None else tuple(self.result.candidates)

    @property
    def chosen_candidate(self) -> Optional[int]:
        """Which of the goal's candidates the target is, from 0; None if it gave none, or there is no target."""
        return self.result.chosen_candidate if self.ok and self.result.chosen_candidate >= 0 else None

    @property
    def turns(self) -> Tuple[Turn, ...]:
        """The dialogue in order, the instruction first."""
        return () if self.result is None else tuple(self.result.turns)

    def require(self) -> Target:
        """The target. Raises GroundFailed if there is none."""
        if not self.ok:
            raise GroundFailed(self)
        return self.result.target


@dataclass(frozen=True)
class CallOutcome:
    """How a call of a service ended; `value` is what was asked for, None unless `ok`. Codes as in GroundOutcome."""

    service: str
    error_code: int
    error_msg: str = ""
    value: Any = None

    @property
    def ok(self) -> bool:
        return self.error_code == Code.NONE

    def __bool__(self) -> bool:
        return self.ok

    @property
    def error_name(self) -> str:
        return error_name(self.error_code)

    def require(self) -> Any:
        """`value`. Raises CallFailed if there is none."""
        if not self.ok:
            raise CallFailed(self)
        return self.value


def verdict(status: int, result: Ground.Result) -> Tuple[int, str]:
    """(error_code, error_msg) of a result that a server sent: NONE only together with SUCCEEDED."""
    if status not in FINAL:
        return ClientCode.RESULT_LOST, (
            "the server does not know this goal (any more): its result was asked for too late, or the server was "
            "restarted;"
            " nothing is known of a target, send the goal again"
        )
    succeeded = status == GoalStatus.STATUS_SUCCEEDED
    if succeeded == (result.error_code == Code.NONE):
        return result.error_code, "" if succeeded else (result.error_msg or "the server gave no reason")
    if status == GoalStatus.STATUS_CANCELED:
        return Code.CANCELED, result.error_msg or "canceled by the client"
    if succeeded:  # and an error code: no target of it may be taken
        return result.error_code, result.error_msg or "the server says succeeded, and an error code: see its log"
    return ClientCode.NO_REASON, "the goal was aborted without an error code: see the server's log"

"""The robot's voice beside the topic `utterance`: a text-to-speech action, tts_msgs/TTS or communication_skills/Say.

Both packages are optional. One utterance is spoken at a time; one that comes meanwhile waits, and only the newest of
those that wait is spoken: an older one has been overtaken by the dialogue. Nothing here is ever waited for. A server
that is away, rejects, fails or never ends costs the words, which are on `utterance` all the same, and one line in the
log until it speaks again.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Callable, Dict, NamedTuple, Optional

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from clue_ros.ros.running.errors import MissingPackageError
from clue_ros.ros.running.parameters import Parameters

PRIORITY = 128  # of a skill's goal, 0 to 255: the usual one (REP draft "ROS Skill Definitions")
PATIENCE_S = 60.0  # an utterance that has not ended by then counts as ended: its server hangs


class Kind(NamedTuple):
    """One type of action: where it is, how a goal is filled, and what its result complains about ("": nothing)."""

    package: str
    name: str
    fill: Callable[[Any, str, str], None]
    complaint: Callable[[Any], str]


def _fill_tts(goal: Any, text: str, caller: str) -> None:
    goal.input = text  # locale and voice: the engine's own


def _fill_say(goal: Any, text: str, caller: str) -> None:
    goal.input, goal.meta.caller, goal.meta.priority = text, caller, PRIORITY


def _complaint_of_say(result: Any) -> str:
    code = result.result.error_code
    return result.result.error_msg or (f"error {code}" if code else "")


KINDS: Dict[str, Kind] = {
    "tts_msgs/action/TTS": Kind("tts_msgs", "TTS", _fill_tts, lambda result: result.error_msg),
    "communication_skills/action/Say": Kind("communication_skills", "Say", _fill_say, _complaint_of_say),
}


def say_action_type(parameters: Parameters) -> Optional[Any]:
    """The type of the action that `say_action` names, None if that is empty.

    Raises:
        MissingPackageError: an action is named, and the package of its type is not installed.
    """
    if not parameters.say_action:
        return None
    kind = KINDS[parameters.say_action_type]
    try:
        return getattr(importlib.import_module(f"{kind.package}.action"), kind.name)
    except ImportError as error:
        raise MissingPackageError(
            f"say_action is {parameters.say_action!r} of {parameters.say_action_type}, but {kind.package} cannot be"
            f" imported ({error}): build it in your workspace and source its setup file, or leave say_action empty and"
            " use `utterance`"
        ) from error


class Voice:
    """A client of one text-to-speech action. For the executor's thread; nothing blocks."""

    def __init__(self, node: Node, parameters: Parameters, group: CallbackGroup) -> None:
        """Raises MissingPackageError, as say_action_type."""
        self._node = node
        self._name = parameters.say_action
        self._kind = KINDS[parameters.say_action_type]
        self._type = say_action_type(parameters)
        self._client: Optional[ActionClient] = None
        if self._type is not None:
            self._client = ActionClient(node, self._type, self._name, callback_group=group)
        self._spoken_since: Optional[float] = None  # monotonic seconds, while an utterance is spoken
        self._utterance = 0  # number of the one that is spoken: what ends late must not end the next one
        self._next: Optional[str] = None
        self._complained = False

    @property
    def speaking(self) -> bool:
        """True from an utterance's goal until it has ended, while its server is there."""
        if self._client is None or self._spoken_since is None:
            return False
        # A speech engine that died or hangs while it spoke must not leave the robot deaf.
        return time.monotonic() - self._spoken_since < PATIENCE_S and self._client.server_is_ready()

    def say(self, text: str) -> None:
        """Speaks it now, or after what is being spoken."""
        if self._client is None:
            return
        if self.speaking:
            self._next = text
            return
        self._next = None  # it waited for one that never ended
        if not self._client.server_is_ready():
            self._complain("no such action server is there: start it, or correct the parameter say_action")
            return
        self._utterance += 1
        utterance, self._spoken_since = self._utterance, time.monotonic()
        goal = self._type.Goal()
        self._kind.fill(goal, text, self._node.get_name())
        response = self._client.send_goal_async(goal)
        response.add_done_callback(lambda future: self._on_response(utterance, future))

    def close(self) -> None:
        self._utterance += 1
        self._spoken_since = self._next = None
        if self._client is not None:
            self._client.destroy()
            self._client = None

    def _on_response(self, utterance: int, future: Future) -> None:
        if utterance != self._utterance:
            return
        handle = future.result()
        if not handle.accepted:
            self._end("it rejected an utterance")
            return
        handle.get_result_async().add_done_callback(lambda result: self._on_result(utterance, result))

    def _on_result(self, utterance: int, future: Future) -> None:
        if utterance != self._utterance:
            return
        response = future.result()
        complaint = self._kind.complaint(response.result)
        if response.status != GoalStatus.STATUS_SUCCEEDED:
            complaint = complaint or "it was canceled or aborted"
        self._end(complaint and f"an utterance failed: {complaint}")

    def _end(self, complaint: str) -> None:
        self._spoken_since = None
        if complaint:
            self._complain(complaint)
        else:
            self._complained = False
        text, self._next = self._next, None
        if text is not None:
            self.say(text)

    def _complain(self, what: str) -> None:
        if not self._complained:
            self._complained = True
            self._node.get_logger().warning(
                f"{self._name} does not speak: {what} (said once until it speaks; the words are on `utterance`)"
            )

"""The `ground` action: goals in, feedback and results out. The dialogue itself is Grounding's.

A goal is refused only while the node is inactive, or while too many wait; what is wrong with an accepted one is told by
its result's error_code. A superseded goal is aborted with PREEMPTED; `canceled` is said only to a client that asked for
it.
"""

from __future__ import annotations

from typing import Dict, Optional

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from clue_ros.action import Ground
from clue_ros.ros.running.errors import error_code
from clue_ros.ros.running.parameters import read
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.grounding import Grounding
from clue_ros.ros.serving.request import from_goal
from clue_ros.ros.wire.messages import seconds_to_duration
from clue_ros.types import ClueError

Code = Ground.Result
# The usual depth of a service, 10, loses the eleventh of the requests that come at once, and its client waits for ever.
BURST = QoSProfile(depth=256)


class GroundAction:
    """The action server, from configure to cleanup."""

    def __init__(self, node: Node, conversation: Conversation, group: CallbackGroup) -> None:
        self._node = node
        self._conversation = conversation
        self._dialogues: Dict[bytes, Grounding] = {}
        # Resolved here, because Jazzy's rcl remaps no names of actions: `-r ground:=/pick/ground` works everywhere.
        self._server: Optional[ActionServer] = ActionServer(
            node,
            Ground,
            node.resolve_topic_name("ground"),
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
            callback_group=group,
            goal_service_qos_profile=BURST,
            result_service_qos_profile=BURST,
            cancel_service_qos_profile=BURST,
        )

    def close(self) -> None:
        """Destroys the server; only when no goal is in flight, or its client never gets a result."""
        if self._server is not None:
            self._server.destroy()
            self._server = None

    def _on_goal(self, goal: Ground.Goal) -> GoalResponse:
        if not self._conversation.active:
            self._node.get_logger().warning("a goal was refused: the node is not active")
            return GoalResponse.REJECT
        if read(self._node).goal_policy == "queue" and self._conversation.full:
            self._node.get_logger().warning("a goal was refused: too many wait", throttle_duration_sec=1.0)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        dialogue = self._dialogues.get(bytes(handle.goal_id.uuid))
        if dialogue is not None:
            self._conversation.cancel(dialogue)
        return CancelResponse.ACCEPT

    async def _execute(self, handle: ServerGoalHandle) -> Ground.Result:
        result = await self._ground(handle)
        if result.error_code == Code.NONE:
            handle.succeed()
        elif result.error_code == Code.CANCELED and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return result

    async def _ground(self, handle: ServerGoalHandle) -> Ground.Result:
        if handle.is_cancel_requested:  # the cancel came before this task ran
            return self._end(Code.CANCELED, "canceled by the client")
        if not self._conversation.active:
            return self._end(Code.NOT_ACTIVE, "the node was deactivated: activate it")
        try:
            parameters = read(self._node)
            request = from_goal(handle.request, parameters, bytes(handle.goal_id.uuid).hex())
        except ClueError as error:
            return self._end(error_code(error), str(error))

        def on_feedback(state: int, question: str, asked: int, elapsed: float) -> None:
            if handle.is_active:
                elapsed = seconds_to_duration(elapsed)
                handle.publish_feedback(
                    Ground.Feedback(state=state, question=question, questions_asked=asked, elapsed=elapsed)
                )

        dialogue = self._conversation.begin(request, on_feedback, waits=parameters.goal_policy == "queue")
        key = bytes(handle.goal_id.uuid)
        self._dialogues[key] = dialogue
        try:
            return await self._conversation.run(dialogue)
        finally:
            del self._dialogues[key]

    def _end(self, code: int, message: str) -> Ground.Result:
        """The result of a goal that began no dialogue."""
        result = Ground.Result(error_code=code, error_msg=message)
        self._conversation.on_result(result)
        return result

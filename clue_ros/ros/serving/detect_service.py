"""The `detect_ambiguity` service: one reading of the model, never a dialogue."""

from __future__ import annotations

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from clue_ros.action import Ground
from clue_ros.fleet.job_queue import Lane
from clue_ros.ros.running.errors import DialogueEnded, NoImageError, error_code
from clue_ros.ros.running.parameters import read
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.ground_action import BURST
from clue_ros.ros.serving.grounding import Parts
from clue_ros.ros.serving.request import check_expression
from clue_ros.ros.wire.conversions import is_empty
from clue_ros.ros.wire.messages import ambiguity_to_msg
from clue_ros.seams import Grounder
from clue_ros.srv import DetectAmbiguity
from clue_ros.types import Ambiguity, ClueError, OutOfMemoryError, StopTest


class DetectService:
    """`group` must be reentrant: the request waits for the model while the node goes on."""

    def __init__(self, node: Node, parts: Parts, conversation: Conversation, group: CallbackGroup) -> None:
        self._node = node
        self._parts = parts
        self._conversation = conversation
        self._service = node.create_service(
            DetectAmbiguity, "detect_ambiguity", self._on_request, callback_group=group, qos_profile=BURST
        )

    def close(self) -> None:
        self._node.destroy_service(self._service)

    async def _on_request(
        self, request: DetectAmbiguity.Request, response: DetectAmbiguity.Response
    ) -> DetectAmbiguity.Response:
        try:
            if not self._conversation.active:
                raise DialogueEnded(Ground.Result.NOT_ACTIVE, "the node is not active: activate it")
            expression = check_expression(request.expression)
            parameters = read(self._node)
            camera = self._parts.cameras.named(request.camera)
            tolerance, max_age_s = parameters.sight_tolerance, parameters.max_image_age_s
            own = not is_empty(request.image)
            image = request.image if own else camera.latest(max_age_s)
            if image is None:
                raise NoImageError(camera.why_none(max_age_s))

            def work(grounder: Grounder, should_stop: StopTest) -> Ambiguity:
                if own or tolerance is None:
                    picture = self._parts.sight.decode(image)
                else:
                    picture = self._parts.sight.view(grounder, image, tolerance).encoded
                return grounder.detect_ambiguity(
                    picture, expression, threshold=parameters.decision_threshold, should_stop=should_stop
                )

            # rclpy does not say which client asks; cameras are what can be told apart.
            job = self._parts.inference.submit(work, self._node.executor, Lane.REQUEST, image.header.frame_id)
            ambiguity = await job.future
        except ClueError as error:
            if isinstance(error, OutOfMemoryError):
                self._parts.sight.clear()  # what can be given back is given back
            response.error_code = error_code(error)
            response.error_msg = str(error)
            return response
        response.success = True
        response.ambiguity = ambiguity_to_msg(ambiguity, expression, image.header)
        return response

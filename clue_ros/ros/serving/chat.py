"""The service `chat` and the topics `chat` and `chat_answer`: questions about the picture, beside any dialogue.

It shares nothing with the conversation but the worker's queue: no utterance, no turn, no target, no state. A dialogue's
step that arrives while a question is being answered waits for that one answer.
"""

from __future__ import annotations

from typing import Optional, Tuple

from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.action import Ground
from clue_ros.chat.answer import GroundedAnswer
from clue_ros.fleet.job_queue import Lane
from clue_ros.msg import GroundedAnswer as AnswerMsg
from clue_ros.msg import Phrase as PhraseMsg
from clue_ros.ros.running.errors import DialogueEnded, NoImageError, error_code
from clue_ros.ros.running.parameters import read
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.ground_action import BURST
from clue_ros.ros.serving.grounding import Parts
from clue_ros.ros.serving.outputs import RELIABLE
from clue_ros.ros.serving.request import check_expression
from clue_ros.ros.wire.conversions import is_empty
from clue_ros.ros.wire.messages import box_to_msg
from clue_ros.seams import Grounder
from clue_ros.srv import Chat as ChatSrv
from clue_ros.types import ClueError, OutOfMemoryError, StopTest

MAX_WAITING = 8  # questions of the topic; a microphone that babbles must not fill the queue


class Chat:
    """`group` must be reentrant: the request waits for the model while the node goes on. The conversation is only asked
    whether the node is active."""

    def __init__(self, node: LifecycleNode, parts: Parts, conversation: Conversation, group: CallbackGroup) -> None:
        self._node = node
        self._parts = parts
        self._conversation = conversation
        self._waiting = 0
        self._publisher = node.create_lifecycle_publisher(AnswerMsg, "chat_answer", RELIABLE)
        self._service = node.create_service(ChatSrv, "chat", self._on_request, callback_group=group, qos_profile=BURST)
        self._subscription = node.create_subscription(String, "chat", self._on_words, RELIABLE, callback_group=group)

    def close(self) -> None:
        self._node.destroy_service(self._service)
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_lifecycle_publisher(self._publisher)

    async def _on_request(self, request: ChatSrv.Request, response: ChatSrv.Response) -> ChatSrv.Response:
        own = None if is_empty(request.image) else request.image
        answer = await self._answer(request.question, request.camera, own)
        response.success = answer.error_code == Ground.Result.NONE
        response.error_code, response.error_msg, response.answer = answer.error_code, answer.error_msg, answer
        return response

    async def _on_words(self, message: String) -> None:
        if not message.data.strip():
            return
        if self._waiting >= MAX_WAITING:
            self._node.get_logger().warning(
                f"{MAX_WAITING} questions wait already: one more dropped", throttle_duration_sec=10.0
            )
            return
        self._waiting += 1
        try:
            await self._answer(message.data)
        finally:
            self._waiting -= 1

    async def _answer(self, question: str, camera: str = "", own: Optional[Image] = None) -> AnswerMsg:
        """The answer, which also goes out on `chat_answer`; with an error code where there is none."""
        header = Header() if own is None else own.header
        try:
            header, said = await self._ask(question, camera, own)
            answer = answer_to_msg(said, header)
        except ClueError as error:
            if isinstance(error, OutOfMemoryError):
                self._parts.sight.clear()  # what can be given back is given back
            answer = AnswerMsg(header=header, question=question, error_code=error_code(error), error_msg=str(error))
        self._publisher.publish(answer)
        return answer

    async def _ask(self, question: str, camera: str, own: Optional[Image]) -> Tuple[Header, GroundedAnswer]:
        """Raises ClueError."""
        if not self._conversation.active:
            raise DialogueEnded(Ground.Result.NOT_ACTIVE, "the node is not active: activate it")
        question = check_expression(question)
        parameters = read(self._node)
        view = self._parts.cameras.named(camera)
        tolerance, max_age_s = parameters.sight_tolerance, parameters.max_image_age_s
        image = own if own is not None else view.latest(max_age_s)
        if image is None:
            raise NoImageError(view.why_none(max_age_s))

        def work(grounder: Grounder, should_stop: StopTest) -> GroundedAnswer:
            if own is not None or tolerance is None:
                picture = self._parts.sight.decode(image)
            else:
                picture = self._parts.sight.view(grounder, image, tolerance).encoded
            return grounder.chat(picture, question, should_stop=should_stop)

        job = self._parts.inference.submit(work, self._node.executor, Lane.REQUEST, image.header.frame_id)
        return image.header, await job.future


def answer_to_msg(answer: GroundedAnswer, header: Header) -> AnswerMsg:
    """header: of the source image."""
    phrases = [
        PhraseMsg(
            start=phrase.start, end=phrase.end, text=answer.words(phrase), box=box_to_msg(phrase.box),
            confidence=float(phrase.confidence),
        )
        for phrase in answer.phrases
    ]  # fmt: skip
    return AnswerMsg(
        header=header, question=answer.question, text=answer.text, phrases=phrases,
        unknown_words=list(answer.unknown_words),
    )  # fmt: skip

"""Things shown and named: the services `teach`, `forget` and `list`, and lessons by voice (dialogue/lessons.py).

The store belongs to the worker's thread, as the model does; only its names are known here.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

import cv2
import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from clue_ros.action import Ground
from clue_ros.belief.pointing import check_within
from clue_ros.dialogue.acts import Act, Forget, Recount, Say, Teach
from clue_ros.dialogue.lessons import Report, Told
from clue_ros.dialogue.steps import PERSON, ROBOT
from clue_ros.fleet.job_queue import Lane
from clue_ros.msg import TaughtThing
from clue_ros.ros.running.errors import DialogueEnded, NoImageError, error_code
from clue_ros.ros.running.parameters import read
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.gestures import pointing_to_answer
from clue_ros.ros.serving.ground_action import BURST
from clue_ros.ros.serving.grounding import Parts
from clue_ros.ros.wire.conversions import is_empty
from clue_ros.ros.wire.messages import box_to_msg, turn_msg
from clue_ros.seams import Capability, Grounder, require
from clue_ros.srv import Forget as ForgetSrv
from clue_ros.srv import ListTaught as ListSrv
from clue_ros.srv import Teach as TeachSrv
from clue_ros.taught.asking import knowing
from clue_ros.taught.refusals import KnownNameError, NothingToTeachError
from clue_ros.types import ClueError, OutOfMemoryError, StopTest

THUMBNAIL = 96  # pixels a side
See = Callable[[Grounder], Any]  # in the worker's thread: what a lesson looks at


class Teaching:
    """`group` must be reentrant: requests wait for the model while the node goes on."""

    def __init__(self, node: Node, parts: Parts, conversation: Conversation, group: CallbackGroup) -> None:
        self._node, self._parts, self._conversation = node, parts, conversation
        self._services = [
            node.create_service(kind, name, handle, callback_group=group, qos_profile=BURST)
            for kind, name, handle in (
                (TeachSrv, "teach", self._on_teach),
                (ForgetSrv, "forget", self._on_forget),
                (ListSrv, "list", self._on_list),
            )
        ]
        conversation.on_lesson = self.play

    def close(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)

    def play(self, act: Act) -> None:
        """An act of a lesson by voice."""
        if isinstance(act, (Teach, Forget, Recount)):
            self._tell(PERSON, act.said)
            self._node.executor.create_task(self._learn, act)
        elif isinstance(act, Say):
            self._tell(PERSON, act.said)
            self._tell(ROBOT, act.words)
            self._parts.outputs.say(act.words)

    def _tell(self, speaker: str, text: str) -> None:
        if text:
            self._parts.outputs.turn(turn_msg(speaker, text, self._node.get_clock().now().to_msg()))

    async def _learn(self, act: Any) -> None:
        from clue_ros.taught.lesson import carry_out  # here: a node without a model needs no torch

        try:
            see = self._seeing(act.scene and act.scene.view.encoded) if isinstance(act, Teach) else lambda _: None
            report = await self._work(lambda grounder: carry_out(knowing(grounder), see(grounder), act))
        except ClueError as error:
            report = Report(Told.REFUSED, why=str(error))
        self._conversation.report(act, report)

    async def _on_teach(self, request: TeachSrv.Request, response: TeachSrv.Response) -> TeachSrv.Response:
        def do() -> Callable[[Grounder], Tuple[Any, Any]]:
            shown, encoded, image = pointing_to_answer(request.shown), None, request.image
            if shown is None:
                encoded, shown = self._conversation.shown
                if encoded is None:
                    raise NothingToTeachError("no target is current: give a click, a box or a scribble in `shown`")
            see = self._seeing(encoded, None if is_empty(image) else image, request.camera)

            def teach(grounder: Grounder) -> Tuple[Any, Any]:
                seen = knowing(grounder).encode(see(grounder))
                check_within(shown, (seen.width, seen.height))
                return knowing(grounder).teach(seen, request.name, shown, request.shadow)

            return teach

        try:
            thing, box = await self._work(do())
        except ClueError as error:
            response.shadows = isinstance(error, KnownNameError)
            return _refused(response, error)
        response.success, response.thing, response.box = True, _thing(thing), box_to_msg(box)
        return response

    async def _on_forget(self, request: ForgetSrv.Request, response: ForgetSrv.Response) -> ForgetSrv.Response:
        try:
            thing = await self._work(lambda grounder: knowing(grounder).memory.forget(request.name))
        except ClueError as error:
            return _refused(response, error)
        response.success, response.thing = True, _thing(thing)
        return response

    async def _on_list(self, request: ListSrv.Request, response: ListSrv.Response) -> ListSrv.Response:
        def look(grounder: Grounder) -> list:
            memory = knowing(grounder).memory
            memory.reload()
            shown = [memory.store.view(t.views[0]).picture if request.pictures else None for t in memory.store.things]
            return [_thing(thing, picture) for thing, picture in zip(memory.store.things, shown)]

        try:
            response.things = await self._work(look)
        except ClueError as error:
            return _refused(response, error)
        response.success = True
        return response

    def _seeing(self, encoded: Any = None, own: Optional[Image] = None, camera: str = "") -> See:
        """Of what was seen before, of an image that was sent, else of a camera's newest. Raises ClueError."""
        if encoded is not None:
            return lambda grounder: encoded
        if own is not None:
            return lambda grounder: self._parts.sight.decode(own)
        parameters, view = read(self._node), self._parts.cameras.named(camera)
        image = view.latest(parameters.max_image_age_s)
        if image is None:
            raise NoImageError(view.why_none(parameters.max_image_age_s))
        return lambda grounder: self._parts.sight.view(grounder, image, parameters.sight_tolerance).encoded

    async def _work(self, work: Callable[[Grounder], Any]) -> Any:
        """Raises ClueError. What is taught is known here afterwards."""
        if not self._conversation.active:
            raise DialogueEnded(Ground.Result.NOT_ACTIVE, "the node is not active: activate it")
        names: Tuple[str, ...] = ()

        def do(grounder: Grounder, should_stop: StopTest) -> Any:
            nonlocal names
            require(grounder.capabilities, Capability.TAUGHT)
            try:
                return work(grounder)
            finally:
                names = knowing(grounder).memory.store.names

        job = self._parts.inference.submit(do, self._node.executor, Lane.REQUEST)
        try:
            result = await job.future
        except OutOfMemoryError:
            self._parts.sight.clear()  # what can be given back is given back
            raise
        self._parts.inference.taught = names
        return result


def _refused(response: Any, error: ClueError) -> Any:
    response.error_code, response.error_msg = error_code(error), str(error)
    return response


def _thing(thing: Any, picture: Optional[np.ndarray] = None) -> TaughtThing:
    message = TaughtThing(name=thing.name, views=len(thing.views))
    if picture is not None:
        small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)[..., ::-1]
        message.picture = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", small)[1].tobytes())
    return message

"""The demo's parts as a program sees the robot: it sets parameters, sends goals, answers, and listens."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Tuple

import numpy as np
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.images.messages import image_to_rgb
from clue_ros.msg import Ambiguity, Pointing
from clue_ros.ros.client import ClueClient, GroundOutcome, Reply
from clue_ros.ros.running.lifecycle import CONFIGURING
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.ros.wire.messages import box_to_msg
from clue_ros.srv import Teach
from clue_ros.types import Box, ClueError

FRAME = "camera_color_optical_frame"
FOCUS_IMAGE = "focus_image"  # pictures for the focus node only
START_S, STEP_S = 180.0, 60.0  # for the model to load, for one step, on a slow machine
ASK_S = 2.0  # for a service to be there, before it is looked whether a process has died


class Robot:
    """A node in a thread of its own; every method waits for what it asks for. Raises ClueError where that does not
    come.
    """

    def __init__(self, namespace: str, children: Any) -> None:
        self._children = children
        self._node = node = Node("demo_parts", namespace=namespace)
        self._clue = ClueClient(node=node, server_timeout=ASK_S, reply_timeout=START_S)
        self._parameters = {
            name: node.create_client(SetParameters, f"{name}/set_parameters") for name in ("clue", "focus")
        }
        self._teach = node.create_client(Teach, "teach")
        self.readings: List[Ambiguity] = []
        self.debug_images: List[np.ndarray] = []
        self._focused: List[Image] = []
        self._focus = ""  # the instruction that the focus node has
        node.create_subscription(Ambiguity, "ambiguity", lambda m: self.readings.append(m), 10)
        node.create_subscription(Image, "debug_image", lambda m: self.debug_images.append(image_to_rgb(m)), 1)
        node.create_subscription(Image, "image_focused", lambda m: self._focused.append(m), qos_profile_sensor_data)
        self._images = node.create_publisher(Image, FOCUS_IMAGE, qos_profile_sensor_data)
        self._focus_on = node.create_publisher(String, "focus_on", 10)
        self._spinner = Spinner(node)

    def wait_for_the_node(self) -> None:
        """Until the clue node is active and heard, or has tried to be."""

        def settled() -> str:
            label = self._clue.state().value or ""
            return "" if label == CONFIGURING else label

        state = self._until(settled, "the clue node's state", START_S)
        if state != "active":
            raise ClueError(f"the clue node is {state}, not active:\n{self._children.tail('clue_node')}")
        ready = self._clue.wait_until_ready(STEP_S)
        if not ready.ok:
            raise ClueError(ready.error_msg)
        parameters = self._parameters["clue"]
        self._until(parameters.service_is_ready, parameters.srv_name)
        for topic in ("ambiguity", "debug_image"):
            self._until(lambda topic=topic: self._node.count_publishers(topic) > 0, topic)

    @staticmethod
    def start_focus(children: Any, model: str) -> None:
        """The focus node, which looks at what `focused` sends and not at a camera."""
        children.start("focus", "clue_ros.ros.focus", {"model": model}, remaps=[f"image:={FOCUS_IMAGE}"])

    def set(self, node: str, **values: Any) -> None:
        """Parameters of the node clue or focus."""
        self._until(self._parameters[node].service_is_ready, f"the parameters of {node}", START_S)
        request = SetParameters.Request(
            parameters=[Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]
        )
        for result in self._call(self._parameters[node], request).results:
            if not result.successful:
                raise ClueError(f"{node} refuses {values}: {result.reason}")

    def ground(
        self, expression: str, rgb: np.ndarray, reply: Optional[Callable[[str], Reply]] = None, **options: Any
    ) -> GroundOutcome:
        """What a goal about an image uint8[H,W,3] finds; reply: what answers a question, in another thread; options: of
        ClueClient.send. Raises ClueError if it ends without a target."""
        self.readings.clear()
        self.debug_images.clear()

        def unwanted(question: str) -> None:
            raise ClueError(f"{expression!r} was asked about: {question}")

        goal = self._clue.send(
            expression,
            image=rgb_to_image(rgb, Header(frame_id=FRAME)),
            on_question=reply or unwanted,
            timeout=STEP_S,
            **options,
        )
        self._until(lambda: goal.done, f"a result of {expression!r}", 2 * STEP_S)
        if goal.rejected_answers:
            raise ClueError(f"the answer was not taken: {goal.rejected_answers[0]}")
        goal.outcome.require()
        return goal.outcome

    def chat(self, question: str, rgb: np.ndarray) -> Any:
        """clue_ros/GroundedAnswer."""
        return self._clue.chat(question, rgb_to_image(rgb, Header(frame_id=FRAME))).require()

    def teach(self, name: str, rgb: np.ndarray, box: Box) -> None:
        """What is in a box of an image uint8[H,W,3] is called so from now on."""
        shown = Pointing(kind=Pointing.BOX, box=box_to_msg(box))
        self._until(self._teach.service_is_ready, self._teach.srv_name)
        image = rgb_to_image(rgb, Header(frame_id=FRAME))
        told = self._call(self._teach, Teach.Request(name=name, shown=shown, image=image))
        if not told.success:
            raise ClueError(told.error_msg)

    def focused(self, rgb: np.ndarray, instruction: str, mode: str, crop: bool = False) -> np.ndarray:
        """What the focus node makes of a camera that shows this image."""
        self.set("focus", mode=mode, crop=crop)
        self._until(lambda: self._focus_on.get_subscription_count() and self._images.get_subscription_count(),
                    "the focus node", START_S)  # fmt: skip
        if instruction != self._focus:
            self._focus = instruction
            self._focus_on.publish(String(data=instruction))
        self._focused.clear()
        frame, sent = rgb_to_image(rgb, Header(frame_id=FRAME)), [0.0]
        frame.header.stamp = self._node.get_clock().now().to_msg()  # of all frames of this mode, and of none before

        def changed() -> Optional[np.ndarray]:
            if time.monotonic() - sent[0] > 0.2:
                sent[0] = time.monotonic()
                self._images.publish(frame)
            for message in self._focused:
                shown = image_to_rgb(message)
                if message.header.stamp == frame.header.stamp and (shown.shape != rgb.shape or (shown != rgb).any()):
                    return shown
            return None

        return self._until(changed, f"a focused picture ({mode}); does anything matter to {instruction!r}?")

    def close(self) -> None:
        self._clue.close()
        self._spinner.close()
        self._node.destroy_node()

    def spin_until_reading(self, count: int) -> Tuple[Ambiguity, ...]:
        """The first `count` readings of the last goal: topics may come after the result."""
        self._until(lambda: len(self.readings) >= count, f"{count} readings")
        return tuple(self.readings)

    def _call(self, client: Any, request: Any, limit_s: float = STEP_S) -> Any:
        return self._wait(client.call_async(request), client.srv_name, limit_s)

    def _wait(self, future: Any, what: str, limit_s: float = STEP_S) -> Any:
        self._until(future.done, what, limit_s)
        return future.result()

    def _until(self, condition: Callable[[], Any], what: str, limit_s: float = STEP_S) -> Any:
        end = time.monotonic() + limit_s
        while True:
            value = condition()
            if isinstance(value, np.ndarray) or value:
                return value
            self._children.check()
            if time.monotonic() > end:
                raise ClueError(f"{what} did not come within {limit_s:g} s")
            time.sleep(0.01)

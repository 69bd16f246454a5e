"""A client of the clue node and the focus node for the demo's parts: it sets parameters, sends goals, answers, and listens."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Tuple

import numpy as np
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import SetParameters
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.action import Ground
from clue_ros.image_messages import image_to_rgb
from clue_ros.msg import Ambiguity
from clue_ros.ros.conversions import rgb_to_image
from clue_ros.srv import Answer, Chat
from clue_ros.types import ClueError

FRAME = "camera_color_optical_frame"
START_S, STEP_S = 180.0, 60.0  # for the model to load, for one step, on a slow machine


class Robot:
    """Spins its own node; every method waits for what it asks for. Raises ClueError where that does not come."""

    def __init__(self, namespace: str, children: Any) -> None:
        self._children = children
        self._node = node = Node("demo_parts", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._ground = ActionClient(node, Ground, "ground")
        self._answer = node.create_client(Answer, "answer")
        self._chat = node.create_client(Chat, "chat")
        self._state = node.create_client(GetState, "clue/get_state")
        self._parameters = {name: node.create_client(SetParameters, f"{name}/set_parameters") for name in ("clue", "focus")}
        self.readings: List[Ambiguity] = []
        self.debug_images: List[np.ndarray] = []
        self._focused: List[Image] = []
        self._focus = ""  # the instruction that the focus node has
        node.create_subscription(Ambiguity, "ambiguity", lambda m: self.readings.append(m), 10)
        node.create_subscription(Image, "debug_image", lambda m: self.debug_images.append(image_to_rgb(m)), 1)
        node.create_subscription(Image, "image_focused", lambda m: self._focused.append(m), qos_profile_sensor_data)
        self._images = node.create_publisher(Image, "image", qos_profile_sensor_data)
        self._focus_on = node.create_publisher(String, "focus_on", 10)

    def wait_for_the_node(self) -> None:
        """Until the clue node is active and heard."""
        self._until(self._state.service_is_ready, "the clue node's services", START_S)
        state = self._call(self._state, GetState.Request(), START_S).current_state
        if state.id != State.PRIMARY_STATE_ACTIVE:
            raise ClueError(f"the clue node is {state.label}, not active:\n{self._children.tail('clue_node')}")
        for client in (self._answer, self._chat, self._parameters["clue"]):
            self._until(client.service_is_ready, client.srv_name)
        self._until(self._ground.server_is_ready, "the action ground")
        for topic in ("ambiguity", "debug_image"):
            self._until(lambda topic=topic: self._node.count_publishers(topic) > 0, topic)

    def set(self, node: str, **values: Any) -> None:
        """Parameters of the node clue or focus."""
        self._until(self._parameters[node].service_is_ready, f"the parameters of {node}", START_S)
        request = SetParameters.Request(parameters=[Parameter(n, value=v).to_parameter_msg() for n, v in values.items()])
        for result in self._call(self._parameters[node], request).results:
            if not result.successful:
                raise ClueError(f"{node} refuses {values}: {result.reason}")

    def ground(self, expression: str, rgb: np.ndarray, reply: Optional[Callable[[str], Answer.Request]] = None,
               **fields: Any) -> Ground.Result:
        """A goal about an image uint8[H,W,3]; reply: what answers a question. Raises ClueError if it ends without a target."""
        self.readings.clear()
        self.debug_images.clear()
        asked: List[str] = []

        def feedback(message: Any) -> None:
            if message.feedback.state == Ground.Feedback.WAITING_FOR_ANSWER:
                asked.append(message.feedback.question)

        goal = Ground.Goal(expression=expression, image=rgb_to_image(rgb, Header(frame_id=FRAME)), **fields)
        handle = self._wait(self._ground.send_goal_async(goal, feedback_callback=feedback), "the goal's acceptance")
        if not handle.accepted:
            raise ClueError("the node refused the goal")
        future = handle.get_result_async()
        while not future.done():
            self._until(lambda: asked or future.done(), f"a result of {expression!r}")
            if asked and not future.done():
                question = asked.pop(0)
                if reply is None:
                    handle.cancel_goal_async()
                    raise ClueError(f"{expression!r} was asked about: {question}")
                response = self._call(self._answer, reply(question))
                if not response.accepted:
                    raise ClueError(f"the answer was not taken: {response.message}")
        result = future.result().result
        if result.error_code != Ground.Result.NONE:
            raise ClueError(f"{expression!r}: {result.error_msg}")
        return result

    def chat(self, question: str, rgb: np.ndarray) -> Any:
        """clue_ros/GroundedAnswer."""
        request = Chat.Request(question=question, image=rgb_to_image(rgb, Header(frame_id=FRAME)))
        response = self._call(self._chat, request)
        if not response.success:
            raise ClueError(response.error_msg)
        return response.answer

    def focused(self, rgb: np.ndarray, instruction: str, mode: str, crop: bool = False) -> np.ndarray:
        """What the focus node makes of a camera that shows this image."""
        self.set("focus", mode=mode, crop=crop)
        self._until(lambda: self._focus_on.get_subscription_count() and self._images.get_subscription_count() > 1,
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
        self._ground.destroy()
        self._node.destroy_node()
        self._executor.shutdown()

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
            self._executor.spin_once(timeout_sec=0.05)

"""A clue node with a scripted Grounder in one thread and a client in another, talking over real DDS."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional

import numpy as np
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, String

from clue_ros.action import Ground
from clue_ros.msg import Ambiguity, Correction, Target, Turn
from clue_ros.ros.client import ClueClient
from clue_ros.ros.node import ClueNode
from clue_ros.ros.running.spinning import Spinner
from clue_ros.ros.wire.conversions import array_to_image, rgb_to_image
from clue_ros.ros.wire.messages import seconds_to_duration
from clue_ros.srv import Answer, DetectAmbiguity
from clue_ros.testing.fake_grounder import ScriptedGrounder

TIMEOUT = 120.0  # of what ends as soon as it happens: a busy machine takes its time
# The node's own limits, out of the way of a busy machine; who tests a limit gives it.
PATIENT = {"answer_timeout_s": 600.0, "correction_window_s": 600.0, "max_image_age_s": 600.0, "wait_for_image_s": 120.0}
FRAME = "camera_color_optical_frame"
SUCCEEDED, CANCELED, ABORTED = GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED


def wait_until(condition: Callable[[], Any], timeout: float = TIMEOUT, what: str = "") -> Any:
    """The first true value of `condition`; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"did not happen within {timeout} s: {what or condition}")


class Goal:
    """One goal that is accepted or over, as the tests look at it."""

    def __init__(self, clue: ClueClient, goal: Ground.Goal) -> None:
        self.sent = clue.send(goal)
        self.id, self.feedback, self.cancel = self.sent.dialogue, self.sent.feedback, self.sent.cancel
        wait_until(lambda: self.accepted or self.done, what="goal response")

    @property
    def accepted(self) -> bool:
        return self.sent.accepted is not None

    @property
    def done(self) -> bool:
        return self.sent.done

    def finish(self, timeout: float = TIMEOUT) -> "tuple[int, Ground.Result]":
        """(goal status, result)."""
        wait_until(lambda: self.done, timeout, "goal result")
        return self.sent.outcome.status, self.sent.outcome.result

    def reached(self, state: int) -> bool:
        return any(feedback.state == state for feedback in self.feedback)


class Bench:
    def __init__(
        self, script: Optional[dict] = None, *, activate: bool = True, camera: bool = True,
        factory: Optional[Callable] = None, grounder: Optional[Any] = None, remap: Optional[Dict[str, str]] = None,
        still: bool = False, **parameters: Any,
    ) -> None:  # fmt: skip
        """remap: of the node's topics; the camera publishes there. still: each `image` keeps its one stamp, so that
        everybody gets it although frames are lost.
        """
        self.grounder = grounder or ScriptedGrounder(script or {})
        overrides = [Parameter(name, value=value) for name, value in {**PATIENT, **parameters}.items()]
        remap = remap or {}
        given = [word for name, topic in remap.items() for word in ("-r", f"{name}:={topic}")]
        self.node = ClueNode(
            factory or (lambda settings: self.grounder), parameter_overrides=overrides,
            cli_args=["--ros-args", *given] if given else None,
        )  # fmt: skip
        self.client = Node("client")
        self.utterances: List[str] = []
        self.turns: List[Turn] = []
        self.targets: List[Target] = []
        self.ambiguities: List[Ambiguity] = []
        self.corrections: List[Correction] = []
        for kind, topic, keep in (
            (String, "utterance", lambda m: self.utterances.append(m.data)), (Turn, "turn", self.turns.append),
            (Target, "target", self.targets.append), (Ambiguity, "ambiguity", self.ambiguities.append),
            (Correction, "correction", self.corrections.append),
        ):  # fmt: skip
            self.client.create_subscription(kind, topic, keep, 10)
        self.speech = self.client.create_publisher(String, "speech", 10)
        self.image_publisher = self.client.create_publisher(Image, remap.get("image", "image"), qos_profile_sensor_data)
        self.depth_publisher = self.client.create_publisher(Image, remap.get("depth", "depth"), qos_profile_sensor_data)
        beside = remap["image"].rpartition("/")[0] + "/camera_info" if "image" in remap else "camera_info"
        info = remap.get("camera_info", beside)
        self.info_publisher = self.client.create_publisher(CameraInfo, info, qos_profile_sensor_data)
        self.answer_client = self.client.create_client(Answer, "answer")
        self.detect_client = self.client.create_client(DetectAmbiguity, "detect_ambiguity")
        self.clue = ClueClient(node=self.client, server_timeout=TIMEOUT, acceptance_timeout=TIMEOUT)
        self._still, self._stamped = still, (None, None)  # the picture that was sent last, and its stamp
        self.image: Optional[Image] = None
        self.depth: Optional[Image] = None
        self.info: Optional[CameraInfo] = None
        self.node_spinner = Spinner(self.node)
        self.spinner = Spinner(self.client)
        if camera:
            self.start_camera()
        if activate:
            self.lifecycle("configure")
            self.lifecycle("activate")
            self.connect()
            if camera and "cameras" not in parameters:  # several cameras have topics of their own
                self.sees()

    # What no topic tells: the one place where tests look into the node.

    @property
    def conversation(self) -> Any:
        return self.node._conversation

    @property
    def eyes(self) -> Any:
        """The node's cameras."""
        return self.node._conversation._parts.cameras

    @property
    def eye(self) -> Any:
        """The camera that is looked through by default."""
        return self.node._conversation._parts.camera

    def part(self, kind: type) -> Any:
        """The node's one part of a class, such as its Outputs."""
        (found,) = (part for part in self.node._entities if isinstance(part, kind))
        return found

    def lifecycle(self, transition: str) -> Any:
        """configure, activate, deactivate, cleanup or shutdown."""
        return self.node_spinner.call(getattr(self.node, f"trigger_{transition}"))

    def connect(self) -> None:
        """Waits until both sides have discovered each other."""
        ready = self.clue.wait_until_ready(TIMEOUT)
        assert ready.ok, ready.error_msg
        wait_until(self.detect_client.service_is_ready, what="detect service")
        wait_until(lambda: self.speech.get_subscription_count() > 0, what="speech subscription")
        # Fast DDS drops the response to a client that the server has not discovered yet.
        actions = [f"ground/_action/{name}" for name in ("send_goal", "get_result", "cancel_goal")]
        for service in ("detect_ambiguity", "answer", *actions):
            wait_until(lambda service=service: self.node.count_clients(service) > 0, what=f"a client of {service}")
        for topic in ("utterance", "turn", "target", "ambiguity", "correction"):
            wait_until(lambda topic=topic: self.node.count_subscribers(topic) > 0, what=topic)
            wait_until(lambda topic=topic: self.client.count_publishers(topic) > 0, what=topic)

    def sees(self, frames: int = 1) -> None:
        """Waits until the node has got so many more frames of the one camera."""
        enough = self.eye.frames + frames
        wait_until(lambda: self.eye.frames >= enough, what="frames of the camera")

    def serves_goals(self) -> bool:
        return self.clue.available

    def start_camera(self, image: Optional[Image] = None) -> None:
        self.image = image or rgb_to_image(np.full((48, 64, 3), 90, np.uint8), Header(frame_id=FRAME))
        self.client.create_timer(0.03, self._publish_frame)

    def _publish_frame(self) -> None:
        image = self.image
        if image is None:
            return
        stamp = self._stamped[1]
        if not self._still or image is not self._stamped[0]:
            stamp = self.client.get_clock().now().to_msg()
            self._stamped = image, stamp
        pairs = ((self.image_publisher, image), (self.depth_publisher, self.depth), (self.info_publisher, self.info))
        for publisher, message in pairs:
            if message is not None:
                message.header.stamp = stamp
                publisher.publish(message)

    def drop(self, publisher: Any, timer: Any = None) -> None:
        """Of the client, in the thread that spins it: from another one it can end that thread (InvalidHandle)."""
        self.spinner.call(lambda: timer is None or self.client.destroy_timer(timer))
        self.spinner.call(lambda: self.client.destroy_publisher(publisher))

    def goal(self, expression: str, *, timeout: float = 0.0, answer_timeout: float = 0.0, **fields: Any) -> Goal:
        goal = Ground.Goal(expression=expression, **fields)
        goal.timeout, goal.answer_timeout = seconds_to_duration(timeout), seconds_to_duration(answer_timeout)
        return Goal(self.clue, goal)

    def ground(self, expression: str, **fields: Any) -> "tuple[int, Ground.Result]":
        return self.goal(expression, **fields).finish()

    def say(self, text: str) -> None:
        self.speech.publish(String(data=text))

    def hear(self, text: str) -> None:
        """Waits until the robot has said `text`."""
        wait_until(lambda: text in self.utterances, what=f"{text!r} in {self.utterances}")

    def answer(self, **fields: Any) -> Answer.Response:
        return self.call(self.answer_client, Answer.Request(**fields))

    def detect(self, expression: str, **fields: Any) -> DetectAmbiguity.Response:
        return self.call(self.detect_client, DetectAmbiguity.Request(expression=expression, **fields))

    def call(self, client: Any, request: Any) -> Any:
        wait_until(lambda: self.node.count_clients(client.srv_name) > 0, what=f"a client of {client.srv_name}")
        future = client.call_async(request)
        wait_until(future.done, what="service response")
        return future.result()

    def close(self) -> None:
        self.node_spinner.call(self.node.stop_dialogues)
        self.node_spinner.close()
        self.clue.close()
        self.spinner.close()
        self.node.destroy_node()
        self.client.destroy_node()


def depth_image(metres: np.ndarray) -> Image:
    return array_to_image(metres.astype(np.float32), "32FC1", Header(frame_id=FRAME))


__all__ = [
    "ABORTED", "Bench", "CANCELED", "Duration", "FRAME", "SUCCEEDED", "depth_image", "wait_until",
]  # fmt: skip

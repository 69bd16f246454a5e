"""What the node publishes, as one object that a dialogue can be given."""

from __future__ import annotations

import time
from collections import deque
from types import ModuleType
from typing import Any, Deque, Optional

import numpy as np
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String
from visualization_msgs.msg import MarkerArray

from clue_ros.dialogue.acts import REMEMBERED
from clue_ros.msg import Ambiguity, Correction, Target, Turn
from clue_ros.ros.serving import mirrors
from clue_ros.ros.serving.markers import target_to_markers
from clue_ros.ros.serving.voice import Voice
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.ros.wire.frames import Located
from clue_ros.ros.wire.messages import ambiguity_to_msg
from clue_ros.types import ClueError, Decision

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Outputs:
    """Lifecycle publishers: silent unless the node is active. Pictures of a result (debug_image, markers, annotations)
    are made only while somebody subscribes.

    publish_detections: also as vision_msgs detections; says so in the log where that package is not installed.
    voice: speaks the utterances as well; closed together with this.
    """

    def __init__(self, node: LifecycleNode, publish_detections: bool = False, voice: Optional[Voice] = None) -> None:
        self._node = node
        self._voice = voice
        self.said: Deque[str] = deque(maxlen=REMEMBERED)  # the last utterances
        self.said_at: Optional[float] = None  # when the last utterance went out, monotonic seconds
        self._utterance = self._publisher(String, "utterance")
        self._turn = self._publisher(Turn, "turn")
        self._target = self._publisher(Target, "target")
        self._correction = self._publisher(Correction, "correction")
        self._ambiguity = self._publisher(Ambiguity, "ambiguity")
        self._debug_image = self._publisher(Image, "debug_image", QoSProfile(depth=1))
        self._markers = self._publisher(MarkerArray, "markers")
        self._publishers = [
            self._utterance, self._turn, self._target, self._correction, self._ambiguity, self._debug_image,
            self._markers,
        ]  # fmt: skip
        self._foxglove = mirrors.message_module("foxglove_msgs")
        self._annotations = self._optional(self._foxglove, "ImageAnnotations", "annotations")
        self._vision = mirrors.message_module("vision_msgs") if publish_detections else None
        if publish_detections and self._vision is None:
            node.get_logger().warning(
                "publish_detections is true, but vision_msgs is not installed: no detections. Install"
                " ros-$ROS_DISTRO-vision-msgs"
            )
        self._detections_2d = self._optional(self._vision, "Detection2DArray", "detections_2d")
        self._detections_3d = self._optional(self._vision, "Detection3DArray", "detections_3d")

    @property
    def speaking(self) -> bool:
        """True while the voice, if there is one, speaks an utterance."""
        return self._voice is not None and self._voice.speaking

    def say(self, text: str) -> None:
        self.said.append(text)
        self.said_at = time.monotonic()
        self._utterance.publish(String(data=text))
        if self._voice is not None:
            self._voice.say(text)

    def turn(self, turn: Turn) -> None:
        self._turn.publish(turn)

    def correction(self, correction: Correction) -> None:
        self._correction.publish(correction)

    def target(self, target: Target, located: Optional[Located] = None) -> None:
        """The target, and its mirrors; `located` where its place is known."""
        self._target.publish(target)
        if _wanted(self._markers):
            self._markers.publish(target_to_markers(target, located))
        if self._vision is not None:
            self._detections_2d.publish(mirrors.target_to_detections_2d(self._vision, target))
            self._detections_3d.publish(mirrors.target_to_detections_3d(self._vision, target, located))

    def decision(self, decision: Decision, rgb: Optional[np.ndarray], header: Header) -> None:
        """One step of the model: its ambiguity and, only if somebody listens, the pictures of it."""
        if decision.ambiguity is not None:
            self._ambiguity.publish(
                ambiguity_to_msg(decision.ambiguity, decision.expression, header, decision.candidates, decision.belief)
            )
        if self._annotations is not None and _wanted(self._annotations):
            self._annotations.publish(mirrors.decision_to_annotations(self._foxglove, decision, header))
        if rgb is not None and _wanted(self._debug_image):
            from clue_ros.visualization.debug_image import draw_debug

            try:
                picture = draw_debug(rgb, decision)
            except ClueError as error:  # a picture for the developer must never fail a goal
                self._node.get_logger().warning(f"no debug image: {error}", throttle_duration_sec=10.0)
                return
            self._debug_image.publish(rgb_to_image(picture, header))

    def close(self) -> None:
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
        if self._voice is not None:
            self._voice.close()

    def _publisher(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        # Without rclpy's events of each publisher, which the executor would wait for in every turn. What they tell,
        # that a subscriber asks for a QoS that is not offered, its own log tells as well.
        quiet = PublisherEventCallbacks(use_default_callbacks=False)
        return self._node.create_lifecycle_publisher(kind, topic, qos, event_callbacks=quiet)

    def _optional(self, msgs: Optional[ModuleType], kind: str, topic: str) -> Any:
        """A publisher of a message of an optional package; None without the package."""
        if msgs is None:
            return None
        publisher = self._publisher(getattr(msgs, kind), topic)
        self._publishers.append(publisher)
        return publisher


def _wanted(publisher: Any) -> bool:
    return publisher.get_subscription_count() > 0

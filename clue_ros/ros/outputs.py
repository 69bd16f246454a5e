"""What the node publishes, as one object that a dialogue can be given."""

from __future__ import annotations

import time
from typing import Optional

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from clue_ros.msg import Ambiguity, Target, Turn
from clue_ros.ros.conversions import rgb_to_image
from clue_ros.ros.messages import ambiguity_to_msg
from clue_ros.types import ClueError, Decision

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Outputs:
    """Lifecycle publishers: silent unless the node is active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self.said_at: Optional[float] = None  # when the last utterance went out, monotonic seconds
        self._utterance = node.create_lifecycle_publisher(String, "utterance", RELIABLE)
        self._turn = node.create_lifecycle_publisher(Turn, "turn", RELIABLE)
        self._target = node.create_lifecycle_publisher(Target, "target", RELIABLE)
        self._ambiguity = node.create_lifecycle_publisher(Ambiguity, "ambiguity", RELIABLE)
        self._debug_image = node.create_lifecycle_publisher(Image, "debug_image", QoSProfile(depth=1))

    def say(self, text: str) -> None:
        self.said_at = time.monotonic()
        self._utterance.publish(String(data=text))

    def turn(self, turn: Turn) -> None:
        self._turn.publish(turn)

    def target(self, target: Target) -> None:
        self._target.publish(target)

    def decision(self, decision: Decision, rgb: Optional[np.ndarray], header: Header) -> None:
        """One step of the model: its ambiguity and, only if somebody listens, the picture of it."""
        if decision.ambiguity is not None:
            self._ambiguity.publish(ambiguity_to_msg(decision.ambiguity, decision.expression, header))
        if rgb is not None and self._debug_image.get_subscription_count() > 0:
            from clue_ros.visualization import draw_debug

            try:
                picture = draw_debug(rgb, decision)
            except ClueError as error:  # a picture for the developer must never fail a goal
                self._node.get_logger().warning(f"no debug image: {error}", throttle_duration_sec=10.0)
                return
            self._debug_image.publish(rgb_to_image(picture, header))

    def close(self) -> None:
        for publisher in (self._utterance, self._turn, self._target, self._ambiguity, self._debug_image):
            self._node.destroy_lifecycle_publisher(publisher)

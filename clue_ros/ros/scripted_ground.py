"""A `ground` server with no model, for the tests of your own stack: the real node, and a script in the model's place.

    python -m clue_ros.ros.scripted_ground --ros-args -r __ns:=/clue
    python -m clue_ros.ros.scripted_ground --ros-args -r __ns:=/clue -p model:=/path/to/scenario.yaml

Topics, services, action, lifecycle and parameters are the node's own; the parameter `model` names a scenario
(clue_ros/testing/scenario.py), empty: the one that ships. A goal takes milliseconds, and no camera is needed.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, List, Optional, Sequence

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clue_ros.images.encodings import UnsupportedEncodingError
from clue_ros.ros import node as clue_node
from clue_ros.ros.running.errors import CODE_NAMES, DialogueEnded, NoImageError
from clue_ros.ros.running.loading import ModelSettings
from clue_ros.ros.tabletop_camera import FRAME, camera_info
from clue_ros.ros.wire.camera_topics import info_topic
from clue_ros.ros.wire.conversions import array_to_image
from clue_ros.testing.fake_grounder import Say, ScriptedGrounder
from clue_ros.testing.scenario import DEFAULT, CameraScript, Scenario, load_scenario
from clue_ros.types import (
    InvalidExpressionError,
    InvalidImageError,
    ModelFailedError,
    ModelUnavailableError,
    OutOfMemoryError,
    Turn,
)  # fmt: skip

CODES = {name: code for code, name in CODE_NAMES.items() if name != "NONE"}
# What the real node raises for a code; the codes not named here end a dialogue from outside.
RAISED = {
    "INVALID_EXPRESSION": InvalidExpressionError, "INVALID_IMAGE": InvalidImageError,
    "UNSUPPORTED_ENCODING": UnsupportedEncodingError, "NO_IMAGE": NoImageError, "MODEL_ERROR": ModelFailedError,
    "OUT_OF_MEMORY": OutOfMemoryError, "MODEL_UNAVAILABLE": ModelUnavailableError,
}  # fmt: skip
KEPT = 8  # calls that are remembered: a server runs for days


class ScenarioGrounder(ScriptedGrounder):
    """A Grounder that plays a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        records = ("calls", "limits", "used", "images", "looks", "questions")
        super().__init__(**{name: deque(maxlen=KEPT) for name in records})
        self._scenario = scenario

    def _line(self, expression: str, turns: Sequence[Turn]) -> Say:
        rule, asks = self._scenario.reply(expression, turns)
        if rule is None:
            return Say.not_found()
        script = rule.script
        rest = {"delay_s": script.delay_s, "confidence": script.confidence}
        if asks:
            return Say.ask(script.ask, box=rule.box, **rest)
        if script.error == "NOT_FOUND":
            return Say.not_found(**rest)
        if script.error == "UNKNOWN_WORDS":
            return Say.unknown(*(script.words or (expression,)), **rest)
        if script.error:
            message = script.message or f"the scenario says {script.error}"
            kind = RAISED.get(script.error)
            return Say.failure(kind(message) if kind else DialogueEnded(CODES[script.error], message), **rest)
        return Say.found(rule.box, **rest)


class ScriptedGround(clue_node.ClueNode):
    """The `clue` node with a scenario in the model's place, and a camera of its own if the scenario has one."""

    def __init__(self, **kwargs) -> None:
        self._scenario: Optional[Scenario] = None
        super().__init__(self._make_grounder, **kwargs)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_configure(state)
        if result == clue_node.SUCCESS and self._scenario.camera is not None:
            self._entities.append(GreyCamera(self, self._scenario.camera))
        return result

    def _make_grounder(self, settings: ModelSettings) -> ScenarioGrounder:
        self._scenario = load_scenario(settings.model or DEFAULT, CODES)
        return ScenarioGrounder(self._scenario)


class GreyCamera:
    """Publishes `image`, `depth` and `camera_info` of a grey wall at one distance, seen by a camera of 60 degrees."""

    def __init__(self, node: Node, script: CameraScript) -> None:
        self._node = node
        width, height = script.width, script.height
        header, focal = Header(frame_id=FRAME), width * 0.866
        depth = np.full((height, width), round(script.distance_m * 1e3), np.uint16)
        grey = np.full((height, width), 128, np.uint8)
        self._messages: List[Any] = [
            (node.create_publisher(CameraInfo, info_topic(node), qos_profile_sensor_data),
             camera_info((focal, focal, width / 2, height / 2), width, height, header)),
            (node.create_publisher(Image, "depth", qos_profile_sensor_data), array_to_image(depth, "16UC1", header)),
            (node.create_publisher(Image, "image", qos_profile_sensor_data), array_to_image(grey, "mono8", header)),
        ]  # fmt: skip
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(1.0 / script.rate_hz, self._publish, clock=steady)

    def close(self) -> None:
        self._node.destroy_timer(self._timer)
        for publisher, _ in self._messages:
            self._node.destroy_publisher(publisher)

    def _publish(self) -> None:
        stamp = self._node.get_clock().now().to_msg()
        for publisher, message in self._messages:
            message.header.stamp = stamp
            publisher.publish(message)


def main(args: Optional[List[str]] = None) -> int:
    return clue_node.main(args, make=ScriptedGround)


if __name__ == "__main__":
    sys.exit(main())

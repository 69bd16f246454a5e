"""The node's cameras by name. With no names there is one, on the topics `image`, `depth` and `camera_info`."""

from __future__ import annotations

from typing import Dict

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from clue_ros.ros.running.errors import UnknownCameraError
from clue_ros.ros.running.parameters import Parameters
from clue_ros.ros.seeing.camera import Camera
from clue_ros.ros.wire.frames import Frames


class Cameras:
    """One Camera for each name of the parameter `cameras`. For the executor's thread."""

    def __init__(self, node: Node, parameters: Parameters, group: CallbackGroup, frames: Frames) -> None:
        self.by_name: Dict[str, Camera] = {
            name: Camera(node, parameters, group, frames, name) for name in parameters.camera_names
        }
        self.first = next(iter(self.by_name.values()))

    def named(self, name: str) -> Camera:
        """The camera of that name; "" is the first.

        Raises:
            UnknownCameraError: there is none.
        """
        if not name:
            return self.first
        camera = self.by_name.get(name)
        if camera is None:
            known = ", ".join(self.by_name)
            advice = f"give one of {known}, or none" if known else "give none, or set the parameter cameras"
            raise UnknownCameraError(f"there is no camera {name[:40]!r}: {advice}")
        return camera

    def close(self) -> None:
        for camera in self.by_name.values():
            camera.close()

"""The simulated camera over a table: `image`, `depth` and `camera_info` of one episode's scene, fresh stamps each time.

    python -m clue_ros.ros.tabletop_camera --ros-args -p seed:=0 -p episode:=1

The scene does not move, so it is rendered once and published at `rate_hz`. A number on the latched topic `episode`
changes the scene; the topic `scene` (latched) says which one the frames show.
"""

from __future__ import annotations

import sys
from typing import List, Optional

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header, UInt32

from clue_ros.ros.demonstration.scripted_scene import LATCHED, Stage
from clue_ros.ros.running import overrides, spinning
from clue_ros.ros.wire.camera_topics import info_topic
from clue_ros.ros.wire.conversions import array_to_image, rgb_to_image

FRAME = "camera_color_optical_frame"


class TabletopCamera(Node):
    """Publishes nothing until an episode is chosen, by the parameter or the topic."""

    def __init__(self, **kwargs) -> None:
        super().__init__("tabletop_camera", **kwargs)
        self._seed = overrides.declare(self, "seed", 0, ParameterDescriptor(description="Seed of the episodes."))
        first = overrides.declare(
            self, "episode", -1,
            ParameterDescriptor(description="Episode shown at start; -1: wait for the topic `episode`."),
        )  # fmt: skip
        descriptor = ParameterDescriptor(description="Frames a second.")
        descriptor.floating_point_range = [FloatingPointRange(from_value=0.1, to_value=120.0)]
        rate = overrides.declare(self, "rate_hz", 15.0, descriptor)
        overrides.check(self)
        self._stage = Stage(self._seed)
        self._shown: Optional[int] = None
        self._messages: List = []
        self._image = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self._depth = self.create_publisher(Image, "depth", qos_profile_sensor_data)
        self._info = self.create_publisher(CameraInfo, info_topic(self), qos_profile_sensor_data)
        self._scene = self.create_publisher(UInt32, "scene", LATCHED)
        self.create_subscription(UInt32, "episode", lambda message: self._show(message.data), LATCHED)
        self.create_timer(1.0 / rate, self._publish)
        if first >= 0:
            self._show(first)

    def close(self) -> None:
        self._stage.close()

    def _show(self, index: int) -> None:
        if index == self._shown:
            return
        episode, view = self._stage.render(index)
        header = Header(frame_id=FRAME)
        self._messages = [
            (self._image, rgb_to_image(view.rgb, header)),
            (self._depth, array_to_image(view.depth, "32FC1", header)),
            (self._info, camera_info(view.intrinsics, view.rgb.shape[1], view.rgb.shape[0], header)),
        ]
        self._shown = index
        self._publish()
        self._scene.publish(UInt32(data=index))
        self.get_logger().info(f"shows episode {index} of seed {self._seed} ({episode.kind.value})")

    def _publish(self) -> None:
        stamp = self.get_clock().now().to_msg()
        for publisher, message in self._messages:
            message.header.stamp = stamp
            publisher.publish(message)


def camera_info(intrinsics, width: int, height: int, header: Header) -> CameraInfo:
    """(fx, fy, cx, cy), counted from the corner of the first pixel -> the camera_info of an ideal pinhole camera."""
    fx, fy, cx, cy = (float(value) for value in intrinsics)
    cx, cy = cx - 0.5, cy - 0.5  # camera_info counts from the centre of the first pixel
    return CameraInfo(
        header=header, width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )  # fmt: skip


def main(args: Optional[List[str]] = None) -> int:
    return spinning.run("tabletop_camera", TabletopCamera, args)


if __name__ == "__main__":
    sys.exit(main())

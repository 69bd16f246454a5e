"""The topic `point`: RViz's and Foxglove's publish-point as a gesture into the camera's image.

A point in another frame is taken into the camera's optical frame through tf2, which is imported and listened to only
when the first such point arrives. There it is projected with camera_info. In the optical frame (or with an empty
frame_id) a z of 0 is no place in front of a camera: x and y are then pixels of the image.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Optional, Tuple

from geometry_msgs.msg import PointStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_msgs.msg import Header

from clue_ros.extent.place import Place
from clue_ros.ros.running.errors import NoPositionError
from clue_ros.ros.seeing.camera import Camera
from clue_ros.ros.seeing.cameras import Cameras
from clue_ros.ros.serving.conversation import Conversation
from clue_ros.ros.serving.outputs import RELIABLE
from clue_ros.ros.wire.frames import Frames, Located
from clue_ros.types import Answer

TRIES = 8  # of a transform, each as patient as Frames: a listener that has just begun knows nothing yet


class Looking(NamedTuple):
    """The image that a point is about: its camera, optical frame and size in pixels (None: not known), and whether a
    point into it may correct the last target."""

    camera: Camera
    optical: str
    size: Optional[Tuple[int, int]]
    corrects: bool = True


class Pointing:
    """Hears `point`. For the executor's thread."""

    def __init__(
        self, node: Node, cameras: Cameras, frames: Frames, conversation: Conversation, group: CallbackGroup,
    ) -> None:  # fmt: skip
        self._node, self._cameras, self._frames, self._conversation = node, cameras, frames, conversation
        self._subscription = node.create_subscription(
            PointStamped, "point", self._on_point, RELIABLE, callback_group=group
        )

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)

    def _on_point(self, message: PointStamped) -> None:
        xyz = (message.point.x, message.point.y, message.point.z)
        if not all(math.isfinite(v) for v in xyz):
            self._ignore("its coordinates are not finite")
            return
        frame = message.header.frame_id.lstrip("/")
        looking = self._looking(frame)
        if frame in ("", looking.optical):
            self._place(looking, xyz)
        elif not looking.optical:
            self._ignore("no image has come yet: the camera's optical frame is not known")
        else:
            self._node.executor.create_task(self._from_frame, message, frame, looking.optical)

    def _looking(self, frame: str) -> Looking:
        """What a point in a frame is about: the open dialogue's image, else the last target's, else the first camera's.

        A point in the first camera's own frame is not about a target that another camera saw.
        """
        current, scene, first = self._conversation.current, self._conversation.corrigible, self._cameras.first
        if current is not None and current.image_size != (0, 0):
            return Looking(current.camera, current.frame_id, current.image_size)
        same = scene is not None and scene.header.frame_id == first.frame_id
        if current is None and scene is not None and (same or frame != first.frame_id):
            return Looking(self._cameras.named(scene.request.camera), scene.header.frame_id, scene.size)
        return Looking(first, first.frame_id, None, corrects=scene is None)

    async def _from_frame(self, message: PointStamped, frame: str, optical: str) -> None:
        frames = self._frames.toward(optical)
        place = Place((message.point.x, message.point.y, message.point.z), (0.0, 0.0, 0.0))
        header = Header(
            frame_id=frame
        )  # a zero stamp: the latest transform, for the person points at what stands there
        for _ in range(TRIES):
            located: Located = await frames.locate(place, header)
            if located.frame_id == optical or not frames.ready:
                break
        if located.frame_id != optical:
            self._ignore(f"there is no transform from {frame!r} to {optical!r}")
            return
        looking = self._looking(frame)
        if looking.optical == optical:
            self._place(looking, located.position, metres=True)

    def _place(self, looking: Looking, point: Tuple[float, float, float], metres: bool = False) -> None:
        size = looking.size
        try:
            pixel = looking.camera.project(point, size) if metres or point[2] != 0 else point[:2]
        except NoPositionError as error:
            self._ignore(str(error))
            return
        if size is not None and not (0 <= pixel[0] <= size[0] and 0 <= pixel[1] <= size[1]):
            self._ignore(f"pixel ({pixel[0]:g}, {pixel[1]:g}) is outside the {size[0]}x{size[1]} image")
        elif pixel[0] < 0 or pixel[1] < 0:
            self._ignore(f"pixel ({pixel[0]:g}, {pixel[1]:g}) is outside the image")
        else:
            self._conversation.point(Answer(point=(float(pixel[0]), float(pixel[1]))), looking.corrects)

    def _ignore(self, why: str) -> None:
        self._node.get_logger().warning(f"a point was ignored: {why}", throttle_duration_sec=1.0)

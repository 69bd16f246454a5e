"""The node's eyes: the newest camera frame, and the depth image that belongs to it.

Everything is kept as a message and only converted when a goal needs it. Depth 1: an old frame is of no use. Best effort
takes every publisher; what is latched is fetched as well.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Callable, Deque, List, NamedTuple, Optional, Set, Tuple
from weakref import WeakSet

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clue_ros.images.encodings import UnsupportedEncodingError
from clue_ros.images.messages import check_encoding, encoding_of
from clue_ros.ros.running import spinning
from clue_ros.ros.running.errors import NoPositionError
from clue_ros.ros.running.parameters import Parameters
from clue_ros.ros.running.surroundings import IMAGE, another_type, has_clock
from clue_ros.ros.seeing.optics import Optics
from clue_ros.ros.seeing.whereabouts import Depth, DepthOf
from clue_ros.ros.wire.adaptive_subscription import AdaptiveSubscriptions
from clue_ros.ros.wire.camera_topics import Topics, camera_topics
from clue_ros.ros.wire.frames import Frames
from clue_ros.ros.wire.messages import stamp_to_seconds
from clue_ros.types import ClueError

ENCODINGS_NAMED = 16  # that cannot be read; a driver has one or two, and only a broken one has more
DEPTHS_KEPT = 8  # a depth image may arrive before or after its colour image


class Frame(NamedTuple):
    message: "Image | CompressedImage"
    received: float  # monotonic seconds
    clock: float  # the same on the node's clock, which may be simulated
    depth: DepthOf


class Camera:
    """Subscriptions of one camera: `image`, `depth`, `camera_info` and `depth_camera_info`, under its name if it has
    one.

    All methods are for the executor's thread.
    """

    def __init__(
        self, node: Node, parameters: Parameters, group: CallbackGroup, frames: Frames, name: str = ""
    ) -> None:
        self._node = node
        topics = camera_topics(node, name)
        self.topic = topics.image
        self._frame: Optional[Frame] = None
        self.optics = Optics(node, parameters, frames, topics)
        self._depths: Deque[Depth] = deque(maxlen=DEPTHS_KEPT)
        self._watched: "WeakSet[DepthOf]" = WeakSet()  # of the newest frame, and of the dialogues'
        self._max_offset_s = parameters.max_depth_offset_s
        self._waiting: List[Future] = []
        self._unreadable: Set[str] = set()  # the encodings that were complained about
        self.frames = 0  # colour images received so far
        self.on_frame: "Optional[Callable[[Image | CompressedImage], None]]" = None  # called with every new frame
        self._subscriptions = AdaptiveSubscriptions(node, group)
        subscribe = self._subscriptions.add
        if parameters.image_transport in ("raw", "both"):
            subscribe(Image, self.topic, self._on_image)
        if parameters.image_transport in ("compressed", "both"):
            # image_transport's convention: the resolved name with /compressed, so a remap of `image` carries over.
            subscribe(CompressedImage, self.topic + "/compressed", self._on_image)
        if parameters.use_depth:
            self._subscribe_depth(topics, parameters.image_transport)
            subscribe(CameraInfo, topics.info, self.optics.on_info)
            subscribe(CameraInfo, topics.depth_info, self.optics.on_depth_info)

    def _subscribe_depth(self, topics: Topics, transport: str) -> None:
        """One of the two where both are there: a driver would compress every image for nothing, some 10 ms each."""
        packed, add = topics.packed_depth, self._subscriptions.add
        if transport == "compressed":
            add(CompressedImage, packed, self._on_depth)
            add(Image, topics.depth, self._on_depth, instead_of=packed)
            return
        add(Image, topics.depth, self._on_depth)
        if transport == "both":
            add(CompressedImage, packed, self._on_depth, instead_of=topics.depth)

    def latest(self, max_age_s: float) -> "Optional[Image | CompressedImage]":
        """The newest frame if it is young enough, else None."""
        if self._frame is None or self._age(self._frame) > max_age_s:
            return None
        return self._frame.message

    def age_s(self) -> Optional[float]:
        """Seconds since the newest frame was taken, or came if its clock is ahead; None before the first one."""
        return None if self._frame is None else self._age(self._frame)

    def why_none(self, max_age_s: float) -> str:
        """One sentence for NO_IMAGE."""
        topic = self.topic
        if self._frame is None:
            other = another_type(self._node, topic, IMAGE)
            if other:
                return f"no frame arrived: {other}"
            return f"no frame arrived on {topic} or {topic}/compressed: start the camera, or remap `image` to its topic"
        age = self._age(self._frame)
        if math.isinf(age):
            return f"no frame arrived on {topic} since the simulated clock jumped back: wait for the camera"
        return (
            f"the newest frame on {topic} is {age:.2f} s old, {max_age_s:g} s are allowed: check that the camera still"
            " publishes and that its clock and use_sim_time agree with this node"
        )

    def unreadable(self, message: "Image | CompressedImage", error: ClueError) -> None:
        """Logs once per encoding why its images cannot be read; a goal that needs one gets it as its error_msg."""
        encoding = encoding_of(message)
        if encoding not in self._unreadable and len(self._unreadable) < ENCODINGS_NAMED:
            self._unreadable.add(encoding)
            self._node.get_logger().error(f"{self.topic}: {error} (said once for {encoding[:40]!r})")

    def next(self) -> Future:
        """A future that ends when the next frame arrives."""
        future: Future = Future(executor=self._node.executor)
        self._waiting.append(future)
        return future

    def depth_of(self, stamp: Time) -> DepthOf:
        """What becomes the depth image of the image of that stamp: depth images go by, and may come after theirs."""
        if self._frame is not None and self._frame.message.header.stamp == stamp:
            return self._frame.depth
        return self._watch(stamp_to_seconds(stamp))

    @property
    def frame_id(self) -> str:
        """The optical frame of the newest image, else of camera_info; empty before either."""
        if self._frame is not None:
            return self._frame.message.header.frame_id
        return "" if self.optics.info is None else self.optics.info.header.frame_id

    @property
    def size(self) -> Optional[Tuple[int, int]]:
        """(width, height) of the newest image in pixels; None where it is not known before decoding."""
        message = None if self._frame is None else self._frame.message
        return (message.width, message.height) if isinstance(message, Image) else None

    def project(self, point: Tuple[float, float, float], size: Optional[Tuple[int, int]]) -> Tuple[float, float]:
        """Where a point in metres of the optical frame is in an image of `size` (None: the newest's), in pixels that
        count from the middle of the first one.

        Raises:
            NoPositionError: it is in no such image, or there is no camera_info that can be used.
        """
        camera = self.optics.camera(size or self.size, self.frame_id)
        x, y = camera.project(np.array(point, np.float64)) - 0.5
        if not (-0.5 <= x <= camera.width and -0.5 <= y <= camera.height):  # NaN is not
            raise NoPositionError("outside", f"it is not in the image of {camera.width}x{camera.height}")
        return max(0.0, float(x)), max(0.0, float(y))

    def close(self) -> None:
        self._subscriptions.close()
        if spinning.runs_tasks(self._node):
            for future in self._waiting:
                future.cancel()
        self._waiting.clear()

    def _age(self, frame: Frame) -> float:
        now, stamp = self._now(), stamp_to_seconds(frame.message.header.stamp)
        if not self._node.get_clock().ros_time_is_active:
            since = time.monotonic() - frame.received
        elif now >= frame.clock:
            since = now - frame.clock  # a simulation that stands still ages nothing
        else:
            since = math.inf  # it began anew: the frame shows what is not there any more
        if self._node.get_clock().ros_time_is_active and not has_clock(self._node):
            since = max(since, time.monotonic() - frame.received)  # a clock that nobody gives is no pause
        # No stamp: the arrival is all there is. A stamp of a clock that is ahead must not keep the last frame fresh.
        return since if stamp == 0.0 else max(since, now - stamp)

    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _watch(self, stamp: float) -> DepthOf:
        depth = DepthOf(stamp, time.monotonic(), self._max_offset_s, self._depths)
        self._watched.add(depth)
        return depth

    def _on_image(self, message: "Image | CompressedImage") -> None:
        if self._again(message):
            return
        # Watched from now on: the newest frame may be a second old when it is taken, and its depth gone by.
        depth = self._watch(stamp_to_seconds(message.header.stamp))
        self._frame = Frame(message, time.monotonic(), self._now(), depth)
        self.frames += 1
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(None)
        try:
            check_encoding(message)
        except UnsupportedEncodingError as error:
            self.unreadable(message, error)
        if self.on_frame is not None:
            self.on_frame(message)

    def _again(self, message: "Image | CompressedImage") -> bool:
        """Whether it is the newest raw frame once more, compressed: image_transport sends both to who takes both."""
        if self._frame is None or not isinstance(message, CompressedImage):
            return False
        newest = self._frame.message
        if not isinstance(newest, Image) or encoding_of(newest) in self._unreadable:
            return False
        return newest.header.stamp == message.header.stamp != Time()

    def _on_depth(self, message: "Image | CompressedImage") -> None:
        depth = Depth(message, time.monotonic())
        self._depths.append(depth)
        size = (message.width, message.height) if isinstance(message, Image) else None
        self.optics.on_depth(message.header, size, self.frame_id)
        for watched in self._watched:
            watched.offer(depth)

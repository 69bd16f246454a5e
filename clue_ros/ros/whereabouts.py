"""Where the things in one image are: its depth and its transform, held on to from the moment the image is taken.

Both go by: a model may take a second and a person twenty, while a camera sends thirty depth images a second and tf2
forgets after ten seconds.
"""

from __future__ import annotations

import time
from typing import Any, Iterable, NamedTuple, Optional, Tuple

from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clue_ros.extent.place import Place, place_of_box
from clue_ros.ros.depth import depth_to_metres, intrinsics_from_info
from clue_ros.ros.errors import DepthMessageError
from clue_ros.ros.frames import Frames, Located
from clue_ros.ros.messages import stamp_to_seconds
from clue_ros.ros.waiting import Waiting
from clue_ros.types import Box

DEPTH_PATIENCE_S = 0.5  # drivers compute depth, and align it, after the colour image that it belongs to
FLOWS_S = 1.0  # a camera that sent no depth image for so long sends none


class Depth(NamedTuple):
    """A depth image and when it came (monotonic seconds)."""

    message: Image
    received: float


class DepthOf:
    """The depth image nearest to one colour image, of those that had come and those that the camera still offers.

    stamp: of the colour image, seconds; 0: none, then the times of arrival are compared, and none is too far.
    received: when that came, monotonic seconds. For the executor's thread.
    """

    def __init__(self, stamp: float, received: float, max_offset_s: float, come: Iterable[Depth]) -> None:
        self._stamp, self._received, self._max_offset_s = stamp, received, max_offset_s
        self.message: Optional[Image] = None
        self._offset = float("inf")
        self._newest: Optional[Depth] = None
        self._waiter: Optional[Future] = None
        for depth in come:
            self.offer(depth)

    def offer(self, depth: Depth) -> None:
        self._newest = depth
        offset = abs(depth.received - self._received if self._stamp == 0.0 else self._after(depth))
        if offset < self._offset and (self._stamp == 0.0 or offset <= self._max_offset_s):
            self.message, self._offset = depth.message, offset
        if not self.due:
            self.stop_waiting()

    @property
    def due(self) -> bool:
        """Whether there is none yet and one may still come: depth images do come, and none that is younger."""
        if self.message is not None or self._newest is None or self._after(self._newest) >= 0.0:
            return False
        return time.monotonic() - self._newest.received < FLOWS_S

    def wait(self, waiter: Future) -> None:
        """Ends `waiter` when none is due any more."""
        self._waiter = waiter

    def stop_waiting(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)

    def _after(self, depth: Depth) -> float:
        """Seconds from the colour image to a depth image, by their stamps."""
        return stamp_to_seconds(depth.message.header.stamp) - self._stamp


class Whereabouts:
    """Of what one image shows. For the executor's thread.

    depth, info: None where there is none; `header` is the image's.
    """

    def __init__(
        self, node: Node, header: Header, depth: Optional[DepthOf], info: Optional[CameraInfo], frames: Frames
    ) -> None:
        self._node, self._header, self._depth, self._info, self._frames = node, header, depth, info, frames
        self._transform = frames.transform(header)
        self._deadline: Optional[float] = None

    async def locate(
        self, box: Box, size: Tuple[int, int], info: Optional[CameraInfo], waiting: Waiting
    ) -> Optional[Located]:
        """Where the thing in a box is; None without usable depth. Waits for a depth image that is still to come.

        size: (width, height) of the image in pixels. info: the calibration now, if there was none with the image.
        """
        if self._depth is None:
            return None
        if self._depth.due:
            self._deadline = time.monotonic() + DEPTH_PATIENCE_S
            come = waiting.future()
            self._depth.wait(come)
            await waiting.until(come)
        info = self._info or info
        place = None if info is None or self._depth.message is None else self._place(box, size, info)
        if place is None:
            return None
        known: Any = self._transform.result() if self._transform.done() else None
        return await waiting.until(self._frames.locate(place, self._header, known))

    def on_time(self, now: float) -> None:
        """Called by a slow timer: no depth image is waited for for ever."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._depth.stop_waiting()

    def _place(self, box: Box, size: Tuple[int, int], info: CameraInfo) -> Optional[Place]:
        try:
            return place_of_box(depth_to_metres(self._depth.message), box, size, intrinsics_from_info(info))
        except DepthMessageError as error:
            self._node.get_logger().warning(f"no position: {error}", throttle_duration_sec=10.0)
            return None

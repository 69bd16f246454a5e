"""Where the things in one image are: its depth and its transform, held on to from the moment the image is taken.

Both go by: a model may take a second and a person twenty, while a camera sends thirty depth images a second and tf2
forgets after ten seconds.
"""

from __future__ import annotations

import time
from typing import Any, Iterable, NamedTuple, Optional, Tuple

import numpy as np
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.extent.place import Place, place_of_box, surroundings
from clue_ros.lens.model import CameraModel
from clue_ros.lens.registration import registered
from clue_ros.ros.running.errors import DepthMessageError, NoPositionError
from clue_ros.ros.running.waiting import Waiting
from clue_ros.ros.seeing.depth import depth_to_metres
from clue_ros.ros.seeing.optics import FLOWS_S, Optics, differ
from clue_ros.ros.wire.frames import Frames, Located, as_matrix
from clue_ros.ros.wire.messages import stamp_to_seconds
from clue_ros.types import Box

DEPTH_PATIENCE_S = 0.5  # drivers compute depth, and align it, after the colour image that it belongs to


class Depth(NamedTuple):
    """A depth image and when it came (monotonic seconds)."""

    message: "Image | CompressedImage"
    received: float


class DepthOf:
    """The depth image nearest to one colour image, of those that had come and those that the camera still offers.

    stamp: of the colour image, seconds; 0: none, then the times of arrival are compared, and none is too far.
    received: when that came, monotonic seconds. For the executor's thread.
    """

    def __init__(self, stamp: float, received: float, max_offset_s: float, come: Iterable[Depth]) -> None:
        self._stamp, self._received, self._max_offset_s = stamp, received, max_offset_s
        self.message: "Optional[Image | CompressedImage]" = None
        self._offset = self._nearest = float("inf")
        self._newest: Optional[Depth] = None
        self._waiter: Optional[Future] = None
        for depth in come:
            self.offer(depth)

    def offer(self, depth: Depth) -> None:
        self._newest = depth
        offset = abs(depth.received - self._received if self._stamp == 0.0 else self._after(depth))
        self._nearest = min(self._nearest, offset)
        if offset < self._offset and (self._stamp == 0.0 or offset <= self._max_offset_s):
            self.message, self._offset = depth.message, offset
        if not self.due:
            self.stop_waiting()

    @property
    def offset(self) -> float:
        """Seconds, of stamps, between the colour image and the depth image nearest to it so far; infinite: none
        came."""
        return self._nearest

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


class Sighting(NamedTuple):
    """Where a target is; None, and why there is no position."""

    located: Optional[Located]
    why_not: str = ""


class Whereabouts:
    """Of what one image shows. For the executor's thread.

    depth: None for a picture of any time and place; `header` is the image's.
    """

    def __init__(self, node: Node, header: Header, depth: Optional[DepthOf], optics: Optics, frames: Frames) -> None:
        self._node, self._header, self._depth, self._optics, self._frames = node, header, depth, optics, frames
        self._info = optics.info
        self._transform = frames.transform(header)
        self._deadline: Optional[float] = None

    async def locate(
        self, box: Box, size: Tuple[int, int], waiting: Waiting, mask: Optional[np.ndarray] = None
    ) -> Sighting:
        """Where the thing in a box is. Waits for a depth image that is still to come.

        size: (width, height) of the image in pixels. mask: bool[height, width], the thing's pixels, where they are
        known.
        """
        try:
            place = await self._place(box, size, waiting, mask)
        except NoPositionError as error:
            self._optics.report(error)
            return Sighting(None, str(error))
        self._optics.report(None)
        known: Any = self._transform.result() if self._transform.done() else None
        return Sighting(await waiting.until(self._frames.locate(place, self._header, known)))

    def on_time(self, now: float) -> None:
        """Called by a slow timer: no depth image is waited for for ever."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._depth.stop_waiting()

    async def _place(self, box: Box, size: Tuple[int, int], waiting: Waiting, mask: Optional[np.ndarray]) -> Place:
        """Raises NoPositionError."""
        if self._depth is None:
            raise NoPositionError(
                "undated", "the image of the goal has no stamp, so no depth image belongs to it: stamp it"
            )
        if self._depth.due:
            self._deadline = time.monotonic() + DEPTH_PATIENCE_S
            come = waiting.future()
            self._depth.wait(come)
            await waiting.until(come)
        if self._depth.message is None:
            raise self._optics.no_depth(self._depth.offset)
        camera = self._optics.camera(size, self._header.frame_id, self._info)
        depth = await self._fitting(camera, box, waiting)
        place = place_of_box(depth, box, size, camera, mask)
        if place is None:
            raise NoPositionError(
                "no_depth_in_box",
                "the depth image has too few valid pixels in the box: the thing may be glossy, transparent, too near or"
                " too far",
            )
        if not np.isfinite((*place.position, *place.size)).all():
            raise NoPositionError(
                "beyond_lens", "the box reaches out of what camera_info's lens model can see: calibrate it there"
            )
        x, y, z = place.position
        return place._replace(position=(x + camera.origin[0], y + camera.origin[1], z))

    async def _fitting(self, camera: CameraModel, box: Box, waiting: Waiting) -> np.ndarray:
        """float32[H, W]: the depth in metres that fits to the picture of `camera`, at least about the box."""
        message, optics = self._depth.message, self._optics
        try:
            depth = depth_to_metres(message)
        except DepthMessageError as error:
            raise NoPositionError("depth_unreadable", f"{error} ({optics.topics.depth})") from error
        size = optics.depth_size = depth.shape[1], depth.shape[0]
        info = self._info or optics.info
        theirs, ours = optics.frames(message.header, self._header.frame_id, info)
        rotation, translation = np.eye(3), np.zeros(3)
        if differ(theirs, ours):
            try:
                own = optics.depth_camera(message.header, size)
            except NoPositionError as error:
                raise optics.unregistered(theirs, ours, error) from error
            header = Header(stamp=self._header.stamp, frame_id=theirs)
            transform, why = await waiting.until(self._frames.toward(ours).seek(header))
            if transform is None:
                raise optics.no_transform(theirs, ours, why)
            rotation, translation = as_matrix(transform)
        elif optics.fits(message.header, size, camera, info, ours):
            return depth
        else:
            own = optics.depth_camera(message.header, size)
        return registered(depth, own, rotation, translation, camera, surroundings(box, (camera.width, camera.height)))

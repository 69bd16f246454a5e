"""From the camera's optical frame to the frame that a robot plans in, at the image's stamp, through tf2.

tf2_ros is imported only if `target_frame` is set. Without it, without the transform, or with one that comes too late
the place stays in the optical frame, and the log says why: a position in a named frame is of use, a failed goal is not.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, NamedTuple, Tuple

import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from std_msgs.msg import Header

from clue_ros.extent.place import Place

PATIENCE_S = 0.25  # a transform often arrives a little after the image that it belongs to
LOOK_AGAIN_S = 0.02
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


class Located(NamedTuple):
    """Where a target is. Metres.

    position: in `frame_id`; orientation: quaternion (x, y, z, w) of the optical frame in `frame_id`; size: along the
    axes of the optical frame.
    """

    frame_id: str
    position: Tuple[float, float, float]
    orientation: Tuple[float, float, float, float]
    size: Tuple[float, float, float]


class Frames:
    """The transforms to one frame; all methods are for the executor's thread. `target_frame` "": nothing to do."""

    def __init__(self, node: Node, target_frame: str, group: CallbackGroup) -> None:
        self._node = node
        self._target = target_frame
        self._group = group
        self._buffer: Any = None
        self._listener: Any = None
        self._timers: List[Any] = []
        if not target_frame:
            return
        try:
            import tf2_ros
        except ImportError as error:
            node.get_logger().warning(
                f"target_frame is {target_frame!r}, but tf2_ros cannot be imported ({error}): positions stay in the"
                " camera's optical frame. Install ros-$ROS_DISTRO-tf2-ros-py"
            )
            return
        self._failures = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    @property
    def ready(self) -> bool:
        """Whether tf2 is there to be asked."""
        return self._buffer is not None

    def transform(self, header: Header) -> Future:
        """A future of the transform (geometry_msgs/Transform) from `header.frame_id` at its stamp to the target frame.

        None if there is none to be had in PATIENCE_S, or none is needed. A zero stamp takes the latest.
        """
        future: Future = Future(executor=self._node.executor)
        if self._same(header):
            future.set_result(None)
        else:
            self._find(header, future, lambda transform, why: transform)
        return future

    def locate(self, place: Place, header: Header, known: Any = None) -> Future:
        """A future of Located: `place` in `header.frame_id` at its stamp, seen from the target frame.

        known: what `transform` gave for the header; without it this waits for one, PATIENCE_S at most. Always ends with
        a result.
        """
        future: Future = Future(executor=self._node.executor)
        optical = Located(header.frame_id, place.position, UPRIGHT, place.size)

        def seen(transform: Any, why: str) -> Located:
            if transform is not None:
                return transformed(optical, self._target, transform)
            self._node.get_logger().warning(
                f"the position stays in {header.frame_id!r}, there is no transform to {self._target!r}: {why}",
                throttle_duration_sec=5.0,
            )
            return optical

        if self._same(header):
            future.set_result(optical)
        elif known is not None:
            future.set_result(seen(known, ""))
        else:
            self._find(header, future, seen)
        return future

    def close(self) -> None:
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers.clear()
        if self._listener is not None:
            self._listener.unregister()
        self._buffer = self._listener = None

    def _same(self, header: Header) -> bool:
        """Nothing to look up, or nowhere to look."""
        return self._buffer is None or self._target == header.frame_id

    def _find(self, header: Header, future: Future, made: Callable[[Any, str], Any]) -> None:
        """Ends `future` with what is `made` of (the transform, "") or, when patience is over, of (None, why)."""
        end = time.monotonic() + PATIENCE_S

        def look() -> bool:
            try:
                found = self._buffer.lookup_transform(self._target, header.frame_id, Time.from_msg(header.stamp))
            except self._failures as error:
                if time.monotonic() < end:
                    return False
                future.set_result(made(None, str(error)))
            else:
                future.set_result(made(found.transform, ""))
            return True

        if not look():
            self._poll(look, future)

    def _poll(self, look: Callable[[], bool], future: Future) -> None:
        # A timer, because waiting in tf2 would hold up the thread in which the transforms arrive.
        def tick() -> None:
            if future.done() or self._buffer is None or look():
                timer.cancel()
                self._node.destroy_timer(timer)
                self._timers.remove(timer)

        timer = self._node.create_timer(LOOK_AGAIN_S, tick, callback_group=self._group)
        self._timers.append(timer)


def transformed(located: Located, frame_id: str, transform: Any) -> Located:
    """`located` seen from `frame_id`; transform: geometry_msgs/Transform that takes its frame's points there."""
    q, t = transform.rotation, transform.translation
    turn = (q.x, q.y, q.z, q.w)
    position = rotated(turn, located.position) + (t.x, t.y, t.z)
    return Located(
        frame_id, tuple(float(v) for v in position), quaternion_product(turn, located.orientation), located.size
    )


def rotated(quaternion: Tuple[float, float, float, float], vector: Tuple[float, float, float]) -> np.ndarray:
    """float64[3]: a vector turned by a quaternion (x, y, z, w), which need not be normalised."""
    q = np.asarray(quaternion, np.float64)
    axis, w, v = q[:3], q[3], np.asarray(vector, np.float64)
    return v + 2 * (w * np.cross(axis, v) + np.cross(axis, np.cross(axis, v))) / max(float(q @ q), 1e-12)


def quaternion_product(
    a: Tuple[float, float, float, float], b: Tuple[float, float, float, float]
) -> Tuple[float, float, float, float]:
    """The Hamilton product a * b of quaternions (x, y, z, w): first b turns, then a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )

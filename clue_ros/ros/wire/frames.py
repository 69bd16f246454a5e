"""From the camera's optical frame to the frame that a robot plans in, at the image's stamp, through tf2.

tf2_ros is imported only if `target_frame` is set, or depth of another camera or a point in another frame came. Without
it, without the transform, or with one that comes too late the place stays in the optical frame, and the log says why: a
position in a named frame is of use, a failed goal is not.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from std_msgs.msg import Header

from clue_ros.extent.place import Place

PATIENCE_S = 0.25  # a transform often arrives a little after the image that it belongs to
WARM_S = 1.0  # a listener that has just begun knows nothing yet: latched transforms need to be discovered first
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


class Tf2:
    """tf2's buffer, opened when it is first needed: to hear /tf costs every robot processor time.

    why_not: why it could not be opened; empty before, and where it was.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._listener: Any = None
        self.buffer: Any = None
        self.opened = 0.0  # monotonic seconds
        self.failures: Any = Exception
        self.why_not = ""

    def open(self) -> bool:
        """Whether there is one."""
        if self.buffer is None and not self.why_not:
            try:
                import tf2_ros
            except ImportError as error:
                self.why_not = f"tf2_ros cannot be imported ({error}): install ros-$ROS_DISTRO-tf2-ros-py"
                return False
            self.failures = tf2_ros.TransformException
            self.buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self.buffer, self._node)
            self.opened = time.monotonic()
        return self.buffer is not None

    def close(self) -> None:
        if self._listener is not None:
            self._listener.unregister()
        self.buffer = self._listener = None


class Frames:
    """The transforms to one frame; all methods are for the executor's thread. `target_frame` "": nothing to do.

    tf2: shared with another; None: its own.
    """

    def __init__(self, node: Node, target_frame: str, group: CallbackGroup, tf2: Optional[Tf2] = None) -> None:
        self._node = node
        self._target = target_frame
        self._group = group
        self._tf2 = tf2 or Tf2(node)
        self._timers: List[Any] = []
        self._others: Dict[str, Frames] = {}
        if target_frame and not self._tf2.open() and tf2 is None:
            node.get_logger().warning(
                f"target_frame is {target_frame!r}, but {self._tf2.why_not}; positions stay in the camera's "
                "optical frame"
            )

    @property
    def _buffer(self) -> Any:
        return self._tf2.buffer

    @property
    def ready(self) -> bool:
        """Whether tf2 is there to be asked."""
        return self._buffer is not None

    def toward(self, frame_id: str) -> "Frames":
        """The transforms to another frame, of the same buffer."""
        if frame_id not in self._others:
            self._others[frame_id] = Frames(self._node, frame_id, self._group, self._tf2)
        return self._others[frame_id]

    def why_none(self, frame_id: str) -> str:
        """Why there is no transform from `frame_id` now; empty if there is one."""
        if not self.ready:
            return self._tf2.why_not
        try:
            self._buffer.lookup_transform(self._target, frame_id, Time())
        except self._tf2.failures as error:
            return str(error)
        return ""

    def seek(self, header: Header) -> Future:
        """A future of (transform, ""), or of (None, why there is none to be had in time); of one that is needed."""
        future: Future = Future(executor=self._node.executor)
        if not self.ready:
            future.set_result((None, self._tf2.why_not))
        else:
            self._find(header, future, lambda transform, why: (transform, why))
        return future

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
        for frames in self._others.values():
            frames.close()
        self._others.clear()
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers.clear()
        self._tf2.close()

    def _same(self, header: Header) -> bool:
        """Nothing to look up, or nowhere to look."""
        return not self._target or self._buffer is None or self._target == header.frame_id

    def _find(self, header: Header, future: Future, made: Callable[[Any, str], Any]) -> None:
        """Ends `future` with what is `made` of (the transform, "") or, when patience is over, of (None, why)."""
        if header.stamp.sec < 0:  # rclpy and tf2 know no time before 1970
            future.set_result(made(None, f"the stamp is negative ({header.stamp.sec} s): cure the camera's driver"))
            return
        end = max(time.monotonic() + PATIENCE_S, self._tf2.opened + WARM_S)

        def look() -> bool:
            try:
                found = self._buffer.lookup_transform(self._target, header.frame_id, Time.from_msg(header.stamp))
            except self._tf2.failures as error:
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


def as_matrix(transform: Any) -> Tuple[np.ndarray, np.ndarray]:
    """(rotation float64[3, 3], translation float64[3] in metres) of a geometry_msgs/Transform."""
    q, t = transform.rotation, transform.translation
    turn = np.column_stack([rotated((q.x, q.y, q.z, q.w), axis) for axis in np.eye(3)])
    return turn, np.array((t.x, t.y, t.z))


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

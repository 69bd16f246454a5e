"""What one camera's depth and camera_info say: the camera of its picture, whether depth fits to it, and if not, why.

Everything that costs a position has its own words here or in the errors that it passes on: they stand in the target's
`position_reason`, once in the log, and on `/diagnostics`.
"""

from __future__ import annotations

from typing import Optional, Tuple

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from clue_ros.lens.calibration import Calibration, CalibrationError, Region, camera_model
from clue_ros.lens.model import CameraModel
from clue_ros.lens.registration import agree
from clue_ros.ros.running.errors import NoPositionError
from clue_ros.ros.running.parameters import Parameters
from clue_ros.ros.seeing.arrivals import Arrivals
from clue_ros.ros.wire.camera_topics import Topics
from clue_ros.ros.wire.frames import Frames
from clue_ros.ros.wire.intrinsics import calibration_of, rectified

FLOWS_S = 1.0  # a camera that sent no depth image for so long sends none
ALIGNED = "Take the driver's depth that is aligned to the image (docs/robot.md names it)"
REGISTERED, BY_INFO, BY_TF, UNREGISTERED, UNKNOWN = (
    "yes", "by its own camera_info", "by its own camera_info and tf2", "no", "not known"
)  # fmt: skip


class Optics:
    """Of one camera. For the executor's thread."""

    def __init__(self, node: Node, parameters: Parameters, frames: Frames, topics: Topics) -> None:
        self._node, self._frames, self.topics = node, frames, topics
        self.used, self._packed = parameters.use_depth, parameters.image_transport != "raw"
        self._max_offset_s = parameters.max_depth_offset_s
        self.rectified = rectified(parameters.rectified, topics.image)
        self._depth_rectified = rectified("auto", topics.depth)
        self.info: Optional[CameraInfo] = None
        self.depth_info: Optional[CameraInfo] = None
        self.depths, self.infos, self.depth_infos = Arrivals(), Arrivals(), Arrivals()
        self.depth_header: Optional[Header] = None  # of the newest depth image
        self.depth_size: Optional[Tuple[int, int]] = None  # (width, height) of the newest that was looked at
        self.lost: Optional[NoPositionError] = None  # why the last target had no position

    # What comes.

    def on_info(self, message: CameraInfo) -> None:
        self.info = message
        self.infos.note()

    def on_depth_info(self, message: CameraInfo) -> None:
        self.depth_info = message
        self.depth_infos.note()

    def on_depth(self, header: Header, size: Optional[Tuple[int, int]], image_frame: str) -> None:
        """size: (width, height); None: not known before it is decoded."""
        self.depth_header, self.depth_size = header, size or self.depth_size
        self.depths.note()
        theirs, ours = self.frames(header, image_frame)
        if differ(theirs, ours):
            self._frames.toward(ours)  # from now on it listens: the first goal must not wait for it

    # What follows.

    def frames(self, header: Header, image_frame: str, info: Optional[CameraInfo] = None) -> Tuple[str, str]:
        """The frames of a depth image and of the image; where one names none, that of its camera_info.

        info: the camera_info that came with the image; None: the newest.
        """
        info = info or self.info
        theirs, ours = ("" if one is None else one.header.frame_id for one in (self.depth_info, info))
        return header.frame_id or theirs, image_frame or ours

    def camera(self, size: Optional[Tuple[int, int]], frame_id: str, info: Optional[CameraInfo] = None) -> CameraModel:
        """The camera of a picture of `size` (None: as camera_info says) and frame.

        info: the camera_info that came with it; None: the newest.

        Raises:
            NoPositionError: there is no camera_info, it is another camera's, or it cannot be used for such a picture.
        """
        info = info or self.info
        if not self.used:
            raise self._off()
        if info is None:
            raise self._none_yet("camera_info", "no_camera_info", self.topics.info)
        if differ(info.header.frame_id, frame_id):
            raise NoPositionError(
                "foreign_camera_info",
                f"camera_info on {self.topics.info} is of frame {info.header.frame_id!r}, the image of {frame_id!r}:"
                " remap `camera_info` to the one beside the image",
            )
        try:
            return camera_model(calibration_of(info), size, self.rectified.value)
        except CalibrationError as error:
            raise NoPositionError("calibration", f"{error} ({self.topics.info})") from error

    def depth_camera(self, header: Header, size: Tuple[int, int]) -> CameraModel:
        """The camera of a depth image of `size`, by its own camera_info.

        Raises:
            NoPositionError: there is none for it.
        """
        info, topic = self.depth_info, self.topics.depth_info
        if info is None:
            raise NoPositionError("no_depth_camera_info", f"no camera_info of the depth camera arrived on {topic}")
        if differ(info.header.frame_id, header.frame_id):
            raise NoPositionError(
                "foreign_depth_camera_info",
                f"camera_info on {topic} is of frame {info.header.frame_id!r}, depth of {header.frame_id!r}",
            )
        try:
            return camera_model(calibration_of(info), size, self._depth_rectified.value)
        except CalibrationError as error:
            raise NoPositionError("depth_calibration", f"{error} ({topic})") from error

    def fits(
        self, header: Header, size: Tuple[int, int], camera: CameraModel, info: Optional[CameraInfo], image_frame: str
    ) -> bool:
        """Whether depth of the image's own frame lies pixel on pixel, scaled, on the picture of `camera`; False: it
        must be brought over by its own camera_info.

        Raises:
            NoPositionError: it does not, and there is no camera_info of its own, or nobody says what frame it is of.
        """
        try:
            own = self.depth_camera(header, size)
        except NoPositionError:
            own = None  # then the frame's name is all there is, and the driver's word for it
        if own is not None:
            same, frames = agree(own, camera), self.frames(header, image_frame, info)
            if not same and not all(frames):
                raise NoPositionError(
                    "depth_frame",
                    f"{'depth' if not frames[0] else 'the image'} names no frame, and its camera_info differs from the"
                    f" {'image' if not frames[0] else 'depth'}'s: have the driver fill header.frame_id. {ALIGNED}",
                )
            return same
        calibration: Optional[Calibration] = None if info is None else calibration_of(info)
        cut = calibration is not None and calibration.roi != Region()
        if not _same_shape(size, (camera.width, camera.height), scaled=not cut):
            raise NoPositionError(
                "depth_size",
                f"depth is {size[0]}x{size[1]}, the image {camera.width}x{camera.height}"
                + (" (a region of interest)" if cut else "")
                + f": not the same picture. {ALIGNED}, or publish its own camera_info on {self.topics.depth_info}",
            )
        return True

    def registration(self, camera: Optional[CameraModel], image_frame: str) -> Tuple[str, str]:
        """(one of the words above, why there is no position that way or ""), for `/diagnostics`."""
        header = self.depth_header
        if header is None or self.depth_size is None:
            return UNKNOWN, ""
        try:
            theirs, ours = self.frames(header, image_frame)
            if differ(theirs, ours):
                return self._by_tf(Header(frame_id=theirs), ours)
            if camera is None:
                return UNKNOWN, ""
            return (REGISTERED if self.fits(header, self.depth_size, camera, self.info, image_frame) else BY_INFO), ""
        except NoPositionError as error:
            return UNREGISTERED, str(error)

    def _by_tf(self, header: Header, image_frame: str) -> Tuple[str, str]:
        try:
            self.depth_camera(header, self.depth_size)
        except NoPositionError as error:
            raise self.unregistered(header.frame_id, image_frame, error) from error
        why = self._frames.toward(image_frame).why_none(header.frame_id)
        if why:
            raise self.no_transform(header.frame_id, image_frame, why)
        return BY_TF, ""

    # Why there is none.

    def unregistered(self, depth_frame: str, image_frame: str, error: NoPositionError) -> NoPositionError:
        return NoPositionError(
            error.kind,
            f"depth is of frame {depth_frame!r}, the image of {image_frame!r}: not registered, and {error}. {ALIGNED}",
        )

    def no_transform(self, depth_frame: str, image_frame: str, why: str) -> NoPositionError:
        return NoPositionError(
            "no_transform",
            f"depth is of frame {depth_frame!r}, the image of {image_frame!r}: not registered, and tf2 has no transform"
            f" ({why}). {ALIGNED}",
        )

    def no_depth(self, offset: float) -> NoPositionError:
        """offset: seconds between the image and the depth image nearest to it; infinite: there was none."""
        if not self.used:
            return self._off()
        age = self.depths.age_s
        if age is None:
            return self._none_yet("depth image", "no_depth", self.topics.depth)
        if age > FLOWS_S:
            return NoPositionError(
                "depth_stopped",
                f"the newest depth image on {self.topics.depth} came {age:.1f} s ago: see to the depth camera",
            )
        return NoPositionError(
            "depth_offset",
            f"no depth image on {self.topics.depth} within {self._max_offset_s:g} s of the image, the nearest is"
            f" {offset:.2f} s off: synchronise their clocks, or raise max_depth_offset_s",
        )

    def report(self, lost: Optional[NoPositionError]) -> None:
        """How the position of a target ended; logged once for each change of reason."""
        before, self.lost = self.lost, lost
        if lost is not None and (before is None or before.kind != lost.kind):
            self._node.get_logger().warning(f"no position: {lost} (said once until that changes)")
        elif lost is None and before is not None:
            self._node.get_logger().info("targets have positions again")

    def _off(self) -> NoPositionError:
        return NoPositionError("use_depth", "use_depth is false: set it and configure the node again to get positions")

    def _none_yet(self, what: str, kind: str, topic: str) -> NoPositionError:
        name = "camera_info" if what == "camera_info" else "depth"
        given = f"{self.topics.name}/{name}" if self.topics.name else name
        taken = (topic, self.topics.packed_depth) if topic == self.topics.depth and self._packed else (topic,)
        publishers = sum(self._node.count_publishers(one) for one in taken)
        if publishers == 0:
            return NoPositionError(
                f"{kind}_topic", f"nobody publishes {topic}: start the camera's {name}, or remap `{given}`"
            )
        return NoPositionError(
            kind,
            f"no {what} arrived on {topic} yet, though it has {publishers} publisher(s): see to the camera and the DDS"
            " profile",
        )


def differ(one: str, other: str) -> bool:
    """Whether two frame ids name two frames; an empty one may be any, and a leading slash is tf1's."""
    one, other = one.lstrip("/"), other.lstrip("/")
    return bool(one and other and one != other)


def _same_shape(one: Tuple[int, int], other: Tuple[int, int], scaled: bool) -> bool:
    if one == other or not scaled:
        return one == other
    return abs(one[0] - other[0] * one[1] / other[1]) <= 1 or abs(one[1] - other[1] * one[0] / other[0]) <= 1

"""A real camera without a driver: a webcam, a network stream, a video file or a folder of pictures on `image`.

    ros2 run clue_ros webcam --ros-args -r __ns:=/clue -p source:=0
    python -m clue_ros.ros.webcam --ros-args -r __ns:=/clue -p source:=table.mp4        (make console CAMERA=table.mp4)

With a calibration file it also publishes `camera_info`. A camera that is unplugged or a stream that breaks off is
opened again as soon as it is back. For more (exposure, depth, hardware stamps) use the camera's own ROS driver.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clue_ros.images.video import Video, VideoError, open_video
from clue_ros.ros.running import overrides, spinning
from clue_ros.ros.wire.calibration_file import read_calibration
from clue_ros.ros.wire.camera_topics import info_topic
from clue_ros.ros.wire.conversions import rgb_to_image
from clue_ros.types import ClueError

REOPEN_S = 2.0  # between two tries to open a live source that broke off
HOLD_HZ = 5.0  # a picture that stands still is sent again so often: a frame must not grow old


class Webcam(Node):
    """Reads in a thread of its own after start(): a camera blocks until its next frame. ClueError for bad
    parameters.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__("webcam", **kwargs)
        try:
            self._set_up()
        except ClueError:
            self.destroy_node()
            raise

    def _set_up(self) -> None:
        anything = ParameterDescriptor(
            dynamic_typing=True,  # source:=0 is an integer on the command line
            description="Camera number or device, address of a stream, video file, or folder of pictures.",
        )
        self._source = str(self.declare_parameter("source", "0", anything).value)
        self._size = (self._whole("width", "Pixels a row asked of a camera; 0: its default."),
                      self._whole("height", "Rows asked of a camera; 0: its default."))  # fmt: skip
        self._rate_hz = self._number(
            "rate_hz", 0.0, 0.0, 240.0, "Frames a second at most; 0: as the source gives them."
        )
        self._picture_s = self._number("picture_s", 5.0, 0.1, 3600.0, "Seconds that each picture of a folder is shown.")
        self._loop = self._declared("loop", True, "Play files and folders again from their begin.")
        self._frame_id = self._declared("frame_id", "camera_color_optical_frame", "Frame of the images.")
        calibration = self._declared("camera_info_file", "", "Calibration (YAML of camera_calibration); empty: none.")
        overrides.check(self)
        self._info = read_calibration(Path(calibration)) if calibration else None
        if (self._size[0] > 0) != (self._size[1] > 0):
            raise VideoError("width and height must be given together")
        self._image = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self._infos = (
            self.create_publisher(CameraInfo, info_topic(self), qos_profile_sensor_data) if self._info else None
        )
        self._wrong_size: Optional[Tuple[int, int]] = None
        self._video: Video = self._open()
        self._end = threading.Event()
        self.done = False  # spinning.run ends then
        self._thread = threading.Thread(target=self._play, name="webcam", daemon=True)

    def start(self) -> None:
        """Publishes from now on."""
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._video.close()

    def _open(self) -> Video:
        video = open_video(self._source, self._size if all(self._size) else None, self._picture_s)
        self.get_logger().info(f"shows {self._source} on {self._image.topic_name}")
        return video

    def _play(self) -> None:
        """The thread: frames at the source's pace, or at `rate_hz`, until the end."""
        video = self._video
        rate_hz = self._rate_hz or (0.0 if video.is_live else video.rate_hz)
        pause_s = 1.0 / rate_hz if rate_hz > 0 else 0.0
        due = time.monotonic()
        while not self._end.is_set():
            rgb = video.read()
            now = time.monotonic()
            if rgb is None:
                if not self._again(video):
                    break
            elif video.is_live:
                if now >= due:  # what a camera gives in between is dropped: its queue must not grow old
                    self._publish(rgb)
                    due = max(due + pause_s, now)
            else:
                due = max(due + pause_s, now)  # a reader that was slow does not catch up
                self._hold(rgb, due)
        self.done = True

    def _hold(self, rgb: np.ndarray, until: float) -> None:
        """Publishes a frame, and again from time to time until the next one is due."""
        while True:
            self._publish(rgb)
            left_s = until - time.monotonic()
            if self._end.wait(max(0.0, min(left_s, 1.0 / HOLD_HZ))) or left_s <= 1.0 / HOLD_HZ:
                return

    def _publish(self, rgb: np.ndarray) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        self._image.publish(rgb_to_image(rgb, header))
        if self._info is None:
            return
        size = (rgb.shape[1], rgb.shape[0])
        if size == (self._info.width, self._info.height):
            self._info.header = header
            self._infos.publish(self._info)
        elif size != self._wrong_size:
            self._wrong_size = size
            self.get_logger().warning(
                f"camera_info is not published: it is for {self._info.width}x{self._info.height}, and the frames have"
                f" {size[0]}x{size[1]}; set width and height, or calibrate at that size"
            )

    def _again(self, video: Video) -> bool:
        """After the last frame: from the begin, or open the camera again. False: it is over."""
        if not video.is_live:
            if not self._loop:
                self.get_logger().info(f"{self._source} is over")
                return False
            try:
                video.rewind()
            except VideoError as error:
                self.get_logger().error(str(error))
                return False
            return True
        self.get_logger().warning(
            f"no frame from {self._source}: it is tried again every {REOPEN_S:g} s", throttle_duration_sec=30.0
        )
        while not self._end.wait(REOPEN_S):
            try:
                video.rewind()
            except VideoError:
                continue
            self.get_logger().info(f"{self._source} is back")
            return True
        return False

    def _declared(self, name: str, default: Any, description: str) -> Any:
        return overrides.declare(self, name, default, ParameterDescriptor(description=description))

    def _whole(self, name: str, description: str) -> int:
        descriptor = ParameterDescriptor(description=description)
        descriptor.integer_range = [IntegerRange(from_value=0, to_value=16384, step=1)]
        return overrides.declare(self, name, 0, descriptor)

    def _number(self, name: str, default: float, least: float, most: float, description: str) -> float:
        descriptor = ParameterDescriptor(description=description)
        descriptor.floating_point_range = [FloatingPointRange(from_value=least, to_value=most)]
        return overrides.declare(self, name, default, descriptor)


def main(args: Optional[List[str]] = None) -> int:
    return spinning.run("webcam", Webcam, args)


if __name__ == "__main__":
    sys.exit(main())

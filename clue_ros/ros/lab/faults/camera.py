"""A camera that can be broken while it runs: `image`, `depth` and `camera_info` from a thread of its own."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from clue_ros.ros.tabletop_camera import FRAME, camera_info
from clue_ros.ros.wire.camera_topics import info_topic
from clue_ros.ros.wire.conversions import array_to_image, rgb_to_image

NOISE = 2.0  # grey levels, standard deviation: no two frames are the same
NOISES = 8


class Picture(NamedTuple):
    """rgb: uint8[H, W, 3]; depth: float32[H, W] metres; intrinsics: (fx, fy, cx, cy) pixels, from the first corner."""

    rgb: np.ndarray
    depth: np.ndarray
    intrinsics: Tuple[float, float, float, float]


Make = Callable[[np.ndarray, Header], Any]  # uint8[H, W, 3] RGB -> an Image, a CompressedImage, or bytes as on the wire


class Camera:
    """Publishes while `running`. Every attribute may be changed at any time; the next frame obeys.

    make, make_depth: turn pixels into messages; what a broken driver sends is made there. make_depth None: no depth.
    """

    def __init__(self, node: Node, rate_hz: float = 30.0, stamp: Optional[Callable[[], Any]] = None) -> None:
        self.rate_hz = rate_hz
        self.running = True
        self.published = 0
        self.stamp = stamp or (lambda: node.get_clock().now().to_msg())
        self.make: Make = rgb_to_image
        self.make_depth: Optional[Callable[[np.ndarray, Header], Image]] = metres
        self.make_info: Callable[[Picture, Header], CameraInfo] = info
        self._picture: Optional[Picture] = None
        self._noise: list = []
        self._publishers = {
            kind: node.create_publisher(kind, topic, qos_profile_sensor_data)
            for kind, topic in ((Image, "image"), (CompressedImage, "image/compressed"), (CameraInfo, info_topic(node)))
        }
        self._depth = node.create_publisher(Image, "depth", qos_profile_sensor_data)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def show(self, picture: Picture) -> None:
        """From the next frame on."""
        if not self._noise or self._noise[0].shape != picture.rgb.shape:
            rng = np.random.default_rng(0)
            draw = lambda: np.abs(rng.normal(0, NOISE, picture.rgb.shape)).astype(np.uint8)  # noqa: E731
            self._noise = [draw() for _ in range(NOISES)]
        self._picture = picture

    def healthy(self) -> None:
        """As it was made: 30 Hz, rgb8, depth in metres."""
        self.rate_hz, self.running = 30.0, True
        self.make, self.make_depth, self.make_info = rgb_to_image, metres, info

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            if self.running and self._picture is not None:
                self._publish(self._picture)
            due = max(due + 1.0 / self.rate_hz, time.monotonic() - 0.1)  # what was missed is not made up for at once
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _publish(self, picture: Picture) -> None:
        header = Header(stamp=self.stamp(), frame_id=FRAME)
        brighter, darker = self._noise[self.published % NOISES], self._noise[(self.published + 3) % NOISES]
        message = self.make(cv2.subtract(cv2.add(picture.rgb, brighter), darker), header)
        compressed = isinstance(message, CompressedImage)
        self._publishers[CompressedImage if compressed else Image].publish(message)
        if self.make_depth is not None:
            self._depth.publish(self.make_depth(picture.depth, header))
        self._publishers[CameraInfo].publish(self.make_info(picture, header))
        self.published += 1


def metres(depth: np.ndarray, header: Header) -> Image:
    return array_to_image(depth, "32FC1", header)


def info(picture: Picture, header: Header) -> CameraInfo:
    return camera_info(picture.intrinsics, picture.rgb.shape[1], picture.rgb.shape[0], header)


def resized(width: int, height: int, make: Make = rgb_to_image) -> Make:
    """A `make` that scales to width x height first."""
    return lambda rgb, header: make(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), header)


def bgr(rgb: np.ndarray, header: Header) -> Image:
    return array_to_image(rgb[..., ::-1], "bgr8", header)


def rgba(rgb: np.ndarray, header: Header) -> Image:
    return array_to_image(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]), "rgba8", header)


def rgb16(rgb: np.ndarray, header: Header) -> Image:
    return array_to_image(rgb.astype(np.uint16) * 257, "rgb16", header)


def nv12(rgb: np.ndarray, header: Header) -> Image:
    """Even sides only."""
    height, width = rgb.shape[:2]
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).reshape(-1)
    u, v = np.split(planes[height * width :], 2)
    packed = np.concatenate([planes[: height * width], np.stack([u, v], axis=1).reshape(-1)])
    message = array_to_image(packed.reshape(-1, width), "nv12", header)
    message.height = height
    return message


def jpeg(rgb: np.ndarray, header: Header) -> CompressedImage:
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return CompressedImage(header=header, format="jpeg", data=data.tobytes())


def changed(make: Make, **fields: Any) -> Make:
    """A `make` whose messages get other values in these fields: a broken driver."""

    def broken(rgb: np.ndarray, header: Header) -> Any:
        message = make(rgb, header)
        for name, value in fields.items():
            setattr(message, name, value(getattr(message, name)) if callable(value) else value)
        return message

    return broken

"""Depth images and camera_info as numbers. Pure functions.

Units come from the encoding (REP 118): 16UC1 is millimetres with 0 invalid, 32FC1 is metres with NaN invalid.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from clue_ros.ros.conversions import image_to_samples
from clue_ros.ros.errors import DepthMessageError
from clue_ros.types import InvalidImageError

FARTHEST = 1000.0  # metres: what no depth camera measures is a driver's mark for "nothing seen"


class Intrinsics(NamedTuple):
    """A pinhole camera, in pixels of an image of `width` x `height`; integers are pixel centres, as in ROS."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def rays(self, pixels: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
        """float64[..., 2]: (x/z, y/z) in the optical frame of what is seen at `pixels`.

        pixels: float[..., 2], (x, y) of an image of `size` (width, height), counted from the corner of its first pixel, as
        boxes are; camera_info counts from its centre: half a pixel apart.
        """
        scale = np.divide((self.width or size[0], self.height or size[1]), size)
        return (pixels * scale - 0.5 - (self.cx, self.cy)) / (self.fx, self.fy)


def depth_to_metres(msg: Image) -> np.ndarray:
    """Depth message -> float32[H, W] in metres, NaN where invalid.

    Raises:
        DepthMessageError: another encoding than 16UC1 / mono16 / 32FC1, or a broken message.
    """
    try:
        if msg.encoding in ("16UC1", "mono16"):
            depth = image_to_samples(msg, 1, np.uint16).astype(np.float32) / 1000.0
        elif msg.encoding == "32FC1":
            depth = image_to_samples(msg, 1, np.float32).astype(np.float32)
        else:
            raise DepthMessageError(f"depth encoding {msg.encoding[:40]!r}: publish 16UC1 (mm) or 32FC1 (m)")
    except InvalidImageError as error:
        raise DepthMessageError(f"depth image: {error}") from error
    return np.where((depth > 0) & (depth <= FARTHEST), depth, np.float32(np.nan))


def intrinsics_from_info(msg: CameraInfo) -> Intrinsics:
    """The K matrix of a camera_info. Lens distortion is not modelled: publish a rectified image.

    Raises:
        DepthMessageError: an uncalibrated camera (K is zero).
    """
    fx, fy = float(msg.k[0]), float(msg.k[4])
    if not (fx > 0 and fy > 0):
        raise DepthMessageError("camera_info has no focal length: calibrate the camera")
    return Intrinsics(fx, fy, float(msg.k[2]), float(msg.k[5]), msg.width, msg.height)
